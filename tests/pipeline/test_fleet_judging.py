"""A specialist that foresees failures, judged by readings it has not seen, with its thresholds as they are."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shokunin import pipeline
from shokunin.cli import app
from shokunin.errors import DataError, UsageError
from shokunin.files import read_json
from shokunin.pipeline.fleet_rows import fleet_task, read_fleet
from shokunin.pipeline.fleet_training import keep_fleet
from shokunin.project import open_project
from shokunin.prove.render import report_html
from shokunin.report import Report
from tiny_fleet import DAYS, OPTIONS, WINDOW, Pumps, day, rows, write

HEADER = ["pump", "date", "vibration", "heat"]


def new(folder: Path, **how: Any) -> tuple[Path, Path]:
    """Another piece of history."""
    readings, failures = rows(**how)
    return write(folder / "new.csv", HEADER, readings), write(folder / "failed.csv", ["pump", "date"], failures)


def prove(pumps: Pumps, data: Path, failures: Path | None, project: Path | None = None) -> Report:
    return pipeline.prove(pumps.specialist, data, failures=failures, project=project or pumps.folder)


def test_later_readings_are_judged_with_the_published_thresholds(pumps: Pumps, tmp_path: Path) -> None:
    data, failures = new(tmp_path, first=DAYS + 40, days=150, seed=9)
    report = prove(pumps, data, failures)
    published = pipeline.read_report(pumps.specialist)
    assert report.verdict == "pass" and report.scores["roc_auc"].low > 0.5
    found, was = report.anticipation, published.anticipation
    assert found is not None and was is not None
    assert [h["alarms"]["threshold"] for h in found["horizons"]] == [h["alarms"]["threshold"] for h in was["horizons"]]
    assert [h["rung"] for h in found["horizons"]] == [h["rung"] for h in was["horizons"]]
    assert found["horizons"][0]["alarms"]["events"] == 5 * 6 and found["horizons"][0]["alarms"]["caught"] > 15
    assert report.dataset["seen_in_training"] == 0 and report.openings == 0
    assert "None of the" in report.reasons[-1] and report.cases
    page = report_html(report)
    assert "readings that were given" in page and "holds a reading that" in page


def test_rows_are_judged_as_their_file_is(pumps: Pumps, tmp_path: Path) -> None:
    data, failures = new(tmp_path, first=DAYS + 40, days=100, seed=9)
    with data.open(newline="") as file:
        table = list(csv.DictReader(file))
    of_file, of_rows = (
        pipeline.prove(pumps.specialist, given, failures=failures, project=pumps.folder) for given in (data, table)
    )
    assert of_rows.scores == of_file.scores and of_rows.reasons == of_file.reasons and of_rows.cases == of_file.cases
    assert (of_rows.dataset["source"], of_file.dataset["source"]) == ("rows", str(data))
    with pytest.raises(DataError, match="there are no readings"):
        pipeline.prove(pumps.specialist, [], failures=failures, project=pumps.folder)


def test_what_it_has_learnt_from_has_no_part(pumps: Pumps, tmp_path: Path) -> None:
    report, published = prove(pumps, pumps.readings, pumps.failures), pipeline.read_report(pumps.specialist)
    assert report.scores["roc_auc"].value == pytest.approx(published.scores["roc_auc"].value), (
        "the sealed windows are left"
    )
    assert report.dataset["seen_in_training"] > report.rows and "have learnt from" not in report.reasons[-1]
    assert "hold readings that 'pumps@1' has learnt from" in report.reasons[-1]


def test_units_called_alike_with_other_readings_are_others(pumps: Pumps, tmp_path: Path) -> None:
    report = prove(pumps, *new(tmp_path, seed=99))
    assert report.dataset["seen_in_training"] == 0 and report.rows > 5 * (DAYS - WINDOW - 12)
    assert "5 of 5 units that are called like one it has learnt from had other readings" in report.reasons[-1]


def test_other_things_learnt_from_the_same_readings_are_written_down_anew(pumps: Pumps, tmp_path: Path) -> None:
    """A channel that is now known for a leak changes all checksums; beside the old ones every unit would be a stranger."""
    wishes = {"options": {**OPTIONS, "failures": str(pumps.failures)}}
    fleet = read_fleet(*fleet_task(pumps.readings, None, "pumps", wishes))
    place = open_project(tmp_path)
    known = [{"pump 0": {"until": 9, "checks": {"3": check}}} for check in (1, 2)]
    digests = [keep_fleet(fleet, {}, (), place, one) for one in (*known, known[0])]
    assert digests[0] != digests[1] and digests[0] == digests[2]
    files = [place.datasets("pumps") / digest[:16] / "fleet.json" for digest in digests[:2]]
    assert [read_json(file)["learnt"] for file in files] == known


def test_where_the_dataset_is_gone_nobody_can_say(pumps: Pumps, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    report = prove(pumps, *new(tmp_path, first=DAYS + 40, days=60), project=elsewhere)
    assert report.dataset["seen_in_training"] is None and "nobody can say whether it had seen" in report.reasons[-1]
    alone = pipeline.prove(pumps.specialist, project=elsewhere)
    assert "no longer in this project" in alone.reasons[-1]


def test_without_readings_the_published_report_is_shown(pumps: Pumps) -> None:
    report, published = pipeline.prove(pumps.specialist, project=pumps.folder), pipeline.read_report(pumps.specialist)
    assert report.scores == published.scores and report.reasons[:-1] == published.reasons
    assert report.reasons[-1].startswith("This is the report as it was published; to judge it anew")


def test_what_cannot_be_proven_says_why(pumps: Pumps, tmp_path: Path) -> None:
    data, failures = new(tmp_path, first=DAYS + 40, days=60)
    with pytest.raises(UsageError, match="say when units failed, --failures FILE"):
        prove(pumps, data, None)
    with pytest.raises(UsageError, match="belongs to new readings"):
        pipeline.prove(pumps.specialist, failures=failures, project=pumps.folder)
    with pytest.raises(UsageError, match="never shown readings"):
        pipeline.prove(
            pumps.specialist, data, failures=failures, against="http://127.0.0.1:9/v1#big", project=pumps.folder
        )
    with pytest.raises(DataError, match="no failure is of a unit with readings"):
        prove(pumps, data, write(tmp_path / "f.csv", ["pump", "date"], [["another", day(DAYS + 50)]]))
    with pytest.raises(DataError, match="there is no column 'heat'"):
        prove(pumps, write(tmp_path / "t.csv", HEADER[:3], [["pump 1", day(1), 1]]), failures)
    with pytest.raises(DataError, match="has 10 readings in a row"):
        prove(pumps, write(tmp_path / "t.csv", HEADER, [["pump 1", day(DAYS + n), 1, 2] for n in range(4)]), failures)
    readings, failed = rows(days=100)
    old = write(tmp_path / "old.csv", HEADER, readings), write(tmp_path / "old_f.csv", ["pump", "date"], failed)
    table = [line.split(",") for line in pumps.readings.read_text().splitlines()[1:] if line.split(",")[1] < day(100)]
    with pytest.raises(DataError, match="none can prove anything"):
        prove(pumps, write(old[0], HEADER, table), old[1])


def test_the_command(pumps: Pumps, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(pumps.folder, project)
    data, failures = new(tmp_path, first=DAYS + 40, days=100, seed=9)
    words = ["prove", "pumps", str(data), "--failures", str(failures), "--project", str(project)]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert "foreseen better than by chance" in found.stdout and list((project / "reports").glob("*.html"))
