"""Which detector is chosen where nothing is known of failures: by injected faults found at the owner's budget of alarms.

Every detector gets the threshold at which the held-out normal time rings no more than the budget. One whose threshold
from the older half of that time rings measurably too often in the newer half is passed over: what was normal has not
stayed so for it. Of the others the simplest is chosen whose share of found faults is not measurably below the best. A
detector that would take longer to fit than what is left of the training's time is not tried.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from shokunin.errors import UsageError
from shokunin.metrics import compare_accuracy
from shokunin.pipeline.normal_period import NormalPeriod
from shokunin.progress import Progress, silent
from shokunin.prove.wording import duration
from shokunin.series.injected import Injected, Sort, inject
from shokunin.series.quietness import Power, power, quiet, threshold_within, weeks_of
from shokunin.series.ranking import FEW_UNITS
from shokunin.series.strangeness import DETECTORS, Detector, StrangeModel, read_strange
from shokunin.series.windows import Windows
from shokunin.tasks.anticipate_failures import Options
from shokunin.train import Learner, learner
from shokunin.weights import Weights

LEVEL = 0.05
BEHIND = 0.02
"""A simpler detector is kept while it finds at most so much less of the faults and no test can tell it from the best."""
PLAIN: Detector = "last_outside"
Found = Mapping[Sort, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Tried:
    """A detector that was fitted.

    Attributes:
        name: which.
        weights: the folder, with the threshold written into it.
        model: read from there.
        found: which of the faults injected into the held-out normal time it finds.
        power: the share.
        halves: alarms a unit and week in the newer half of that time, with the threshold of the older half.
        steady: whether that is not measurably more than the budget.
        seconds: the fit took.
        allowed: alarms that its threshold might raise in the held-out normal time.
    """

    name: Detector
    weights: Weights
    model: StrangeModel
    found: Found
    power: Power
    halves: float
    steady: bool
    seconds: float
    allowed: int


@dataclass(frozen=True)
class NormalChoice:
    """The detectors, and which was chosen and why.

    Attributes:
        period: what was normal.
        tried: all of them, the plain limits among them.
        chosen: one of them.
        why: in a sentence.
        left_out: detectors that were asked for and not tried, each with the reason.
    """

    period: NormalPeriod
    tried: tuple[Tried, ...]
    chosen: Tried
    why: str
    left_out: tuple[tuple[Detector, str], ...] = ()

    @property
    def plain(self) -> Tried:
        """The limits on each sensor."""
        return next(t for t in self.tried if t.name == PLAIN)


def choose_detector(
    period: NormalPeriod, folder: Path, *, budget_seconds: float = math.inf, progress: Progress = silent
) -> NormalChoice:
    """Fit every detector in a folder of its own below `folder`, give each its threshold, and choose one.

    Args:
        period: what was normal.
        folder: exists.
        budget_seconds: a detector is not tried if its fit would take longer than what is left of this; plain limits, with
            which the others are compared, are always fitted.
        progress: told which is being fitted.

    Raises:
        UsageError: the normal windows cannot be learnt from.
    """
    options = period.options
    held = period.windows.take(period.split.validation)
    grid, stride = period.readings.grid, options.stride
    judged = weeks_of(period.windows.take(period.split.test), grid, stride) or weeks_of(held, grid, stride)
    names = [d for d in DETECTORS if d in options.detectors or d == PLAIN]
    faults: dict[Sort, Injected] = {}
    tried: list[Tried] = []
    left_out: list[tuple[Detector, str]] = []
    begun, lessons = time.perf_counter(), period.lessons()
    for number, name in enumerate(names):
        fitter, how = _learner(name, options)
        needed, left = fitter.forecast(lessons, how), max(0.0, budget_seconds - (time.perf_counter() - begun))
        if name != PLAIN and needed > left:
            told = f"not tried: it would take about {duration(needed)}, with {duration(left)} of the budget left"
            left_out.append((name, told))
            continue
        place = folder / name
        place.mkdir(parents=True)
        progress(f"learning what is normal: {name}", number, len(names))
        start = time.perf_counter()
        weights = fitter.fit(lessons, how, place, seed=options.seed, progress=progress)
        seconds = time.perf_counter() - start
        model = read_strange(place)
        faults = faults or faults_of(model, period, period.split.validation)
        scores = model.scores(period.readings, held)
        threshold, allowed = threshold_within(
            held, scores, period.stand, grid, options.alarms_a_week, judged, stride=stride
        )
        model = replace(model, threshold=threshold)
        model.save(place)
        found = found_by(model, faults)
        halves, steady = _halves(period, held, scores)
        share = power(found, faults, held)
        tried.append(Tried(name, weights, model, found, share, halves, steady, seconds, allowed))
    chosen, why = _choose(tried, faults, held)
    return NormalChoice(period, tuple(tried), chosen, why, tuple(left_out))


def faults_of(
    model: StrangeModel, period: NormalPeriod, rows: npt.NDArray[np.int64], *, seed: int = 0
) -> dict[Sort, Injected]:
    """Faults injected into normal windows of one side: the same for every detector, as scales and relations are.

    Raises:
        UsageError: there are too few such windows for any sort of fault.
    """
    made = inject(
        period.readings,
        period.windows.take(rows),
        model.scale,
        model.arrays["related"],
        seed=seed + period.options.seed,
    )
    if not made:
        raise UsageError(
            f"no sort of fault could be injected into ten of the {len(rows)} held-out normal windows, so detectors cannot be "
            "compared; give more normal time, or a shorter window"
        )
    return made


def found_by(model: StrangeModel, faults: Mapping[Sort, Injected]) -> dict[Sort, npt.NDArray[np.bool_]]:
    """Which of the faults raise an alarm, by sort."""
    return {sort: model.score(one.values, one.units) >= model.threshold for sort, one in faults.items()}


def _learner(name: Detector, options: Options) -> tuple[Learner, BaseModel]:
    """What fits a detector, and how."""
    alone = name == "forecast_residual"
    found = learner("forecast_residual" if alone else "normal_windows")
    told = {"scale": options.measured_by} if alone else {"scale": options.measured_by, "detector": name}
    return found, found.Options(**told)


def _halves(period: NormalPeriod, held: Windows, scores: npt.NDArray[np.float64]) -> tuple[float, bool]:
    """The rate in the newer half of the held-out time with the older half's threshold, and whether the budget allows it."""
    options, grid = period.options, period.readings.grid
    middle = np.median(held.step)
    older = np.flatnonzero(held.step <= middle)
    newer = np.flatnonzero(held.step - held.length + 1 > middle)
    if not len(older) or not len(newer):
        return 0.0, True
    judged = weeks_of(held.take(newer), grid, options.stride)
    threshold, _ = threshold_within(
        held.take(older), scores[older], period.stand, grid, options.alarms_a_week, judged, stride=options.stride
    )
    found = quiet(held.take(newer), scores[newer], threshold, period.stand, grid, stride=options.stride)
    return found.rate.value, found.rate.low <= options.alarms_a_week


def _choose(tried: Sequence[Tried], faults: Mapping[Sort, Injected], held: Windows) -> tuple[Tried, str]:
    few = len(np.unique(held.unit)) < FEW_UNITS
    groups = np.concatenate([one.base if few else held.unit[one.base] for one in faults.values()])
    marks = {t.name: np.concatenate([t.found[sort] for sort in faults]) for t in tried}
    steady = [t for t in tried if t.steady] or list(tried)
    unsteady = [t.name for t in tried if not t.steady]
    passed = f"; {', '.join(unsteady)} rang too often in the newer half of the held-out time" if unsteady else ""
    best = max(steady, key=lambda t: t.power.all.value)
    for one in steady[: steady.index(best)]:
        gap = compare_accuracy(marks[one.name], marks[best.name], groups)
        if gap.p_worse > LEVEL and gap.difference.value >= -BEHIND:
            behind = f"{-gap.difference.value:.3f} of the injected faults behind the best, {best.name}"
            return (
                one,
                f"{one.name} is the simplest that is not measurably worse: {behind} (p {gap.p_worse:.2f}){passed}",
            )
    return best, f"{best.name} finds most of the injected faults at the budget, {best.power.all.value:.0%}{passed}"
