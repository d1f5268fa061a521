"""Anticipating failures: readings are labelled, split, fitted, chosen from and judged as the models would have worked.

The rungs are fitted on the training side, stopped, calibrated, chosen and given their thresholds on the validation
side, and judged once on the test side, which is later (or other units) and shares no reading and no label day with
the others. Where units are tested, training is crossed: the validation side is all training units, each scored by
models that were taught without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError, UsageError
from shokunin.metrics import Comparison
from shokunin.progress import Progress, silent
from shokunin.series.features import Block
from shokunin.series.labels import apart, excursions, from_failures, from_remaining, from_states
from shokunin.series.leaks import Leak, find_leaks
from shokunin.series.lessons import SeriesLessons
from shokunin.series.model import SeriesModel, read_model
from shokunin.series.plan import RUNGS, Plan, RungName
from shokunin.series.ranking import blocks_of, compare_rankings
from shokunin.series.readings import Readings
from shokunin.series.scaling import Scale, fit_scale
from shokunin.series.split import Split, by_time, by_units, crossed, random_windows
from shokunin.series.windows import Windows, windows_of
from shokunin.train import boosted_trees, last_readings
from shokunin.weights import Weights

BEHIND = 0.01
"""A simpler rung is kept while it is at most so much average precision behind and no test can tell it from the best."""
LEVEL = 0.05
Remaining = list[npt.NDArray[np.float32]]
States = list[npt.NDArray[np.int8]]


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before a model is fitted.

    Attributes:
        plan: what was asked.
        readings: the sensors, without label columns and leaks.
        windows: all windows whose labels are known for at least one horizon.
        labels: int8 (n, horizons).
        events: by unit number, the steps of the events.
        split: the sides.
        leaks: channels that seem to know the answer; those not in `keep_leaks` are taken out.
        texts: by unit.
    """

    plan: Plan
    readings: Readings
    windows: Windows
    labels: npt.NDArray[np.int8]
    events: Mapping[int, Sequence[int]]
    split: Split
    leaks: tuple[Leak, ...]
    texts: Mapping[str, str]

    def lessons(self) -> SeriesLessons:
        """What the learners are handed."""
        plan = self.plan
        return SeriesLessons(
            self.readings, self.windows, self.labels, plan.horizons, plan.when, self.split.train, self.split.validation,
            self.split.known, self.texts, plan.offset, self.split.folds,
        )  # fmt: skip


@dataclass(frozen=True)
class FittedRung:
    """A rung that was fitted, with its calibrated log-odds on the validation and test windows, (n, horizons) each.

    Where training is crossed those of the validation windows come from models that saw nothing of their unit.
    """

    name: RungName
    weights: Weights
    model: SeriesModel
    validation: npt.NDArray[np.float64]
    test: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """The rung that was chosen for a horizon on the validation side, and why."""

    horizon: int
    rung: FittedRung
    why: str


@dataclass(frozen=True)
class Anticipation:
    """The fitted rungs, and which one was chosen for each horizon, in the order of the plan's horizons."""

    prepared: Prepared
    rungs: tuple[FittedRung, ...]
    chosen: tuple[Choice, ...]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def validation(self) -> npt.NDArray[np.float64]:
        """Log-odds of the chosen rungs on the validation windows, (n, horizons)."""
        return np.stack([c.rung.validation[:, j] for j, c in enumerate(self.chosen)], axis=1)

    @property
    def test(self) -> npt.NDArray[np.float64]:
        """Log-odds of the chosen rungs on the test windows, (n, horizons)."""
        return np.stack([c.rung.test[:, j] for j, c in enumerate(self.chosen)], axis=1)


