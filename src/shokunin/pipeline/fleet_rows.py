"""A fleet as its owner has it: a table of readings, what is known of failures, what units are called; read and settled once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shokunin.curate.read import read_rows
from shokunin.curate.table import Table
from shokunin.errors import DataError, TaskError, UsageError
from shokunin.pipeline.rows import name_of
from shokunin.progress import Progress, silent
from shokunin.series.columns import Columns, guess_columns
from shokunin.series.events import Event, by_unit, placed, read_events, read_masters
from shokunin.series.plan import Plan
from shokunin.series.readings import Readings, read_readings
from shokunin.task import Task, read_task
from shokunin.tasks.anticipate_failures import INPUTS, POWER, Options, check, options_of
from shokunin.toml_text import told_value

KIND = "anticipate_failures"
SAMPLE = 1_000
REMAINING = (
    "rul",
    "remaining",
    "remaining_life",
    "remaining_cycles",
    "remaining_days",
    "ttf",
    "time_to_failure",
    "残寿命",
)
STATES = ("label", "anomaly", "fault", "failure", "failed", "broken", "ground_truth", "異常", "故障")
FILES = ("failures", "equipment")
FEW_UNITS = 5

Rows = str | Path | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Fleet:
    """What was read.

    Attributes:
        task: with options that leave nothing open.
        options: those of the task.
        columns: what the table's columns mean.
        readings: the history, the label column among the channels where there is one.
        failures: by unit, the steps of the failures; empty where another target is asked for.
        texts: by unit, what the equipment records call it.
        facts: sentences and counts for people: what was taken for what.
    """

    task: Task
    options: Options
    columns: Columns
    readings: Readings
    failures: Mapping[str, Sequence[int]]
    texts: Mapping[str, str]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """What is to be foreseen."""
        return self.options.plan


def fleet_task(data: Rows, task: Task | None, name: str | None, wishes: Mapping[str, Any]) -> tuple[Rows, Task, Path]:
    """The rows, the task and the folder that its files are named from.

    Args:
        data: a table, rows, or a task's folder.
        task: what is asked, if it is at hand.
        name: the specialist's.
        wishes: fields of the task that replace what it says; of `options` those that are given.
    """
    folder = Path()
    if isinstance(data, (str, Path)) and (Path(data) / "task.toml").is_file():
        folder = Path(data)
        task = task or read_task(folder / "task.toml")
        data = _table_in(folder / "rows")
    if task is None:
        task = Task(name=name or name_of(data), kind=KIND, inputs=INPUTS, target="failure")
    given = {key: value for key, value in wishes.items() if value is not None and key != "options"}
    options = {**task.options, **(wishes.get("options") or {})}
    if task.kind != KIND:
        given = {"kind": KIND, "metric": "", **given}
    if "metric" not in given or not given["metric"]:
        kept = task.metric if task.kind == KIND and task.metric != POWER else ""
        given["metric"] = POWER if options.get("target") == "normal" else kept
    task = replace(
        task, **{**given, "name": name or task.name, "inputs": INPUTS, "target": "failure", "options": options}
    )
    check(task)
    return data, task, folder


def read_fleet(data: Rows, task: Task, folder: Path, *, seed: int = 0, progress: Progress = silent) -> Fleet:
    """The readings, failures and names, and the task with everything that was left open settled.

    Args:
        data: the table of readings: a file, or rows.
        task: as `fleet_task` gives it.
        folder: what `failures` and `equipment` are named from.
        seed: of everything that is drawn.
        progress: told of the rows read.

    Raises:
        DataError: a column is missing, the tables do not fit each other, or nothing says what a failure is.
    """
    told = options_of(task)
    table = table_of(data, progress)
    sample = table.sample(SAMPLE)
    target, column = _target(told, table)
    known: dict[str, Any] = dict(told.columns)
    if told.sensors:
        known["channels"] = told.sensors
    columns = guess_columns(table.columns, sample, **known)
    if not columns.is_long:
        channels = tuple(c for c in columns.channels if c != column)
        columns = columns.model_copy(update={"channels": (*channels, column) if column else channels})
    columns.check(table.columns)
    told = told.model_copy(update={"target": target, "column": column, "seed": seed})
    if told.channels and target != "excursions":
        raise UsageError(
            f"the option 'channels' names those whose excursions are foreseen (target=excursions), and here it is {target!r}; "
            "to look at some columns only, name them: --option sensors=COLUMN,COLUMN"
        )
    if told.offset and target not in ("label", "excursions"):
        raise UsageError(
            f"the option 'offset' says from where horizons count to a state (target=label, target=excursions), and here the "
            f"target is {target!r}, whose horizons count from the window's end; leave it out"
        )
    if told.offset and told.when != "at":
        raise UsageError(
            "the option 'offset' is for horizons at which something is to be so (--option when=at); with when='within' an alarm "
            "would be judged over other steps than its label covers; leave 'offset' out, or say when=at"
        )
    readings = read_readings(table.rows(), columns, told.grid, broken=lambda: table.broken, progress=progress)
    failures, failed = failures_of(told, folder, columns, readings)
    texts, named = _texts(told, folder, columns, readings)
    split, why = _split(task, told, readings, failures)
    told = told.model_copy(update={"split": split})
    if target == "excursions" and "event" not in task.options:
        told = told.model_copy(update={"event": "excursion"})
    facts = {
        "columns": {
            "unit": columns.unit, "time": columns.time, "channels": [c for c in readings.channels if c != column],
            "long": columns.is_long, "label": column,
        },
        "target": target, "split": why, "events": {u: len(f) for u, f in failures.items()}, "named_units": len(texts),
        "failures": failed, "equipment": named,
    }  # fmt: skip
    options = told.model_dump(mode="json", exclude_none=True)
    return Fleet(replace(task, options=options), told, columns, readings, failures, texts, facts)


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`["window=30", "horizons=15,30", "step=cycle"]` as options of a task: each value is TOML, or a text, or a list of them.

    Raises:
        UsageError: one is not of the shape NAME=VALUE.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--option {pair!r} is not of the shape NAME=VALUE, such as window=30")
        field_ = Options.model_fields.get(name.strip())
        several = field_ is not None and "tuple" in str(field_.annotation)
        parts = [told_value(part.strip()) for part in value.split(",")] if several else [told_value(value.strip())]
        found[name.strip()] = parts if several else parts[0]
    return found


def _target(told: Options, table: Table) -> tuple[Any, str | None]:
    """What says that a failure came: what the user said, else dates, else a column that looks like it."""
    if told.target == "normal":
        if told.failures is not None:
            raise DataError(
                "target=normal is for machines without recorded failures, and here they are given: leave out the option to "
                "learn from them, or leave out --failures"
            )
        return told.target, told.column or next((c for c in table.columns if c.strip().lower() in STATES), None)
    if "target" in told.model_fields_set:
        return told.target, told.column
    if told.failures is not None:
        return "failures", None
    if told.column is not None:
        return ("remaining" if told.column.lower() in REMAINING else "label"), told.column
    for names, target in ((REMAINING, "remaining"), (STATES, "label")):
        if found := next((c for c in table.columns if c.strip().lower() in names), None):
            return target, found
    raise DataError(
        "nothing says when units failed: give their dates (--failures FILE with a unit and a time a row), name a column "
        "(--option column=remaining_life, or one that is 1 in the bad state), or let readings outside their normal range "
        "count as failures (--option target=excursions); where no failure is known, learn what is normal (--option target=normal)"
    )


def failures_of(
    told: Options, folder: Path, columns: Columns, readings: Readings
) -> tuple[dict[str, list[int]], dict[str, Any] | None]:
    """By unit the steps of the failures that the option `failures` names a file of, and the book of its rows (`events.placed`).

    Nothing where that is not the target.

    Raises:
        DataError: no file is named, it does not fit the readings, or none of its failures is of their time.
    """
    if told.target != "failures":
        return {}, None
    if told.failures is None:
        raise DataError("the target 'failures' needs the file with their dates: --failures FILE")
    events = _events(folder / told.failures, columns, readings)
    found, book = placed(events, readings, max(told.horizons))
    if not found:
        aside = "; ".join(f"{n:,} {why}, such as {book['first'][why][0]}" for why, n in book["aside"].items())
        raise DataError(f"none of the {len(events):,} failures is of the time of the readings: {aside}")
    return found, book


def failures_in(path: Path, columns: Columns, readings: Readings) -> dict[str, list[int]]:
    """By unit the steps of the failures in a file, also of units without readings.

    Raises:
        DataError: it holds none, a row of it cannot be read, or all are of units without readings.
    """
    return by_unit(_events(path, columns, readings))


def _events(path: Path, columns: Columns, readings: Readings) -> list[Event]:
    table = read_rows(path)
    found = read_events(table.rows(), table.columns, columns, readings.grid, times=readings.facts.get("times"))
    if table.broken:
        raise DataError(f"{table.broken[0][0]} of the failures cannot be read: {table.broken[0][1]}")
    if not found:
        raise DataError(f"{str(path)!r} holds no failure; write one a row, with its unit and its time")
    units = dict.fromkeys(event.unit for event in found)
    if not units.keys() & set(readings.units):
        shown, there = ", ".join(map(repr, sorted(units)[:3])), ", ".join(map(repr, readings.units[:3]))
        raise DataError(f"no failure is of a unit with readings: the failures name {shown}, the readings {there}")
    return found


def _texts(
    told: Options, folder: Path, columns: Columns, readings: Readings
) -> tuple[dict[str, str], dict[str, Any] | None]:
    if told.equipment is None:
        return {}, None
    table = read_rows(folder / told.equipment)
    found = read_masters(table.rows(), table.columns, columns, readings)
    if table.broken:
        raise DataError(f"{table.broken[0][0]} of the equipment records cannot be read: {table.broken[0][1]}")
    return found


def _split(task: Task, told: Options, readings: Readings, failures: Mapping[str, Sequence[int]]) -> tuple[Any, str]:
    """By unit where units run until they fail, so that time alone tells the failure; else by time."""
    if "split" in task.options:
        return told.split, f"by {told.split}, as asked"
    if len(readings.units) < FEW_UNITS or told.target in ("excursions", "label"):
        return "time", "by time: the newest windows are the test"
    ends: dict[int, int] = {}
    for stretch in readings.stretches:
        ends[stretch.unit] = max(ends.get(stretch.unit, 0), stretch.start + len(stretch) - 1)
    near = max(told.horizons)
    to_failure = told.target == "remaining" or (
        len(failures) >= 0.8 * len(readings.units)
        and all(len(f) == 1 and ends[readings.units.index(u)] >= f[0] - near for u, f in failures.items())
        and all(ends[readings.units.index(u)] <= f[0] + near for u, f in failures.items())
    )
    if to_failure:
        return "unit", "by unit: units run until they fail, so whole units are the test"
    return "time", "by time: the newest windows are the test"


def table_of(data: Rows, progress: Progress) -> Table:
    """A file of readings, or rows of them, as a table.

    Raises:
        DataError: there are no rows, or the file cannot be read.
    """
    if isinstance(data, (str, Path)):
        return read_rows(Path(data), progress=progress)
    if not data:
        raise DataError("there are no readings; give rows with a time, a unit and numbers")
    return Table.of_rows(tuple(dict.fromkeys(str(key) for row in data for key in row)), data)


def _table_in(folder: Path) -> Path:
    files = sorted(p for p in folder.glob("*") if p.is_file() and not p.name.startswith("."))
    if len(files) != 1:
        raise DataError(
            f"{str(folder)!r} should hold one table of readings; it holds {len(files)}; name the file instead"
        )
    return files[0]


def is_fleet(task: Task | None, kind: str | None, data: Any, options: Mapping[str, Any]) -> bool:
    """Whether a training is one of a fleet: as the caller says, or as the task's folder does."""
    if kind is not None:
        return kind == KIND
    if task is not None:
        return task.kind == KIND
    if isinstance(data, (str, Path)) and (Path(data) / "task.toml").is_file():
        try:
            return read_task(Path(data) / "task.toml").kind == KIND
        except TaskError:
            return False
    return any(options.get(name) is not None for name in FILES)
