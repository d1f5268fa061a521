"""The proof where no failure is known: alarms in normal time, injected faults and labelled states found, as a Report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.answer import Answer
from shokunin.metrics import Interval
from shokunin.pipeline.fleet_folder import Window
from shokunin.pipeline.fleet_reporting import machines_report, sides_of
from shokunin.pipeline.fleet_rows import Fleet
from shokunin.pipeline.normal_choice import NormalChoice, Tried, faults_of, found_by
from shokunin.pipeline.normal_period import NormalPeriod
from shokunin.pipeline.normal_pictures import loud_channel, pictures
from shokunin.progress import Progress, silent
from shokunin.report import Case, Report, Rung
from shokunin.series.injected import SORTS
from shokunin.series.quietness import Detection, Power, Quiet, detection, power, quiet, week_text
from shokunin.series.strangeness import StrangeModel
from shokunin.series.windows import Windows
from shokunin.specialist import Specialist
from shokunin.tasks.strange_answers import STRANGE

LEVEL = 0.05
PLAINLY = "plain limits on each sensor"
MUCH = 0.2
"""Share of readings that were filled in from which on it is worth a word."""
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DetectorWorth:
    """One detector on the sealed normal time.

    Attributes:
        quiet: its alarms.
        power: the injected faults that it finds.
    """

    quiet: Quiet
    power: Power


@dataclass(frozen=True)
class JudgedNormal:
    """Everything a report is made of.

    Attributes:
        fleet: what was read.
        choice: the detectors, and the chosen one.
        worths: of every detector, by name.
        faults: how many of each sort were injected.
        labelled: how the chosen detector finds labelled states; None without labels.
        watched: its alarms after the normal time, where nobody says what is normal; None where there is no such time.
        seconds: the fits took.
    """

    fleet: Fleet
    choice: NormalChoice
    worths: Mapping[str, DetectorWorth]
    faults: int
    labelled: Detection | None
    watched: Quiet | None
    seconds: float

    @property
    def worth(self) -> DetectorWorth:
        """Of the chosen detector."""
        return self.worths[self.choice.chosen.name]


def sealed_rows(period: NormalPeriod) -> Rows:
    """Windows that nothing was learnt from or chosen by: tested normal time, labelled states, time that nobody speaks for."""
    return np.unique(np.concatenate([period.split.test, period.labelled, period.watched]))


def judge_normal(fleet: Fleet, choice: NormalChoice, seconds: float) -> JudgedNormal:
    """What the detectors are worth on the sealed side; their thresholds are those of the held-out side."""
    period = choice.period
    options, readings, grid = period.options, period.readings, period.readings.grid
    rows = period.split.test
    tested = period.windows.take(rows)
    faults = faults_of(choice.plain.model, period, rows, seed=1)
    plainly = found_by(choice.plain.model, faults)
    worths: dict[str, DetectorWorth] = {}
    for one in choice.tried:
        found = found_by(one.model, faults)
        scores = one.model.scores(readings, tested)
        worths[one.name] = DetectorWorth(
            quiet(tested, scores, one.model.threshold, period.stand, grid, stride=options.stride),
            power(found, faults, tested, None if one is choice.plain else plainly),
        )
    model = choice.chosen.model
    labelled = watched = None
    if len(period.labelled):
        both = np.unique(np.concatenate([rows, period.labelled]))
        windows = period.windows.take(both)
        labelled = detection(windows, period.state[both], model.scores(readings, windows), model.threshold)
    if len(period.watched):
        windows = period.windows.take(period.watched)
        scores = model.scores(readings, windows)
        watched = quiet(windows, scores, model.threshold, period.stand, grid, stride=options.stride)
    return JudgedNormal(
        fleet, choice, worths, min(len(one) for one in faults.values()), labelled, watched, seconds
    )  # fmt: skip


def normal_report(
    specialist: Specialist, judged: JudgedNormal, sample: Sequence[Window], *, progress: Progress = silent
) -> Report:
    """The report.

    Args:
        specialist: open; its answers to the sample become the report's cases.
        judged: the proof.
        sample: windows of the sealed side as they would be sent.
        progress: told how far it is.
    """
    choice, period = judged.choice, judged.choice.period
    answers = specialist.predict([w.inputs for w in sample])
    cases = [case_of(w, answer, int(period.state[w.row])) for w, answer in zip(sample, answers, strict=True)]
    task = specialist.task
    outcome, reasons = _verdict(judged, task.target_score)
    share = judged.worth.power
    plain = judged.worths[choice.plain.name].power.all
    rows = len(sealed_rows(period))
    return machines_report(
        specialist,
        [w.inputs for w in sample],
        verdict=outcome,
        reasons=reasons,
        rows=rows,
        metric=task.metric,
        scores={task.metric: share.all},
        baseline={
            "label": PLAINLY,
            "scores": {task.metric: asdict(plain)},
            "p": 1.0 if share.better is None else share.better.p_better,
        },
        ladder=[
            *(_rung(one, judged) for one in choice.tried), *(Rung(name, None, note=note) for name, note in choice.left_out)
        ],
        why_chosen=choice.why,
        threshold=choice.chosen.model.threshold,
        dataset=sides_of(len(period.split.train), len(period.split.validation), rows, judged.fleet.readings),
        anticipation=_anticipation(judged),
        cases=cases,
        progress=progress,
    )  # fmt: skip


def _verdict(judged: JudgedNormal, target: float | None) -> tuple[str, list[str]]:
    """Pass where the budget is shown to be kept, and faults are found measurably more often than by plain limits."""
    period, found, budget = judged.choice.period, judged.worth, judged.choice.period.options.alarms_a_week
    week = week_text(period.readings.grid)
    share, plain = found.power, judged.worths[judged.choice.plain.name].power.all
    kept, told = budget_told(found.quiet, budget, week, "in sealed normal time")
    reasons = [told]
    more = share.better is not None and share.better.p_better < LEVEL
    reasons.append(
        f"{_percent(share.all)} of injected faults are found at that budget, by plain limits on each sensor {_percent(plain)}"
        + (
            f" (p {share.better.p_better:.3f})."
            if share.better is not None
            else ": it is those limits that were chosen."
        )
    )
    good = kept and more
    if not more:
        reasons.append("Faults are not found measurably more often than by plain limits.")
    if good and target is not None and share.all.low < target:
        good = False
        reasons.append(f"The lower end of power, {share.all.low:.3f}, does not reach the target of {target:g}.")
    return ("pass" if good else "fail"), [*reasons, *_told(judged)]


def budget_told(found: Quiet, budget: float, week: str, when: str, what: str = "alarms") -> tuple[bool, str]:
    """Whether a budget of alarms is shown to be kept, and that in a sentence.

    Args:
        found: the alarms, in the time that counts.
        budget: alarms a unit and week.
        week: what that is called.
        when: which time counts: `in sealed normal time`.
        what: sort of alarms.
    """
    rate, kept = found.rate, found.rate.high <= budget
    if not kept and not found.alarms:
        return kept, (
            f"No alarm in {found.weeks:.1f} unit-{week}s {when} does not show that the budget of {budget:g} is kept (it may be "
            f"{rate.high:.2f}); it takes about {3.69 / budget:.0f} such unit-{week}s without an alarm."
        )
    told = f"{rate.value:.2f} {what} a unit and {week} {when} ({rate.low:.2f} to {rate.high:.2f})"
    so = "kept" if kept else "not kept" if rate.low > budget else "not shown to be kept"
    return kept, f"{told}: the budget of {budget:g} is {so}."


def labelled_told(d: Detection) -> str:
    """How labelled states were found, in a sentence."""
    return (
        f"Of {d.episodes} labelled states {d.found} were found; F1 {d.f1.value:.3f} ({d.f1.low:.3f} to {d.f1.high:.3f}), by "
        f"calling everything strange {d.everything:.3f}; false alarms in {_percent(d.false_alarms)} of normal windows, "
        f"{_percent(d.missed)} of the others missed. No label was learnt from or chosen by."
    )


def _told(judged: JudgedNormal) -> list[str]:
    """What else has to be known to trust it."""
    period, out = judged.choice.period, []
    week = week_text(period.readings.grid)
    if judged.labelled is not None:
        out.append(labelled_told(judged.labelled))
    if judged.watched is not None:
        rate = judged.watched.rate
        out.append(
            f"After the normal time, where nobody says what was normal, it rang {len(judged.watched.alarms)} times: "
            f"{rate.value:.2f} a unit and {week} ({rate.low:.2f} to {rate.high:.2f})."
        )
    if period.options.normal_until is None and period.options.column is None:
        out.append(
            "The whole history was taken as normal: a failure that hides in it was learnt as normal, or counts as a false alarm."
        )
    filled = float(judged.fleet.readings.facts["filled_share"])
    if filled > MUCH:
        out.append(
            f"{filled:.0%} of the readings are not there and were filled from the one before: much of what was learnt is that."
        )
    out += [f"Detector {name!r} was {note}." for name, note in judged.choice.left_out]
    out += [f"Channel {name!r} is not looked at: {why}." for name, why in period.gone]
    out += [f"Channel {name!r} never moved in normal time; any move of it is strange." for name in period.still]
    return out


def _rung(one: Tried, judged: JudgedNormal) -> Rung:
    """A detector as it did on the held-out side, by which it was chosen."""
    best = max(judged.choice.tried, key=lambda t: t.power.all.value)
    note = None if one.steady else f"rang {one.halves:.2f} times a unit and week in the newer half of the held-out time"
    return Rung(
        one.name, one.power.all, None, best.power.all.value - one.power.all.value, one.seconds,
        size_bytes=one.weights.size_bytes(), chosen=one is judged.choice.chosen, note=note,
    )  # fmt: skip


def _anticipation(judged: JudgedNormal) -> dict[str, Any]:
    """Everything that the page shows and no other kind has."""
    fleet, choice, period = judged.fleet, judged.choice, judged.choice.period
    grid, options = period.readings.grid, period.options
    plain = judged.worths[choice.plain.name]
    seconds: dict[str, float] = {one.name: one.seconds for one in choice.tried}
    return {
        "event": options.event,
        "target": "normal",
        "grid": {"step": grid.step, "times": grid.times},
        "window": options.window,
        "span": grid.span(period.stand),
        "units": len(period.readings.units),
        "channels": list(period.readings.channels),
        "week": week_text(grid),
        "budget": options.alarms_a_week,
        "allowed": choice.chosen.allowed,
        "normal": period.facts,
        "horizons": [],
        "detector": choice.chosen.name,
        "why": choice.why,
        "quiet": quiet_as_json(judged.worth.quiet),
        "power": asdict(judged.worth.power.all),
        "faults": [
            {
                "sort": sort, "told": told, "windows": judged.faults, "found": asdict(judged.worth.power.sorts[sort]),
                "plain": asdict(plain.power.sorts[sort]),
            }
            for sort, told in SORTS.items()
            if sort in judged.worth.power.sorts
        ],
        "detectors": [
            {
                "name": name, "power": asdict(worth.power.all), "quiet": quiet_as_json(worth.quiet), "seconds": seconds[name],
                "held_out": asdict(one.power.all), "steady": one.steady,
                "better": None if worth.power.better is None else asdict(worth.power.better),
            }
            for (name, worth), one in zip(judged.worths.items(), choice.tried, strict=True)
        ],
        "labelled": None if judged.labelled is None else asdict(judged.labelled),
        "watched": None if judged.watched is None else quiet_as_json(judged.watched),
        "split": period.split.facts,
        "leaks": [],
        "gone": [list(pair) for pair in period.gone],
        "still": list(period.still),
        "read": fleet.readings.facts,
        "taken": fleet.facts,
        "speaking": [],
        "timelines": _pictures(period, choice.chosen.model),
    }  # fmt: skip


def _pictures(period: NormalPeriod, model: StrangeModel) -> list[dict[str, Any]]:
    """Of the sealed side; labelled states are its events."""
    rows = sealed_rows(period)
    windows, state = period.windows.take(rows), period.state[rows]
    ratio = model.scores(period.readings, windows) / model.threshold
    labels = np.where(state == 1, 1, np.where(np.isin(rows, period.watched), -1, 0)).astype(np.int8)
    channel = loud_channel(period.readings, windows, ratio, model, period.still)
    return pictures(period.readings, windows, ratio, labels, begins_of(windows, state), period.stand, channel)


def begins_of(windows: Windows, state: npt.NDArray[np.int8]) -> dict[int, list[int]]:
    """By unit number, the steps at which the bad state (1) begins."""
    out: dict[int, list[int]] = {}
    for unit in np.unique(windows.unit[state == 1]).tolist():
        mine = np.flatnonzero(windows.unit == unit)
        mine = mine[np.argsort(windows.step[mine], kind="stable")]
        bad = state[mine] == 1
        out[unit] = windows.step[mine][bad & ~np.r_[False, bad[:-1]]].tolist()
    return out


def quiet_as_json(found: Quiet) -> dict[str, Any]:
    """Plain values: how many alarms, in how many unit-weeks, and the rate."""
    return {"alarms": len(found.alarms), "weeks": found.weeks, "rate": asdict(found.rate)}


def case_of(window: Window, answer: Answer, state: int) -> Case:
    """A window as it would be sent, and what was answered; state: 1 bad, 0 normal, -1 nobody knows what is right."""
    expected = {1: STRANGE, 0: "no alarm"}.get(state, "")
    return Case(
        f"{window.inputs['unit']}, until {window.until}", {"unit": window.inputs["unit"], "until": window.until}, expected,
        answer.value, answer.confidence, not expected or answer.value == expected, True, problem=answer.problem,
        details={"said": answer.details.get("said")},
    )  # fmt: skip


def _percent(share: Interval) -> str:
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})".replace("%", " %")
