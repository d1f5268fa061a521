"""What a model of series is worth, in the words of those who maintain machines: failures caught, days ahead, false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from shokunin.metrics import expected_calibration_error, reliability_bins
from shokunin.series.alarms import (
    AlarmRecord,
    record,
    row_scores,
    stands_for,
    threshold_for_alarms,
    threshold_for_budget,
    threshold_for_f1,
)
from shokunin.series.labels import When
from shokunin.series.ranking import Ranking, Within, blocks_of, ranking, within_units
from shokunin.series.readings import Grid
from shokunin.series.windows import Windows

Floats = npt.NDArray[np.float64]
DAYS_A_MONTH = 30


@dataclass(frozen=True)
class Sides:
    """The windows of one side, their labels int8 (n, horizons), and calibrated log-odds (n, horizons)."""

    windows: Windows
    labels: npt.NDArray[np.int8]
    logits: Floats


@dataclass(frozen=True)
class Worth:
    """One model at one horizon, judged on the test side.

    Attributes:
        horizon: in steps.
        ranking: areas beside the base rate, with intervals; None where the test side has windows of one kind only.
        alarms: what the threshold from the validation side meant on the test side.
        rows: precision, recall, F1 over windows, as papers print them.
        calibration: expected calibration error, Brier score beside the base rate's, reliability bins.
        month: alarms and false alarms per unit in a month (of 30 days; of cycles: in 100 cycles).
        skill: whether the ranking is measurably better than chance, also within units where units have both kinds of
            windows. Whoever only knows which units are always bad foresees nothing.
        within: the ranking inside units; None where no unit of the test side has windows of both kinds.
        when: the event comes `within` the horizon, or `at` its end.
    """

    horizon: int
    ranking: Ranking | None
    alarms: AlarmRecord
    rows: Mapping[str, float]
    calibration: Mapping[str, Any]
    month: tuple[float, float]
    skill: bool
    within: Within | None = None
    when: When = "within"

    @property
    def apart_only(self) -> bool:
        """Whether units are told apart, but not their bad times from their good ones."""
        measured = self.ranking is not None and self.ranking.roc_auc.low > 0.5
        return measured and self.within is not None and self.within.roc_auc.low <= 0.5


def judge(
    horizons: Sequence[int],
    validation: Sides | None,
    test: Sides,
    events: Mapping[int, Sequence[int]],
    grid: Grid,
    *,
    alarms_a_month: float | None = None,
    wrong_a_unit: float | None = None,
    thresholds: Sequence[float] | None = None,
    when: When = "within",
    offset: int = 0,
    seed: int = 0,
) -> list[Worth]:
    """Each horizon's worth on the test side; thresholds come from the validation side alone, or are given.

    Args:
        horizons: in steps.
        validation, test: the sides.
        events: by unit number, the steps of the events.
        grid: what a step is.
        alarms_a_month: a budget: so many alarms per unit in 30 days (of cycles: in 100); None: the threshold whose
            alarms have the best F1; precision, recall and F1 of rows are then those of the best threshold for rows.
        wrong_a_unit: another budget: so many wrong alarms per unit over its whole watched history.
        thresholds: risks from which on an alarm is raised, one a horizon, where there is no validation side any more.
        when: the labels say whether the event comes `within` the horizon, or `at` its end.
        offset: steps from a window's end from where horizons count; at that distance an event is looked for `at`.
        seed: of the intervals' draws.
    """
    out = []
    for j, horizon in enumerate(horizons):
        reach = horizon if when == "within" else horizon + offset
        if thresholds is not None:
            threshold = of_rows = thresholds[j]
        else:
            assert validation is not None, "a threshold is given, or comes from the validation side"
            v, y = expit(validation.logits[:, j]), validation.labels[:, j]
            threshold = _threshold(validation.windows, v, y, reach, when, events, grid, alarms_a_month, wrong_a_unit)
            of_rows = threshold_for_f1(v, y) if alarms_a_month is None and wrong_a_unit is None else threshold
        p, truth = expit(test.logits[:, j]), test.labels[:, j]
        windows = test.windows
        blocks = blocks_of(windows.unit, windows.step, windows.length + horizon)
        known = truth >= 0
        mixed = known.any() and 0 < (truth[known] == 1).mean() < 1
        ranked = ranking(test.logits[:, j], truth, blocks, seed=seed) if mixed else None
        inside = within_units(test.logits[:, j], truth, windows.unit, windows.step, windows.length + horizon, seed=seed)
        above = bool(ranked and ranked.roc_auc.low > 0.5) and (inside is None or inside.roc_auc.low > 0.5)
        alarms = record(windows.unit, windows.step, p, truth, events, threshold, reach, when=when, seed=seed)
        out.append(
            Worth(
                horizon, ranked, alarms, row_scores(p, truth, of_rows), _calibration(p[known], truth[known] == 1),
                alarms.each(month_of(grid)), above, inside, when,
            )
        )  # fmt: skip
    return out


def month_of(grid: Grid) -> float:
    """Steps in 30 days; of cycles 100."""
    return 100.0 / grid.times if grid.step == "cycle" else DAYS_A_MONTH * 86400 / grid.seconds


def sentence(worth: Worth, grid: Grid) -> str:
    """The worth in one line for a person."""
    reach = grid.span(worth.horizon)
    head = f"{'within' if worth.when == 'within' else 'in'} {reach}: "
    if worth.ranking is None:
        return head + "cannot be judged, the test side has no window of both kinds"
    alarms = worth.alarms
    if worth.when == "at":
        caught = f"{alarms.caught} of {alarms.events} events had an alarm exactly {reach} before"
    else:
        early = np.median(alarms.ahead) * grid.times if alarms.ahead else None
        ahead = "" if early is None else f", {early:g} {grid.step}{'' if early == 1 else 's'} ahead in the middle"
        caught = f"{alarms.caught} of {alarms.events} events caught{ahead}"
    span = "100 cycles" if grid.step == "cycle" else "30 days"
    told = (
        f"{caught}; {worth.month[0]:.2f} alarms per unit in {span}, "
        f"{worth.month[1]:.2f} of them false; average precision {worth.ranking.pr_auc.value:.3f} against a base rate of "
        f"{worth.ranking.base_rate:.3f}"
    )
    if worth.apart_only and worth.within is not None:
        told += (
            f"; it tells units apart (ROC-AUC {worth.ranking.roc_auc.value:.2f}), but within the {worth.within.units} units "
            f"that have both it is NOT measurably better than chance ({worth.within.roc_auc.value:.2f})"
        )
    elif not worth.skill:
        told += "; NOT measurably better than chance"
    return head + told


def as_json(worth: Worth) -> dict[str, Any]:
    """Plain values."""
    plain = asdict(worth)
    for name in ("alarms", "ahead"):
        plain["alarms"].pop(name)
    plain["alarms"]["steps_ahead"] = {"quartiles": steps_ahead(worth.alarms), "caught": len(worth.alarms.ahead)}
    if not np.isfinite(plain["alarms"]["threshold"]):
        plain["alarms"]["threshold"] = None
    plain["month"] = {"alarms": worth.month[0], "false": worth.month[1]}
    return plain


def steps_ahead(found: AlarmRecord) -> list[float] | None:
    """The quartiles of how many steps before the events caught the first alarm came; None where none was caught."""
    return np.quantile(found.ahead, [0.25, 0.5, 0.75]).tolist() if found.ahead else None


def _threshold(
    windows: Windows,
    p: Floats,
    y: npt.NDArray[np.int8],
    horizon: int,
    when: When,
    events: Mapping[int, Sequence[int]],
    grid: Grid,
    alarms_a_month: float | None,
    wrong_a_unit: float | None,
) -> float:
    units, stand = len(np.unique(windows.unit)), stands_for(horizon, when)
    if alarms_a_month is not None:
        allowed = alarms_a_month * len(windows) / month_of(grid)
        return threshold_for_budget(windows.unit, windows.step, p, y, stand, allowed=allowed)
    if wrong_a_unit is not None:
        return threshold_for_budget(windows.unit, windows.step, p, y, stand, allowed=wrong_a_unit * units, wrong=True)
    return threshold_for_alarms(windows.unit, windows.step, p, y, events, horizon, when=when)


def _calibration(p: Floats, y: npt.NDArray[np.bool_]) -> dict[str, Any]:
    if not len(p):
        return {}
    base = float(y.mean())
    return {
        "ece": float(expected_calibration_error(p, y)),
        "brier": float(np.mean((p - y) ** 2)),
        "brier_of_base_rate": base * (1 - base),
        "bins": [asdict(b) for b in reliability_bins(p, y, 10)],
    }
