"""The report of a specialist that tells what is unlike normal time, on readings that it was given after its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.metrics import Interval
from shokunin.pipeline.fleet_folder import Window
from shokunin.pipeline.fleet_reporting import machines_report, sides_of
from shokunin.pipeline.fleet_seen import Seen
from shokunin.pipeline.normal_pictures import loud_channel, pictures
from shokunin.pipeline.normal_proof import LEVEL, PLAINLY, begins_of, budget_told, case_of, labelled_told, quiet_as_json
from shokunin.pipeline.publish import read_report
from shokunin.progress import Progress, silent
from shokunin.prove.wording import p_value
from shokunin.report import Report
from shokunin.series.alarms import AlarmRecord
from shokunin.series.columns import Columns
from shokunin.series.proof import steps_ahead
from shokunin.series.quietness import Detection, counted, week_text
from shokunin.series.readings import Readings
from shokunin.series.ringing import Met, Ringing
from shokunin.series.strangeness import StrangeModel
from shokunin.series.windows import Windows
from shokunin.specialist import Specialist
from shokunin.tasks.anticipate_failures import Options

RATE, CAUGHT = "alarms_a_week", "caught"
"""What is measured: alarms a unit and week where none is due; with failures also the share of them that had an alarm before."""
RANDOMLY = "whoever rings as often at random"
SHOWN = 50
"""Names of units that are listed."""


@dataclass(frozen=True)
class Given:
    """Everything the report is made of.

    Attributes:
        options: of the specialist.
        columns: what the table's columns mean.
        readings, windows: those that were judged; n windows.
        state: int8 (n,), what the label column says of the newest step of each, or -1.
        calm: mask (n,), where an alarm counts against the budget.
        model: with its threshold.
        scores: shape (n,).
        stand: steps for which an alarm stands.
        found: how the model rang.
        plain: how plain limits rang, at the threshold of the same training; None where it chose these, or did not keep it.
        known: the failures beside the windows; None without a log.
        labelled: how labelled states are found; None without labels, or with one kind only.
        failures: the log, by unit.
        seen: what is known of the windows that had no part.
        of: windows that there were, those included.
        source, log: the files.
    """

    options: Options
    columns: Columns
    readings: Readings
    windows: Windows
    state: npt.NDArray[np.int8]
    calm: npt.NDArray[np.bool_]
    model: StrangeModel
    scores: npt.NDArray[np.float64]
    stand: int
    found: Ringing
    plain: Ringing | None
    known: Met | None
    labelled: Detection | None
    failures: Mapping[str, Sequence[int]]
    seen: Seen
    of: int
    source: str
    log: str | None

    @property
    def told(self) -> bool:
        """Whether anything says when the machines were well: failures or labels."""
        return self.known is not None or bool((self.state >= 0).any())

    @property
    def new_units(self) -> list[str]:
        """Units without normal time of their own, where each is measured against its own."""
        names = [self.readings.units[u] for u in np.unique(self.windows.unit).tolist()]
        return [name for name in names if name not in self.model.scale.units] if self.model.scale.units else []

    @property
    def strangers(self) -> int:
        """Failures of units without readings."""
        return sum(len(steps) for unit, steps in self.failures.items() if unit not in self.readings.units)

    @property
    def unwatched(self) -> int:
        """Failures of units with readings, none of them in the horizon before."""
        return sum(map(len, self.failures.values())) - self.strangers - (self.known.judged if self.known else 0)


def normal_given_report(
    specialist: Specialist, given: Given, sample: Sequence[Window], *, progress: Progress = silent
) -> Report:
    """The report.

    Args:
        specialist: open; its answers to the sample become the report's cases.
        given: the proof.
        sample: judged windows as they would be sent.
        progress: told how far it is.
    """
    answers = specialist.predict([w.inputs for w in sample])
    right = np.where(given.state == 1, 1, np.where(given.calm & given.told, 0, -1))
    cases = [case_of(w, answer, int(right[w.row])) for w, answer in zip(sample, answers, strict=True)]
    outcome, reasons = _verdict(given)
    published = read_report(specialist)
    rate, record, chance = given.found.calm.rate, given.found.record, given.found.chance
    scores = {RATE: rate}
    baseline: dict[str, Any] = {"label": PLAINLY, "scores": {}, "p": 1.0}
    if given.plain is not None:
        baseline["scores"][RATE] = asdict(given.plain.calm.rate)
    if record is not None and chance is not None:
        assert record.recall is not None, "a failure is judged, or there is no report"
        scores[CAUGHT] = record.recall
        share = [getattr(chance.caught, end) / record.events for end in ("value", "low", "high")]
        baseline = {"label": RANDOMLY, "scores": {CAUGHT: asdict(Interval(*share))}, "p": chance.p}
    return machines_report(
        specialist,
        [w.inputs for w in sample],
        verdict=outcome,
        reasons=reasons,
        rows=len(given.windows),
        metric=RATE if record is None else CAUGHT,
        scores=scores,
        baseline=baseline,
        ladder=[replace(rung, score=None) for rung in published.ladder if rung.chosen],
        why_chosen=published.why_chosen,
        threshold=given.model.threshold,
        dataset={
            **sides_of(
                published.dataset.get("train", 0), published.dataset.get("validation", 0), len(given.windows), given.readings
            ),
            "source": given.source, "seen_in_training": given.of - len(given.windows) if given.seen.known else None,
        },
        anticipation=_anticipation(given, published),
        cases=cases,
        progress=progress,
    )  # fmt: skip


def _verdict(given: Given) -> tuple[str, list[str]]:
    """Pass where the budget is shown to be kept, and failures, where they are known, are caught more often than by chance."""
    grid, budget, found = given.readings.grid, given.options.alarms_a_week, given.found
    week = week_text(grid)
    when = "in this time"
    if given.known is not None:
        when = f"in time without a failure in the {grid.span(given.known.horizon)} after it"
    elif (given.state >= 0).any():
        when = f"in time that {given.options.column!r} calls normal"
    kept, told = budget_told(found.calm, budget, week, when, what="alarms" if given.known is None else "false alarms")
    reasons = [told]
    good = kept
    if found.record is not None and found.chance is not None and given.known is not None:
        good = kept and found.chance.p < LEVEL
        reasons += _caught(given, found.record)
    elif not (given.state >= 0).any():
        reasons.append(
            "Nobody said whether the machines were well in this time, so whether its alarms were right is not known. A log of "
            "failures can tell: --failures FILE, a unit and a time a row."
        )
    return ("pass" if good else "fail"), [*reasons, *_told(given)]


def _caught(given: Given, record: AlarmRecord) -> list[str]:
    """What the failures say."""
    assert given.known is not None and given.found.chance is not None
    grid, chance = given.readings.grid, given.found.chance
    span, ahead = grid.span(given.known.horizon), steps_ahead(record)
    early = "" if ahead is None else f", half of those at least {grid.span(round(ahead[1]))} ahead"
    out = [
        f"{record.caught:,} of {record.events:,} failures had an alarm in the {span} before them{early}; {RANDOMLY} catches "
        f"{chance.caught.value:.1f} ({chance.caught.low:g} to {chance.caught.high:g}; {p_value(chance.p)})."
    ]
    if chance.p >= LEVEL:
        out.append("Failures are not caught measurably more often than by ringing at random.")
    if given.plain is not None and given.plain.record is not None:
        plain = given.plain
        assert plain.record is not None
        out.append(
            f"Plain limits on each sensor, at the threshold that the same training gave them, caught {plain.record.caught:,} of "
            f"{plain.record.events:,}, with {plain.calm.rate.value:.2f} false alarms a unit and {week_text(grid)}."
        )
    if given.strangers:
        out.append(f"Failures of units without readings, which had no part: {given.strangers:,}.")
    if given.unwatched:
        out.append(
            f"Failures without a judged window in the {span} before them, which had no part: {given.unwatched:,}."
        )
    return out


def _told(given: Given) -> list[str]:
    """What else has to be known to trust it."""
    out = []
    if given.labelled is not None:
        out.append(labelled_told(given.labelled))
    units = len(np.unique(given.windows.unit))
    if given.new_units:
        told = (
            f"{len(given.new_units):,} of {units:,} units have no normal time of their own in the training and were measured "
            "against the fleet"
        )
        out.append(f"{told}{_others(given)}.")
    return [*out, given.seen.told]


def _others(given: Given) -> str:
    """How often the units rang that are measured against their own normal time."""
    new = [given.readings.units.index(name) for name in given.new_units]
    rows = np.flatnonzero(given.calm & ~np.isin(given.windows.unit, new))
    if not len(rows):
        return ""
    grid, alarms = given.readings.grid, [a for a in given.found.calm.alarms if a.unit not in new]
    rate = counted(alarms, given.windows.take(rows), grid, stride=given.options.stride).rate
    return f"; the others alone rang {rate.value:.2f} times a unit and {week_text(grid)} ({rate.low:.2f} to {rate.high:.2f})"


def _anticipation(given: Given, published: Report) -> dict[str, Any]:
    """Everything that the page shows and no other kind has."""
    options, grid, readings = given.options, given.readings.grid, given.readings
    ratio = given.scores / given.model.threshold
    channel = loud_channel(readings, given.windows, ratio, given.model, readings.facts["constant_channels"])
    if given.known is not None:
        labels, events, words = given.known.labels, given.known.events, {"mark": "failure", "caught": "caught"}
    else:
        labels = np.where(given.state == 1, 1, np.where(given.calm & given.told, 0, -1)).astype(np.int8)
        events, words = begins_of(given.windows, given.state), {}
    return {
        "event": options.event,
        "target": "normal",
        "grid": {"step": grid.step, "times": grid.times},
        "window": options.window,
        "span": grid.span(given.stand),
        "units": len(np.unique(given.windows.unit)),
        "new_units": given.new_units[:SHOWN],
        "channels": list(readings.channels),
        "week": week_text(grid),
        "budget": options.alarms_a_week,
        "horizons": [],
        "detector": given.model.detector,
        "why": published.why_chosen,
        "quiet": quiet_as_json(given.found.calm),
        "all": quiet_as_json(given.found.all),
        "failures": _failures(given, given.found),
        "log": None if given.known is None else {
            "file": given.log, "failures": sum(map(len, given.failures.values())), "without_readings": given.strangers,
            "without_windows": given.unwatched, "horizon": given.known.horizon, "span": grid.span(given.known.horizon),
        },
        "plain": None if given.plain is None else {
            "quiet": quiet_as_json(given.plain.calm), "all": quiet_as_json(given.plain.all),
            "failures": _failures(given, given.plain),
        },
        "told": given.told,
        "labelled": None if given.labelled is None else asdict(given.labelled),
        "split": {
            "by": "given", "told": given.seen.told, "namesakes": list(given.seen.namesakes[:SHOWN]),
            "windows": {"in": given.of, "train": 0, "validation": 0, "test": len(given.windows)},
        },
        "leaks": [],
        "read": readings.facts,
        "taken": {
            "columns": {
                "unit": given.columns.unit, "time": given.columns.time, "channels": list(readings.channels),
                "long": given.columns.is_long, "label": options.column,
            },
            "target": "normal", "split": f"none: {given.seen.told}", "events": {u: len(f) for u, f in given.failures.items()},
            "named_units": 0,
        },
        "speaking": [],
        "timelines": pictures(readings, given.windows, ratio, labels, events, given.stand, channel, **words),
    }  # fmt: skip


def _failures(given: Given, found: Ringing) -> dict[str, Any] | None:
    """Plain values: failures caught, days ahead, right and false alarms, and what chance would have caught."""
    record = found.record
    if record is None or found.chance is None:
        return None
    return {
        "events": record.events, "caught": record.caught, "recall": None if record.recall is None else asdict(record.recall),
        "steps_ahead": {"quartiles": steps_ahead(record), "caught": len(record.ahead)},
        "alarms": len(record.alarms), "right": record.right, "wrong": record.wrong, "late": found.late,
        "open": record.open - found.late,
        "precision": None if record.precision is None else asdict(record.precision), "by_chance": asdict(found.chance),
    }  # fmt: skip