def prepare(
    readings: Readings,
    plan: Plan,
    *,
    failures: Mapping[str, Sequence[int]] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Prepared:
    """Label, look for leaks, split.

    Args:
        readings: of the sensors, and of the label column if there is one.
        plan: what is asked.
        failures: by unit, the steps at which it failed (for the target `failures`).
        texts: by unit, what the equipment records call it.

    Raises:
        UsageError: whole units are tested, and each is to be measured against itself.
        DataError: the target's data are missing or say nothing, or the history is too short.
    """
    if plan.split == "unit" and plan.measured_by == "unit":
        # Training units would be measured against themselves and all others against the fleet: the same column would be
        # a deviation here and a level there, and an excursion a fifth of the days here and all of them or none there.
        raise UsageError(
            "split='unit' with scale='unit': the validation and test units are not in training, so they have no scale of "
            "their own; measure all against the fleet (scale='fleet', the default there), or split by time (split='time')"
        )
    readings, remaining, states = _told_apart(readings, plan)
    windows = windows_of(readings, plan.window, stride=plan.stride)
    split = _split(readings, windows, plan)
    if plan.target == "excursions":
        scale = fit_scale(readings, split.known, by=plan.measured_by, least=plan.window)
        states = excursions(readings, scale, plan.channels or None)
    labels, events = _labels(readings, windows, plan, remaining, states, failures)
    if plan.split == "unit":
        split = crossed(split, windows, labels, parts=plan.parts, seed=plan.seed)
    leaks = find_leaks(readings, windows, labels, plan.horizons, split.train, events=events, when=plan.when)
    gone = sorted({leak.channel for leak in leaks} - set(plan.keep_leaks))
    if gone:
        if len(gone) == len(readings.channels):
            raise DataError(
                f"every channel seems to know the answer: {leaks[0].channel!r}, {leaks[0].why}; keep those that are "
                "sensors: --option keep_leaks=NAME,NAME"
            )
        readings, split = _without(readings, split, gone)
    return Prepared(plan, readings, windows, labels, events, split, tuple(leaks), dict(texts or {}))


def labelled(
    readings: Readings, plan: Plan, scale: Scale, *, failures: Mapping[str, Sequence[int]] | None = None
) -> tuple[Readings, Windows, npt.NDArray[np.int8], dict[int, list[int]]]:
    """The sensors, all windows of them, their labels and the events, where nothing is to be learnt: `scale` is what was.

    Raises:
        DataError: the target's data are missing or say nothing, or no history is as long as a window.
    """
    readings, remaining, states = _told_apart(readings, plan)
    windows = windows_of(readings, plan.window, stride=plan.stride)
    if plan.target == "excursions":
        states = excursions(readings, scale, plan.channels or None)
    return readings, windows, *_labels(readings, windows, plan, remaining, states, failures)


def fit_rungs(prepared: Prepared, folder: Path, *, progress: Progress = silent) -> Anticipation:
    """Fit every rung of the plan in a folder of its own below `folder`, and choose one for each horizon.

    Where excursions are the target `last_outside` is fitted and shown even if the plan does not ask for it; it is then
    not chosen.

    Raises:
        UsageError: a horizon has no windows of both kinds on the training or validation side.
    """
    lessons, plan = prepared.lessons(), prepared.plan
    rungs: list[FittedRung] = []
    notes: dict[str, str] = {}
    # Whoever is out of range today mostly is so tomorrow: no foreseeing of excursions is shown without that beside it.
    beside = {"last_outside"} if plan.target == "excursions" and prepared.split.facts.get("honest", True) else set()
    for name in [r for r in RUNGS if r in plan.rungs or r in beside]:
        if name == "text" and not prepared.texts:
            notes[name] = "not tried: the units have no texts"
            continue
        place = folder / name
        place.mkdir(parents=True)
        progress(f"fitting {name}", len(rungs), len(plan.rungs))
        weights, validation = _fit(name, lessons, plan, place, progress)
        model = read_model(weights.folder)
        if validation is None:
            validation = _answers(model, prepared, prepared.split.validation)
        rungs.append(FittedRung(name, weights, model, validation, _answers(model, prepared, prepared.split.test)))
    return Anticipation(prepared, tuple(rungs), choose([r for r in rungs if r.name in plan.rungs], prepared), notes)


def choose(rungs: Sequence[FittedRung], prepared: Prepared) -> tuple[Choice, ...]:
    """For each horizon the first rung that is not measurably worse than the best, by average precision on the validation side."""
    side = prepared.split.validation
    labels, windows, plan = prepared.labels[side], prepared.windows.take(side), prepared.plan
    blocks = blocks_of(windows.unit, windows.step, plan.window + max(plan.horizons))
    return tuple(_choice(rungs, j, labels[:, j], blocks, plan) for j in range(len(plan.horizons)))


def _choice(
    rungs: Sequence[FittedRung], j: int, labels: npt.NDArray[np.int8], blocks: npt.NDArray[np.int64], plan: Plan
) -> Choice:
    def gap(rung: FittedRung, other: FittedRung) -> Comparison:
        scores = rung.validation[:, j], other.validation[:, j]
        return compare_rankings(*scores, labels, blocks, seed=plan.seed)["pr_auc"]

    horizon = plan.horizons[j]
    above = [gap(rung, rungs[0]).difference.value for rung in rungs]
    best = max(range(len(rungs)), key=above.__getitem__)
    for rung in rungs[:best]:
        found = gap(rung, rungs[best])
        if found.p_worse > LEVEL and found.difference.value >= -BEHIND:
            told = f"{-found.difference.value:.3f} average precision behind the best, {rungs[best].name}"
            why = f"{rung.name} is the simplest that is not measurably worse: {told} (p {found.p_worse:.2f})"
            return Choice(horizon, rung, why)
    told = "nothing beat it" if best == 0 else f"{above[best]:.3f} above {rungs[0].name}"
    why = f"{rungs[best].name} has the best average precision on the validation side ({told})"
    return Choice(horizon, rungs[best], why)


def published_protocol(
    readings: Readings, plan: Plan, folder: Path, *, inside: bool = True, progress: Progress = silent
) -> Anticipation:
    """The published way to judge, reproduced: excursions from ranges of the whole history, a random share of the windows as test.

    With `inside` the test windows are among the training windows, as in the released code. One rung, `statistics` (or
    what the plan's last rung is), with positives weighed up. Never a promise about unseen data.
    """
    windows = windows_of(readings, plan.window, stride=plan.stride)
    everything = [(s, np.ones(len(s), dtype=bool)) for s in readings.stretches]
    scale = fit_scale(readings, everything, least=plan.window)
    states = excursions(readings, scale, plan.channels or None)
    labels = from_states(readings, windows, states, plan.horizons, when="at", offset=1)
    known = np.flatnonzero((labels >= 0).all(axis=1))
    windows, labels = windows.take(known), labels[known]
    split = random_windows(readings, windows, inside=inside)
    trees = plan.trees.model_copy(update={"weigh_positives": True})
    told = plan.model_copy(
        update={
            "when": "at",
            "offset": 1,
            "target": "excursions",
            "trees": trees,
            "scale": "unit",
            "rungs": plan.rungs[-1:],
        }
    )
    prepared = Prepared(told, readings, windows, labels, _onsets(readings, states), split, (), {})
    return fit_rungs(prepared, folder, progress=progress)


def _told_apart(readings: Readings, plan: Plan) -> tuple[Readings, Remaining | None, States | None]:
    """The sensors; what the label column says at every row: the remaining life, or the state."""
    if plan.target not in ("remaining", "label"):
        return readings, None, None
    if plan.column is None:
        raise DataError(f"the target {plan.target!r} needs the name of its column: --option column=NAME")
    readings, taken = apart(readings, [plan.column])
    if plan.target == "remaining":
        return readings, taken[plan.column], None
    return readings, None, [np.where(np.isnan(v), -1, v > 0).astype(np.int8) for v in taken[plan.column]]


def _labels(
    readings: Readings,
    windows: Windows,
    plan: Plan,
    remaining: Remaining | None,
    states: States | None,
    failures: Mapping[str, Sequence[int]] | None,
) -> tuple[npt.NDArray[np.int8], dict[int, list[int]]]:
    """The labels of the windows, and by unit number the steps of the events."""
    if remaining is not None:
        return from_remaining(windows, remaining, plan.horizons, when=plan.when), _ends(readings, remaining)
    if states is not None:
        labels = from_states(readings, windows, states, plan.horizons, when=plan.when, offset=plan.offset)
        return labels, _onsets(readings, states)
    if not failures:
        raise DataError("there are no failures to learn from; give their dates, or look for anomalies without them")
    labels = from_failures(readings, windows, failures, plan.horizons, when=plan.when)
    return labels, {u: list(failures[name]) for u, name in enumerate(readings.units) if name in failures}


def _split(readings: Readings, windows: Windows, plan: Plan) -> Split:
    if plan.split == "time":
        return by_time(readings, windows, max(plan.horizons) + plan.offset, shares=plan.shares)
    return by_units(readings, windows, folds=plan.folds, fold=plan.fold, seed=plan.seed, validation=None)


def _answers(model: SeriesModel, prepared: Prepared, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return model.logits_of(model.recipe.matrix(prepared.readings, prepared.windows.take(rows)))


def _fit(
    name: RungName, lessons: SeriesLessons, plan: Plan, folder: Path, progress: Progress
) -> tuple[Weights, npt.NDArray[np.float64] | None]:
    if name in ("base_rate", "last_outside", "outside_30"):
        rule = last_readings.Options(rule=name, scale=plan.measured_by)
        return last_readings.fit_crossed(lessons, rule, folder, seed=plan.seed, progress=progress)
    blocks: dict[str, tuple[Block, ...]] = {
        "statistics": ("statistics", "recent"),
        "embedding": ("statistics", "recent", "embedding"),
        "text": ("statistics", "recent", "embedding", "text"),
    }
    options = boosted_trees.Options(
        blocks=blocks[name], scale=plan.measured_by, encoder=plan.encoder, encoder_steps=plan.encoder_steps,
        lora_steps=plan.lora_steps, text_model=plan.text_model, most_windows=plan.most_windows, trees=plan.trees,
    )  # fmt: skip
    return boosted_trees.fit_crossed(lessons, options, folder, seed=plan.seed, progress=progress)


def _without(readings: Readings, split: Split, names: Sequence[str]) -> tuple[Readings, Split]:
    rest, _ = apart(readings, names)
    known = [(new, mask) for new, (_, mask) in zip(rest.stretches, split.known, strict=True)]
    return rest, replace(split, known=known)


def _onsets(readings: Readings, states: Sequence[npt.NDArray[np.int8]]) -> dict[int, list[int]]:
    """The steps at which the state begins, by unit."""
    out: dict[int, list[int]] = {}
    for stretch, state in zip(readings.stretches, states, strict=True):
        bad = state == 1
        starts = np.flatnonzero(bad & ~np.r_[False, bad[:-1]])
        out.setdefault(stretch.unit, []).extend((starts + stretch.start).tolist())
    return out


def _ends(readings: Readings, remaining: Sequence[npt.NDArray[np.float32]]) -> dict[int, list[int]]:
    """The step at which each stretch's remaining life is used up, by unit."""
    out: dict[int, list[int]] = {}
    for stretch, left in zip(readings.stretches, remaining, strict=True):
        known = np.flatnonzero(~np.isnan(left))
        if len(known):
            out.setdefault(stretch.unit, []).append(int(stretch.start + known[-1] + round(float(left[known[-1]]))))
    return out
