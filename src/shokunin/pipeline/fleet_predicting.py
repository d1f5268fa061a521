"""A table of readings in, risks out: each unit's newest window, or every window; in chunks, nothing half-written."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from shokunin.answer import Answer
from shokunin.curate.read import read_rows
from shokunin.errors import DataError, UsageError
from shokunin.files import writing
from shokunin.pipeline.answering import SpecialistPredictor, codec_of
from shokunin.progress import Progress, silent
from shokunin.series.labels import When
from shokunin.series.lessons import SeriesWindow
from shokunin.series.readings import Grid, Readings, read_readings
from shokunin.series.sent import Shape
from shokunin.series.windows import Windows, cut, windows_of
from shokunin.specialist import Specialist
from shokunin.tasks.anticipate_failures import FailuresCodec, options_of

CHUNK = 1024
"""Windows that are answered at a time."""


@dataclass(frozen=True)
class FleetDone:
    """What `predict_fleet` did.

    Attributes:
        out: where the answers are.
        rows: of the table: `in`, `used`, and `aside` by reason; in = used + aside.
        units: that were answered.
        windows: that were answered.
        alarms: windows with one.
        without: units that have no window, and why.
        seconds: how long it took.
    """

    out: str
    rows: dict[str, Any]
    units: int
    windows: int
    alarms: int
    without: dict[str, str]
    seconds: float


def fleet_codec(specialist: Specialist) -> FailuresCodec | None:
    """The codec of a specialist that reads readings; None for any other."""
    codec = codec_of(specialist)
    return codec if isinstance(codec, FailuresCodec) else None


def predict_fleet(
    specialist: Specialist, path: Path, out: Path, *, every: bool = False, progress: Progress = silent
) -> FleetDone:
    """Answer the newest window of each unit of a table, or every window of it.

    One row a window: `unit`, `time` of the newest reading, the risk at each horizon (or the strangeness), `alarm`, `said`,
    `problem`. A unit without a window has a row with its problem.

    Args:
        specialist: open.
        path: a table of readings as in training.
        out: a file that ends in .csv, .tsv or .jsonl.
        every: every window, not only the newest of each unit.
        progress: told how far it is.

    Raises:
        DataError: the table lacks a column, or no unit has a window.
        UsageError: `out` is of another sort, or the table itself.
        ProjectError: `out` cannot be written, or the disk is full.
    """
    suffix = out.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl"):
        raise UsageError(f"answers are written as .csv, .tsv or .jsonl, not as {str(out)!r}")
    if out.exists() and out.samefile(path):
        raise UsageError(f"{str(out)!r} is the input itself; choose another name")
    start = time.perf_counter()
    codec = fleet_codec(specialist)
    assert codec is not None
    readings = read_fleet_table(path, codec.shape, progress=progress)
    windows, without = _windows(readings, codec.shape, every)
    if not len(windows):
        unit, why = next(iter(without.items()))
        raise DataError(f"none of the {len(readings.units)} units has a window; {unit!r}: {why}")
    told = options_of(specialist.task)
    names = _columns(told.target, told.when, told.horizons, codec.shape.grid)
    alarms = 0
    with writing(out) as file:
        write = _writer(file, suffix, names)
        for unit, step, answer in _answers(specialist, codec, readings, windows, progress):
            write(_row(unit, codec.shape.grid.when(step), answer, names))
            alarms += bool(answer.details.get("alarm")) or any(h["alarm"] for h in answer.details["horizons"])
        for unit, why in without.items():
            write(dict.fromkeys(names, "") | {"unit": unit, "problem": why})
    return FleetDone(
        str(out), readings.facts["rows"], len(np.unique(windows.unit)), len(windows), alarms, without,
        time.perf_counter() - start,
    )  # fmt: skip


def read_fleet_table(path: Path, shape: Shape, *, progress: Progress = silent) -> Readings:
    """A table's readings as a specialist's windows want them: its columns and its grid, every stretch kept.

    Raises:
        DataError: it lacks a column, or nothing in it can be used.
    """
    table = read_rows(path, progress=progress)
    shape.columns.check(table.columns)
    grid = shape.grid.model_copy(update={"shortest": 1})
    return read_readings(table.rows(), shape.columns, grid, broken=lambda: table.broken, progress=progress)


def _windows(readings: Readings, shape: Shape, every: bool) -> tuple[Windows, dict[str, str]]:
    """The windows that are asked about, and the units that have none, each with why."""
    newest = {stretch.unit: number for number, stretch in enumerate(readings.stretches)}
    short = {
        unit: readings.stretches[number]
        for unit, number in newest.items()
        if len(readings.stretches[number]) < shape.length
    }
    without = {
        readings.units[
            unit
        ]: f"{len(stretch)} steps in a row up to {readings.when(stretch.start + len(stretch) - 1)}; a "
        f"window has {shape.length} (a hole of more than {shape.grid.span(shape.grid.longest_gap)} breaks a row)"
        for unit, stretch in short.items()
    }
    if every:
        long = {s.unit for s in readings.stretches if len(s) >= shape.length}
        without = {readings.units[u]: without[readings.units[u]] for u in short if u not in long}
        if long:
            return windows_of(readings, shape.length), without
        newest = {}
    ends = [(unit, number) for unit, number in newest.items() if unit not in short]
    units, stretches = (np.asarray([pair[i] for pair in ends], dtype=np.int64) for i in (0, 1))
    end = np.asarray([len(readings.stretches[number]) - 1 for _, number in ends], dtype=np.int64)
    first = np.asarray([readings.stretches[number].start for _, number in ends], dtype=np.int64)
    return Windows(shape.length, stretches, end, units, first + end), without


def _answers(
    specialist: Specialist, codec: FailuresCodec, readings: Readings, windows: Windows, progress: Progress
) -> Iterator[tuple[str, int, Answer]]:
    predictor = specialist.predictor
    assert isinstance(predictor, SpecialistPredictor)
    for here, values, filled in cut(readings, windows, None, chunk=CHUNK):
        units = [readings.units[u] for u in windows.unit[here].tolist()]
        forms = [SeriesWindow(v, f, u) for v, f, u in zip(values, filled, units, strict=True)]
        for row, unit, step in zip(predictor.raw(forms), units, windows.step[here].tolist(), strict=True):
            yield unit, step, codec.answer(row, specialist.id, unit=unit, until=step)
        progress("answering windows", here.stop, len(windows))


def _columns(target: str, when: When, horizons: Sequence[int], grid: Grid) -> tuple[str, ...]:
    if target == "normal":
        return ("unit", "time", "strangeness", "alarm", "said", "problem")
    word = "within" if when == "within" else "in"
    return ("unit", "time", *(f"risk {word} {grid.span(h)}" for h in horizons), "alarm", "said", "problem")


def _row(unit: str, when: str, answer: Answer, names: Sequence[str]) -> dict[str, Any]:
    details = answer.details
    numbers = [h["risk"] for h in details["horizons"]] or [details["strangeness"]]
    cells = (unit, when, *(round(n, 6) for n in numbers), answer.value, details["said"], answer.problem or "")
    return dict(zip(names, cells, strict=True))


def _writer(file: TextIO, suffix: str, names: Sequence[str]) -> Any:
    if suffix == ".jsonl":
        return lambda row: file.write(json.dumps(row, ensure_ascii=False) + "\n")
    writer = csv.DictWriter(file, names, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    writer.writeheader()
    return writer.writerow
