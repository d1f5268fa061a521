"""The kind `anticipate_failures`: a unit's newest readings to the risk of a failure within each horizon, and its signs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, field_validator
from scipy.special import expit

from shokunin import metrics
from shokunin.answer import Answer, Inputs
from shokunin.calibration import Calibration
from shokunin.dataset import Example
from shokunin.errors import DataError, TaskError
from shokunin.files import read_json
from shokunin.forms import Foreseen, Form, Lessons, Raw, Strange
from shokunin.metrics import Comparison, Interval
from shokunin.series.columns import Columns
from shokunin.series.plan import Plan
from shokunin.series.readings import Grid
from shokunin.series.sent import Sent, Shape, read_sent
from shokunin.series.strangeness import DETECTORS, Detector
from shokunin.series.telling import QUIET, alarm_text, said
from shokunin.series.trees import TreeOptions
from shokunin.task import Task
from shokunin.tasks import chat
from shokunin.tasks.strange_answers import STRANGE, strange_answer
from shokunin.template import Template

FORMS: tuple[Form, ...] = ("series_window",)
LABELS = False
HUB_TASK = None
INPUTS = ("unit", "readings")
ALARMS = "alarms.json"
POWER = "power"
"""What is measured where the target is `normal`."""
NAMED = 20
"""So many channels are named where a specialist is described."""
REMEMBERED = 64
"""Windows that were read and may be asked for again at once."""


class Options(Plan):
    """What a table of readings means, what is to be foreseen in it, and how often the phone may ring.

    Attributes:
        unit: the column that names the unit; by default one that looks like it, else the whole table is one unit.
        time: the column with a time, or the number of a cycle.
        sensors: the columns with readings (of a long table: the channels to keep); by default all that hold numbers.
        channel, value: of a table with one reading a row: the columns that name the channel and hold the reading.
        timezone: of times that carry none.
        date_order: what 3/1/2024 means.
        step: one row of the even grid that readings become.
        times: steps of so many minutes, hours, days or cycles.
        longest_gap: holes of more steps than this are not filled; by default the window.
        failures: a file with the units and times of failures.
        equipment: a file with what each unit is called.
        alarms_a_month: a budget: so many alarms a unit in 30 days (of cycles: in 100); None: the threshold with the best F1.
        alarms_a_week: of `normal`: so many alarms a unit and week (of cycles: in 100) are the most that may come in normal time.
        normal_until: of `normal`: the time up to which the history is taken as normal; None: all of it.
        detectors: of `normal`: what is tried.
        event: what is foreseen, in a word.
    """

    unit: str | None = None
    time: str | None = None
    sensors: tuple[str, ...] = ()
    channel: str | None = None
    value: str | None = None
    timezone: str | None = None
    date_order: Literal["month_first", "day_first"] | None = None
    step: Literal["minute", "hour", "day", "cycle"] = "day"
    times: int = Field(default=1, ge=1)
    longest_gap: int | None = Field(default=None, ge=0)
    failures: str | None = None
    equipment: str | None = None
    alarms_a_month: float | None = Field(default=None, gt=0)
    alarms_a_week: float = 0.5
    normal_until: str | None = None
    detectors: tuple[Detector, ...] = DETECTORS
    event: str = "failure"

    @field_validator("alarms_a_week")
    @classmethod
    def _some(cls, value: float) -> float:
        if not 0 < value < math.inf:
            raise ValueError(
                f"{value:g} alarms a unit and week are no budget: that none ever comes no quiet time can show; write the most "
                "that you would bear, such as 0.1"
            )
        return value

    @field_validator("normal_until", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """A date as TOML reads it, or the number of a cycle."""
        if isinstance(value, datetime):
            return value.isoformat(" ")
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        return value

    @property
    def grid(self) -> Grid:
        """How readings become even."""
        gap = self.window if self.longest_gap is None else self.longest_gap
        return Grid(step=self.step, times=self.times, longest_gap=gap, shortest=self.window)

    @property
    def columns(self) -> dict[str, Any]:
        """What was said of the columns."""
        told = {name: getattr(self, name) for name in ("unit", "time", "channel", "value", "timezone", "date_order")}
        return {name: value for name, value in told.items() if value is not None}

    @property
    def plan(self) -> Plan:
        """Without the table."""
        return Plan(**{name: getattr(self, name) for name in Plan.model_fields})


def options_of(task: Task) -> Options:
    """The task's options.

    Raises:
        TaskError: one is unknown or wrong.
    """
    try:
        return Options(**task.options)
    except ValidationError as error:
        raise TaskError(_what_does_not_fit(task, error)) from error


def _what_does_not_fit(task: Task, error: ValidationError) -> str:
    """The first thing that is wrong; of an unknown name the likeliest, or all that there are."""
    first = error.errors(include_url=False)[0]
    *outer, name = map(str, first["loc"] or ("options",))
    if first["type"] == "extra_forbidden":
        known = list(TreeOptions.model_fields if outer == ["trees"] else Options.model_fields)
        near = get_close_matches(name, known, n=1)
        better = f"did you mean {'.'.join([*outer, near[0]])!r}?" if near else f"there are {', '.join(known)}"
        return f"task {task.name!r} has the unknown option {'.'.join([*outer, name])!r}; {better}"
    told = first["msg"].removeprefix("Value error, ")
    return f"the option {'.'.join([*outer, name])!r} of task {task.name!r} cannot be {first['input']!r}: {told}"


def check(task: Task, folder: Path = Path()) -> None:
    """The options must be those of foreseeing.

    Raises:
        TaskError: one is unknown or wrong, or the metric is of another target.
    """
    told = options_of(task)
    if (task.metric == POWER) != (told.target == "normal"):
        by = (
            "'power', the share of injected faults that is found"
            if told.target == "normal"
            else "'pr_auc' or 'roc_auc'"
        )
        raise TaskError(
            f"task {task.name!r} with the target {told.target!r} is measured by {by}, not by {task.metric!r}"
        )


def settle(task: Task, rows: Sequence[Mapping[str, str]]) -> Task:
    """The task as it is: a table of readings is looked at as a whole, when it is read."""
    options_of(task)
    return task


def gather(task: Task, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterable[Example]:
    """Rows that hold a unit and its newest readings as JSON."""
    for origin, row in rows:
        inputs = {name: str(row.get(name) or "") for name in task.inputs}
        yield Example(inputs, str(row.get(task.target) or "").strip() or None, origin)


def prepare(task: Task, examples: Sequence[Example], side_files: Path) -> None:
    """Nothing: what the codec needs is in the task's options, and `alarms.json` comes with the thresholds."""


