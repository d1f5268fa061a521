"""What a detector is worth without recorded failures: alarms in normal time against the budget, and faults found at that budget.

Rates have Garwood's exact Poisson interval (Garwood, 1936) or that of a bootstrap over units, whichever is wider:
alarms of one unit come in company.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, nbinom

from shokunin import metrics
from shokunin.metrics import Comparison, Interval
from shokunin.series.alarms import Alarm, raise_alarms, threshold_for_budget
from shokunin.series.injected import Injected, Sort
from shokunin.series.ranking import FEW_UNITS, blocks_of
from shokunin.series.readings import Grid
from shokunin.series.windows import Windows

Floats = npt.NDArray[np.float64]
SURE = 0.8
"""A threshold is set so that in so many of a hundred tests like this one the budget would be shown to be kept."""
DRAWS = 1000
ROUNDS = 4
STANDS = 4
"""An alarm stands for at most this part of the time that the budget allows between two."""


@dataclass(frozen=True)
class Quiet:
    """Alarms in time that was normal.

    Attributes:
        alarms: all of them.
        weeks: unit-weeks that were watched (of cycles: hundreds of cycles).
        rate: alarms a unit and week.
    """

    alarms: tuple[Alarm, ...]
    weeks: float
    rate: Interval


@dataclass(frozen=True)
class Power:
    """The share of injected faults that is found.

    Attributes:
        sorts: by sort.
        all: of all sorts, each counted alike.
        better: that less the plain limits' share, on the same faults; None for these themselves.
    """

    sorts: Mapping[Sort, Interval]
    all: Interval
    better: Comparison | None


@dataclass(frozen=True)
class Detection:
    """How labelled states are found, by the newest reading of each window (the protocol of SKAB).

    Attributes:
        rows, faulty: judged windows, and those in the bad state.
        f1: with its interval over units or stretches of time.
        everything: the F1 of calling everything strange.
        false_alarms, missed: shares of normal windows called strange, of others not.
        episodes, found: unbroken times in the bad state, and those with an alarm in them.
    """

    rows: int
    faulty: int
    f1: Interval
    everything: float
    false_alarms: Interval
    missed: Interval
    episodes: int
    found: int


def week_of(grid: Grid) -> float:
    """Steps in seven days; of cycles 100."""
    return 100.0 / grid.times if grid.step == "cycle" else 7 * 86400 / grid.seconds


def week_text(grid: Grid) -> str:
    """What a budget is counted in."""
    return "100 cycles" if grid.step == "cycle" else "week"


def weeks_of(windows: Windows, grid: Grid, stride: int = 1) -> float:
    """Unit-weeks that windows watch."""
    return len(windows) * stride / week_of(grid)


def stand_of(window: int, budget: float, grid: Grid) -> int:
    """Steps for which an alarm stands: the window, as what is strange stays in it, but a part of the time that the budget
    allows between two alarms. Else whoever rings always would keep the budget.
    """
    return max(1, min(window, int(week_of(grid) / budget / STANDS)))


def threshold_within(
    windows: Windows, scores: Floats, stand: int, grid: Grid, budget: float, judged: float, *, stride: int = 1
) -> tuple[float, int]:
    """The threshold for a budget of alarms a unit and week, and how many alarms it was allowed on these windows.

    Where units differ in how often they ring, the interval of the test will be wider than Poisson's by about as much as
    it is here, and fewer are allowed.

    Args:
        windows: normal ones that nothing was learnt from.
        scores: theirs.
        stand: steps for which an alarm stands.
        grid: what a step is.
        budget: alarms a unit and week.
        judged: unit-weeks of the test to come.
        stride: steps from window to window.
    """
    watched, spread = weeks_of(windows, grid, stride), 1.0
    for _ in range(ROUNDS):
        allowed = allowed_alarms(budget, watched, judged, spread=spread)
        threshold = threshold_for(windows, scores, stand, allowed)
        found = quiet(windows, scores, threshold, stand, grid, stride=stride)
        plain = poisson(len(found.alarms), found.weeks)
        wider = (found.rate.high - found.rate.value) / (plain.high - plain.value)
        if wider <= spread:
            break
        spread = wider
    return threshold, allowed


def allowed_alarms(budget: float, watched: float, judged: float, *, spread: float = 1.0) -> int:
    """How many alarms a threshold may raise in `watched` unit-weeks.

    So few that a test of `judged` unit-weeks would most likely show the budget to be kept: the upper end of its interval
    has to stay below the budget in four of five such tests (the count to come is negative binomial). 0 where even that is
    too many. Where alarms come in company both are `spread` times as wide.
    """
    best = 0
    for count in range(int(budget * watched) + 1):
        usual = (count + 0.5) * judged / watched
        worst = usual + spread * (float(nbinom.ppf(SURE, count + 0.5, watched / (watched + judged))) - usual)
        plain = poisson(int(np.ceil(max(worst, 0.0))), judged)
        if plain.value + spread * (plain.high - plain.value) > budget:
            break
        best = count
    return best


def threshold_for(windows: Windows, scores: Floats, stand: int, allowed: int) -> float:
    """The lowest threshold with at most so many alarms; more than any score where none is allowed."""
    normal = np.zeros(len(scores), dtype=np.int8)
    found = threshold_for_budget(windows.unit, windows.step, scores, normal, stand, allowed=allowed)
    return max(found if np.isfinite(found) else float(np.nextafter(scores.max(), np.inf)), 1e-9)


def quiet(windows: Windows, scores: Floats, threshold: float, stand: int, grid: Grid, *, stride: int = 1) -> Quiet:
    """The alarms in windows, and how many a unit and week that is."""
    normal = np.zeros(len(scores), dtype=np.int8)
    return counted(
        raise_alarms(windows.unit, windows.step, scores, normal, threshold, stand), windows, grid, stride=stride
    )


def counted(raised: Sequence[Alarm], windows: Windows, grid: Grid, *, stride: int = 1) -> Quiet:
    """How many alarms a unit and week those are that were raised in these windows."""
    alarms = tuple(raised)
    units, watched = np.unique(windows.unit, return_counts=True)
    each = np.bincount(np.searchsorted(units, [a.unit for a in alarms]), minlength=len(units)).astype(np.float64)
    weeks = watched * stride / week_of(grid)
    found = poisson(len(alarms), float(weeks.sum()))
    if len(units) >= FEW_UNITS and alarms:
        rng = np.random.default_rng(0)
        drawn = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), size=DRAWS)
        low, high = np.quantile(drawn @ each / (drawn @ weeks), [0.025, 0.975]).tolist()
        found = Interval(found.value, min(found.low, low), max(found.high, high))
    return Quiet(alarms, float(weeks.sum()), found)


def poisson(count: int, weeks: float) -> Interval:
    """A rate with its exact interval."""
    low = float(chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    return Interval(count / weeks, low / weeks, float(chi2.ppf(0.975, 2 * count + 2)) / 2 / weeks)


def power(
    found: Mapping[Sort, npt.NDArray[np.bool_]],
    faults: Mapping[Sort, Injected],
    windows: Windows,
    plain: Mapping[Sort, npt.NDArray[np.bool_]] | None = None,
) -> Power:
    """What share of faults is found, with intervals over units, or where these are few over the windows they were made of.

    Args:
        found: by sort, which of the faults raise an alarm.
        faults: the same.
        windows: that the faults were made of.
        plain: which of them plain limits find, at their own threshold for the same budget.
    """
    few = len(np.unique(windows.unit)) < FEW_UNITS
    groups = {sort: one.base if few else windows.unit[one.base] for sort, one in faults.items()}
    sorts = {sort: metrics.accuracy(found[sort], groups[sort]) for sort in faults}
    together, of = np.concatenate([found[s] for s in faults]), np.concatenate([groups[s] for s in faults])
    better = None
    if plain is not None:
        better = metrics.compare_accuracy(together, np.concatenate([plain[s] for s in faults]), of)
    return Power(sorts, metrics.accuracy(together, of), better)


def detection(windows: Windows, state: npt.NDArray[np.int8], scores: Floats, threshold: float) -> Detection | None:
    """How the state (1 bad, 0 normal) at the end of each window is found; None where windows are of one kind only."""
    y, hot = state == 1, scores >= threshold
    if not 0 < y.sum() < len(y):
        return None
    groups = blocks_of(windows.unit, windows.step, 5 * windows.length)
    tp = (hot & y).astype(float)
    f1 = metrics.ratio(2 * tp, hot.astype(float) + y.astype(float), groups)
    episodes = _episodes(windows, y)
    return Detection(
        len(y), int(y.sum()), f1, 2 * float(y.mean()) / (1 + float(y.mean())),
        metrics.accuracy(hot[~y], groups[~y]), metrics.accuracy(~hot[y], groups[y]), len(episodes),
        sum(bool(hot[rows].any()) for rows in episodes),
    )  # fmt: skip


def _episodes(windows: Windows, y: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """The rows of each unbroken time in the bad state."""
    bad = np.flatnonzero(y)
    bad = bad[np.lexsort((windows.step[bad], windows.stretch[bad]))]
    far = np.diff(windows.step[bad]) > windows.length
    cuts = np.flatnonzero((np.diff(windows.stretch[bad]) != 0) | far) + 1
    return [rows for rows in np.split(bad, cuts) if len(rows)]
