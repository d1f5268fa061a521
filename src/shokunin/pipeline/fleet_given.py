"""New readings as a specialist of machines takes them: the channels that it has learnt, and what it may have seen of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from shokunin.errors import ArtefactError, UsageError
from shokunin.pipeline.fleet_rows import Rows, table_of
from shokunin.pipeline.fleet_training import fleet_facts
from shokunin.pipeline.publish import read_report
from shokunin.progress import Progress
from shokunin.project import Project
from shokunin.report import Report
from shokunin.series.columns import Columns
from shokunin.series.readings import Readings, read_readings
from shokunin.specialist import Specialist
from shokunin.tasks.anticipate_failures import Options


def given_readings(
    data: Rows, columns: Columns, told: Options, progress: Progress, *, labelled: bool = True
) -> Readings:
    """The sensors, and the label column if it is in the table, on the grid of the windows.

    Args:
        data: the table: a file, or rows.
        columns: of the training, with the channels that were learnt.
        told: the specialist's options.
        progress: told of the rows read.
        labelled: a wide table must have the label column, where the options name one; otherwise it may.

    Raises:
        DataError: the table lacks a column, or has no usable row.
    """
    table = table_of(data, progress)
    if told.column is not None and (labelled or columns.is_long or told.column in table.columns):
        columns = columns.model_copy(update={"channels": (*columns.channels, told.column)})
    columns.check(table.columns)
    return read_readings(table.rows(), columns, told.grid, broken=lambda: table.broken, progress=progress)


def source_of(data: Rows) -> str:
    """What a report calls it."""
    return str(data) if isinstance(data, (str, Path)) else "rows"


def learnt_of(specialist: Specialist, place: Project) -> dict[str, Any] | None:
    """What it has learnt from (`fleet_seen.learnt`), if that is in the project."""
    try:
        found = fleet_facts(specialist, place).get("learnt")
    except ArtefactError:
        return None
    return found if isinstance(found, dict) else None


def as_published(specialist: Specialist, failures: str | Path | None, place: Project) -> Report:
    """The report that was published, with a word on how to judge anew.

    Raises:
        UsageError: failures were given, and no readings.
    """
    if failures is not None:
        raise UsageError("--failures belongs to new readings: shokunin prove NAME READINGS.csv --failures FILE")
    report = read_report(specialist)
    again = f"to judge it anew, give new readings: shokunin prove {specialist.name} READINGS.csv"
    told = f"This is the report as it was published; {again}."
    if learnt_of(specialist, place) is None:
        told = (
            f"This is the report as it was published. What was kept of its readings is no longer in this project, so of new "
            f"ones nobody can say any more whether it had seen them; {again}."
        )
    return replace(report, reasons=[*report.reasons, told])