def codec(task: Task, side_files: Path) -> FailuresCodec:
    """The codec, from the task and, once they are chosen, the thresholds."""
    path = side_files / ALARMS
    return FailuresCodec(task, tuple(read_json(path)["thresholds"]) if path.exists() else None)


def described(options: Mapping[str, Any], labels: Sequence[str]) -> tuple[str, Sequence[str]]:
    """What it does, for its card."""
    told = Options(**options)
    read, spans = f"From a unit's last {told.window} readings of {{}}", ", ".join(map(told.grid.span, told.horizons))
    if told.target == "normal":
        says = "whether they are unlike the unit's normal time, since when, and which sensors are. It has learnt from no failure"
    else:
        says = f"how likely a {alarm_text(f'{told.event} is', spans, told.when)}"
    return f"{read} it says {says}.", told.sensors[:NAMED]


class FailuresCodec:
    """Sent readings to windows, log-odds to risks, alarms and a sentence."""

    none_labels: tuple[str, ...] = ()
    calibration = Calibration()
    hints: Mapping[str, Any] = {}

    def __init__(self, task: Task, thresholds: Sequence[float | None] | None = None) -> None:
        """For a task whose options are settled; `thresholds` are risks from which on an alarm is raised, one a horizon.

        None among them: never; None: none were chosen yet.
        """
        self._task, self._told = task, options_of(task)
        self._thresholds = tuple(thresholds) if thresholds is not None else (None,) * len(self._told.horizons)
        self._read = lru_cache(maxsize=REMEMBERED)(self._sent)

    @property
    def shape(self) -> Shape:
        """What a window has to look like."""
        told = self._told
        if told.time is None or not told.sensors:
            raise TaskError(f"task {self._task.name!r} does not say its `time` and `sensors`; a trained one does")
        return Shape(Columns(**{**told.columns, "channels": told.sensors}), told.grid, told.window)

    def lessons(self, examples: Sequence[Example], form: Form = "series_window") -> Lessons:
        """There are none.

        Raises:
            TaskError: always; a fleet's history is learnt as a whole, and `train` reads it as such.
        """
        raise TaskError(
            "windows are learnt with the history they are cut from, not as single rows; use `shokunin train`"
        )

    def encode(self, batch: Sequence[Inputs], form: Form = "series_window") -> list[Any]:
        """The newest window of each."""
        return [self._read(row["unit"], row["readings"]).window for row in batch]

    def problem(self, inputs: Inputs) -> str | None:
        """Why this input cannot be answered, or None."""
        found = chat.problem(inputs, INPUTS)
        if found is None and not inputs["unit"].strip():
            return "the unit has no name"
        if found is not None:
            return found
        try:
            self._read(inputs["unit"], inputs["readings"])
        except DataError as error:
            return str(error)
        return None

    def decode(self, raw: Raw, answered_by: str, batch: Sequence[Inputs] = ()) -> list[Answer]:
        """The shortest horizon with an alarm, or none; every risk, the signs and the sentence among the details."""
        rows = cast(Sequence[Foreseen | Strange], raw)
        if not batch:
            return [self.answer(row, answered_by) for row in rows]
        return [self._answer(row, inputs, answered_by) for row, inputs in zip(rows, batch, strict=True)]

    def evidence(self, raw: Raw, batch: Sequence[Inputs] = ()) -> npt.NDArray[np.float64]:
        """The log-odds that what is said is so."""
        rows = cast(Sequence[Foreseen | Strange], raw)
        if self._told.target == "normal":
            return np.asarray([abs(row.score) for row in rows if isinstance(row, Strange)], dtype=np.float64)
        sure = [self._decided(row)[1] for row in rows if isinstance(row, Foreseen)]
        return np.asarray([metrics.log_odds(float(np.log(max(p, 1e-12)))) for p in sure], dtype=np.float64)

    def correct(self, expected: str, value: str | None) -> bool:
        """Whether the very same is said."""
        return value == expected

    def scores(
        self, expected: Sequence[str], given: Sequence[str | None], groups: Sequence[Any], *, seed: int = 0
    ) -> dict[str, Interval]:
        """`alarm_accuracy`: the share of windows about which the right thing is said; areas need the risks themselves."""
        marks = np.asarray([e == g for e, g in zip(expected, given, strict=True)], dtype=np.float64)
        return {"alarm_accuracy": metrics.mean(marks, groups, seed=seed)}

    def compare(
        self,
        expected: Sequence[str],
        a: Sequence[str | None],
        b: Sequence[str | None],
        groups: Sequence[Any],
        *,
        seed: int = 0,
    ) -> Comparison:
        """Two predictors by what they say, paired."""
        first, second = (np.asarray([e == g for e, g in zip(expected, s, strict=True)]) for s in (a, b))
        return metrics.compare_accuracy(first, second, groups, seed=seed)

    def trivial(self, examples: Sequence[Example]) -> str:
        """To say nothing."""
        return QUIET

    def phrased(self, messages: Sequence[Mapping[str, Any]]) -> Template | None:
        """The wording that fits, if it is specific."""
        return chat.phrased(self._task, messages)

    def read_chat(self, messages: Sequence[Mapping[str, Any]]) -> Inputs:
        """A JSON object with `unit` and `readings`; a bare text is the name of a unit whose readings are known.

        Raises:
            TaskError: there is no user message.
        """
        text = chat.last_user(messages)
        told: Any = None
        if text.lstrip().startswith("{"):
            try:
                told = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise TaskError(f"the last user message is no JSON: {error}") from error
        if not isinstance(told, dict):
            return {"unit": text.strip(), "readings": "[]"}
        unit, readings = told.get("unit"), told.get("readings", "[]")
        if not isinstance(unit, str):
            raise TaskError('the last user message needs a text "unit", and "readings" unless they are known')
        return {"unit": unit, "readings": readings if isinstance(readings, str) else json.dumps(readings)}

    def write_chat(self, answer: Answer, wording: Template | None = None) -> str:
        """The sentence."""
        return str(answer.details.get("said") or answer.value or "")

    def ask_chat(self, inputs: Inputs, wording: Template | None = None) -> list[dict[str, str]]:
        """The unit and its readings as JSON."""
        return [{"role": "user", "content": json.dumps(dict(inputs), ensure_ascii=False)}]

    def read_reply(self, reply: str, wording: Template | None = None) -> str | None:
        """The alarm that a reply means, if it is spelled as one."""
        text = reply.strip().rstrip(".")
        if self._told.target == "normal":
            return text if text in (QUIET, STRANGE) else None
        known = [QUIET, *(self._alarm(j) for j in range(len(self._told.horizons)))]
        return text if text in known else None

    def _alarm(self, j: int) -> str:
        return alarm_text(self._told.event, self._told.grid.span(self._told.horizons[j]), self._told.when)

    def _sent(self, unit: str, readings: str) -> Sent:
        return read_sent(unit.strip(), readings, self.shape)

    def _decided(self, row: Foreseen) -> tuple[int | None, float]:
        """Which horizon rings first, and how likely what is said is right."""
        risks = expit(np.asarray(row.logits))
        for j, threshold in enumerate(self._thresholds):
            if threshold is not None and risks[j] >= threshold:
                return j, float(risks[j])
        return None, float(1 - risks[-1])

    def _answer(self, row: Foreseen | Strange, inputs: Inputs, answered_by: str) -> Answer:
        sent = self._read(inputs["unit"], inputs["readings"])
        notes = (*sent.notes, *json.loads(inputs.get("notes", "[]")))
        return self.answer(row, answered_by, unit=inputs["unit"].strip(), until=sent.until, notes=notes)

    def answer(
        self,
        row: Foreseen | Strange,
        answered_by: str,
        *,
        unit: str = "",
        until: int | None = None,
        notes: Sequence[str] = (),
    ) -> Answer:
        """What a window's raw output says.

        Args:
            row: it.
            answered_by: who says it.
            unit: whose window it is.
            until: the step of its newest reading.
            notes: sentences about readings that were left out.
        """
        told = self._told
        if isinstance(row, Strange):
            return strange_answer(row, answered_by, told.grid, told.window, unit=unit, until=until, notes=notes)
        risks = expit(np.asarray(row.logits)).tolist()
        rings, confidence = self._decided(row)
        horizons = [
            {
                "horizon": told.grid.span(h), "steps": h, "risk": risk, "alarm_from": threshold,
                "alarm": threshold is not None and risk >= threshold,
            }
            for h, risk, threshold in zip(told.horizons, risks, self._thresholds, strict=True)
        ]  # fmt: skip
        details: dict[str, Any] = {
            "unit": unit,
            "until": None if until is None else told.grid.when(until),
            "horizons": horizons,
            "signs": [
                {"channel": s.channel, "push": s.push, "outside_for": s.outside_for, "moving_for": s.moving_for}
                for s in row.signs
            ],
            "measured_against": "its own past" if row.known else "the fleet, as it has no past of its own",
            "looks_like": None if row.precedent is None else {
                "unit": row.precedent.unit, "event": told.grid.when(row.precedent.event), "steps_before": row.precedent.ahead,
                "distance": row.precedent.distance, "near_below": row.precedent.near,
            },
            "said": said(
                unit, told.event, told.when, horizons, row.signs, told.grid, known=row.known, precedent=row.precedent
            ),
        }  # fmt: skip
        if notes:
            details["notes"] = list(notes)
        value = QUIET if rings is None else self._alarm(rings)
        scores = {self._alarm(j): risk for j, risk in enumerate(risks)}
        return Answer(value, confidence, answered_by, scores=scores, details=details)


def settled_with(task: Task, columns: Columns, sensors: Sequence[str]) -> Task:
    """The task once the table is known: the columns that were taken, without the files of the training."""
    told = options_of(task)
    named = {
        "unit": columns.unit, "time": columns.time, "channel": columns.channel, "value": columns.value,
        "sensors": tuple(sensors), "failures": None, "equipment": None,
    }  # fmt: skip
    whole = told.model_copy(update=named).model_dump(mode="json", exclude_none=True)
    return replace(task, inputs=INPUTS, target=told.event, options=whole)
