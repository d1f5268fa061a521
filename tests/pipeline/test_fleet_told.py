"""What a training tells of its tables and its horizons: the same in the terminal, on the page, in JSON and on the card."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from shokunin import pipeline
from shokunin.cli import app
from shokunin.errors import DataError, UsageError
from shokunin.prove.render import report_html, report_terminal
from shokunin.report import Report
from tiny_fleet import OPTIONS, Pumps, day, rows, write

HEADER = ["pump", "date", "vibration", "heat", "still"]
DAYS = 400


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).replace("&#39;", "'").replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, str, str, str]:
    """Trained on dirty tables, a step of two days, for failures on exactly the fourth: report, terminal, page, card."""
    folder = tmp_path_factory.mktemp("told")
    readings, failures = rows(days=DAYS)
    readings += [["short", day(n), 1.0, 60.0] for n in range(3)]
    readings += [["late", day(n), 1.0 + n % 3, 60.0] for n in range(DAYS - 60, DAYS)]
    readings += [["pump 1", day(50), 1.0, 60.0], ["pump 1", day(51), "broken", 60.0]]
    for row in readings:
        row.append(7)
    failures += [
        ["turbine", day(40)],
        ["pump 0", "2031-01-01"],
        ["pump 0", "1999-01-01"],
        ["short", day(2)],
        failures[0],
    ]
    files = (
        write(folder / "readings.csv", HEADER, readings),
        write(folder / "failures.csv", ["pump", "date"], failures),
        write(folder / "equipment.csv", ["pump", "name"], [["pump 0", "feed pump"], ["pump 77", "spare"]]),
    )
    options = ["window=8", "times=2", "when=at", "rungs=base_rate,statistics", "trees={rounds=20, min_child_samples=5}"]
    words = ["train", str(files[0]), "--failures", str(files[1]), "--equipment", str(files[2]), "--horizon", "4"]
    words += ["--name", "told", "--project", str(folder), *(word for o in options for word in ("--option", o))]
    found = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert found.exit_code in (0, 1) and "published" in found.output, (found.output, found.exception)
    made = folder / "specialists" / "told" / "1"
    report = pipeline.read_report(pipeline.load(made))
    return report, found.output, (made / "report.html").read_text(), (made / "card.md").read_text()


def anticipation(report: Report) -> dict[str, Any]:
    assert report.anticipation is not None
    return report.anticipation


def test_what_was_found_in_the_tables_stands_in_json_on_the_page_and_in_the_terminal(
    exact: tuple[Report, str, str, str],
) -> None:
    report, terminal, page, _ = exact
    found = anticipation(report)
    book = found["taken"]["failures"]
    assert book["in"] == book["used"] + sum(book["aside"].values()) and sum(book["aside"].values()) == 5
    assert book["used"] == sum(found["taken"]["events"].values())
    assert found["taken"]["equipment"]["aside"] == {"no readings of that unit": 1}
    terminal, page = " ".join(terminal.split()), text_of(page)
    for words in (
        "1 no readings of that unit, such as failures.csv:", "(turbine, ", "(pump 0, 2031-01-01)", "(pump 0, 1999-01-01)",
        "1 a second one of its unit in the same step", "1 of a unit with fewer readings in a row than a window",
        "such as equipment.csv:3 (pump 77)", "short", "readings of a step that had one already", "1 in vibration", "still",
    ):  # fmt: skip
        assert words in terminal and words in page, words
    for name in ("failures file", "failures set aside", "equipment set aside", "averaged", "too short for a window",
                 "only in the sealed time",
                 "never move", "cells that are no numbers"):  # fmt: skip
        assert f"{name}:" in terminal and name in page, name


def test_exactly_that_day_is_never_called_within(exact: tuple[Report, str, str, str]) -> None:
    report, terminal, page, card = exact
    row = anticipation(report)["horizons"][0]
    assert row["span"] == "8 days" and row["sentence"].startswith("in 8 days: ")
    alarms = row["alarms"]
    assert alarms["caught"] == alarms["right"], (
        "an alarm that is right catches the failure of its day, and no other does"
    )
    caught = f"{alarms['caught']} of {alarms['events']}"
    assert f"{caught} events had an alarm exactly 8 days before" in row["sentence"]
    for shown in (terminal, text_of(page), card, json.dumps(report.reasons)):
        assert "within 8 days" not in shown.lower() and "in 8 days" in shown.lower()
    assert f"{caught} failures with an alarm exactly 8 days before" in text_of(page)
    assert "of warning" not in text_of(page) and "An alarm is about the step alone" in text_of(page)
    assert f"Exactly 8 days before, it had rung for {caught} failures" in " ".join(terminal.split())
    drawn = sum(t["svg"].count('class="event"') for t in anticipation(report)["timelines"])
    assert 0 < drawn <= alarms["events"], "of failures that no alarm could have been about nothing is drawn"
    assert all(case.expected in ("", "in 8 days", "nothing came") for case in report.cases)


def test_the_card_shows_areas_as_numbers_and_calls_windows_windows(exact: tuple[Report, str, str, str]) -> None:
    report, _, _, card = exact
    assert f"On {report.rows:,} sealed windows" in card and "sealed rows" not in card
    assert "average precision in 8 days | ROC-AUC in 8 days" in card
    area = report.scores["pr_auc"]
    assert f"| **this specialist** | {area.value:.3f} ({area.low:.3f}–{area.high:.3f}) |" in card


def test_warning_is_told_in_days_where_a_step_is_two(pumps: Pumps) -> None:
    report = pipeline.read_report(pumps.specialist)
    found = anticipation(report)
    quartiles = found["horizons"][0]["alarms"]["steps_ahead"]["quartiles"]
    spans = [{**row, "span": f"{2 * row['horizon']} days"} for row in found["horizons"]]
    slow = replace(report, anticipation={**found, "grid": {"step": "day", "times": 2}, "horizons": spans})
    out = io.StringIO()
    report_terminal(slow, Console(file=out, width=160, highlight=False))
    page = text_of(report_html(slow))
    assert f"{2 * quartiles[0]:g} to {2 * quartiles[2]:g}" in page and f"{2 * quartiles[1]:g} days of warning" in page
    assert f" {2 * quartiles[1]:g} " in out.getvalue() and "ahead: days of warning" in out.getvalue()


def train(folder: Path, readings: Path, failures: Path, **options: Any) -> Any:
    given = {**OPTIONS, "rungs": ["base_rate"], "failures": str(failures), **options}
    return pipeline.train(readings, name="refused", project=folder, options=given, replayed=False)


def test_what_does_not_fit_is_refused(pumps: Pumps, tmp_path: Path) -> None:
    late = write(tmp_path / "late.csv", ["pump", "date"], [["pump 0", "2031-01-01"], ["pump 1", "1999-01-01"]])
    with pytest.raises(
        DataError, match=r"none of the 2 failures.*more than 8 days.*late\.csv:2 \(pump 0, 2031-01-01\)"
    ):
        train(tmp_path, pumps.readings, late)
    zoned = write(tmp_path / "zoned.csv", ["pump", "date"], [["pump 0", f"{day(64)}T06:00+09:00"]])
    with pytest.raises(DataError, match=r"the events have a time zone \(zoned\.csv:2.*the readings have none"):
        train(tmp_path, pumps.readings, zoned)
    with pytest.raises(UsageError, match=r"'channels'.*target=excursions.*--option sensors="):
        train(tmp_path, pumps.readings, pumps.failures, channels=["vibration"])
    with pytest.raises(UsageError, match=r"'offset'.*target=label.*'failures'.*leave it out"):
        train(tmp_path, pumps.readings, pumps.failures, when="at", offset=1)
    with pytest.raises(UsageError, match=r"'offset'.*--option when=at.*leave 'offset' out"):
        given = {**OPTIONS, "rungs": ["base_rate"], "target": "excursions", "offset": 1}
        pipeline.train(
            pumps.readings, kind="anticipate_failures", name="refused", project=tmp_path, options=given, replayed=False
        )
    empty = write(tmp_path / "empty.csv", ["pump", "date", "vibration"], [])
    with pytest.raises(DataError, match="has a header and no rows"):
        train(tmp_path, empty, pumps.failures)
    words = write(tmp_path / "words.csv", ["pump", "date", "note"], [["pump 0", day(1), "fine"]])
    with pytest.raises(DataError, match=r"name those with readings: --option sensors="):
        train(tmp_path, words, pumps.failures)
