"""A specialist that knows no failures, judged by readings it has not seen, and by failures that became known since."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quiet_pumps import DAYS, HEADER, LATER, day, rows, trained
from shokunin import pipeline
from shokunin.errors import DataError, ShokuninError, UsageError
from shokunin.prove.render import report_html, report_json, report_terminal
from shokunin.report import Report
from shokunin.specialist import Specialist
from tiny_fleet import write

LOG = ["pump", "date"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Specialist:
    return trained(tmp_path_factory.mktemp("quiet"))


def project(made: Specialist) -> Path:
    return made.folder.parents[2]


def files(folder: Path) -> dict[str, str]:
    """Every file below, with its digest."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def later(folder: Path, **how: Any) -> tuple[Path, Path]:
    """Readings from after the training, and the failures in them."""
    readings, failures = rows(**{"first": LATER, "days": 280, "seed": 1, "failing": (60, 150, 230), **how})
    return write(folder / "new.csv", HEADER, readings), write(folder / "failed.csv", LOG, failures)


def prove(made: Specialist, data: Path | None, failures: Path | None = None, horizon: int | None = None) -> Report:
    return pipeline.prove(made, data, failures=failures, horizon=horizon, project=project(made))


def found(report: Report) -> dict[str, Any]:
    assert report.anticipation is not None
    return report.anticipation


def shown(report: Report) -> str:
    out = io.StringIO()
    report_terminal(report, Console(file=out, width=120, highlight=False))
    return out.getvalue()


def test_failures_that_became_known_judge_its_alarms_and_nothing_is_changed(made: Specialist, tmp_path: Path) -> None:
    before = files(project(made))
    data, failures = later(tmp_path)
    report = prove(made, data, failures)
    assert files(project(made)) == before
    about, published = found(report), pipeline.read_report(made)
    assert report.verdict == "pass", report.reasons
    assert report.threshold == published.threshold and about["detector"] == found(published)["detector"]
    one, log = about["failures"], about["log"]
    assert log["failures"] == one["events"] == 18 and log["without_readings"] == log["without_windows"] == 0
    assert log["horizon"] == 7, "half the time that a budget of 0.5 a week allows between two alarms"
    assert one["caught"] >= 16 and one["by_chance"]["caught"]["high"] < one["caught"] and one["by_chance"]["p"] < 0.001
    assert 1 <= one["steps_ahead"]["quartiles"][1] <= 5
    assert one["right"] + one["wrong"] + one["late"] + one["open"] == one["alarms"] == about["all"]["alarms"]
    assert one["wrong"] == about["quiet"]["alarms"] and about["quiet"]["rate"]["high"] <= 0.5
    assert about["quiet"]["weeks"] < about["all"]["weeks"]
    assert about["plain"]["failures"]["events"] == 18 and about["plain"]["failures"]["caught"] < one["caught"]
    assert report.scores["caught"].value == one["caught"] / 18 and report.metric == "caught"
    assert report.baseline["scores"]["caught"]["value"] < 0.6 and report.openings == 0
    assert report.dataset["seen_in_training"] == 0 and report.cases
    assert {t["what"] for t in about["timelines"]} <= {"caught", "missed", "alarms", "quiet"}
    page, text = report_html(report), shown(report)
    for words in (
        "at times drawn by lot",
        "What its alarms were worth",
        "of 18",
        "plain limits on each sensor",
        "<svg",
    ):
        assert words in page, words
    assert "Yes: it rang before failures, more often than by chance" in text and "at random" in text
    assert report_json(report)["anticipation"]["failures"]["caught"] == one["caught"]


def test_rows_are_judged_as_their_file_is(made: Specialist, tmp_path: Path) -> None:
    data, _ = later(tmp_path, failing=())
    readings = [dict(zip(HEADER, row, strict=True)) for row in rows(first=LATER, days=280, seed=1)[0]]
    of_file, of_rows = (pipeline.prove(made, given, project=project(made)) for given in (data, readings))
    assert of_rows.scores == of_file.scores and of_rows.reasons == of_file.reasons
    mute = [{**row, "flow": ""} for row in readings]
    with pytest.raises(DataError, match="'rows' has no reading of 'flow'"):
        pipeline.prove(made, mute, project=project(made))


def test_without_a_log_only_the_budget_is_judged(made: Specialist, tmp_path: Path) -> None:
    data, _ = later(tmp_path, failing=())
    unlabelled = write(
        tmp_path / "u.csv", HEADER[:4], [line.split(",")[:4] for line in data.read_text().splitlines()[1:]]
    )
    report = prove(made, unlabelled)
    about = found(report)
    assert report.verdict == "pass" and about["failures"] is None and about["log"] is None
    assert about["quiet"] == about["all"] and about["quiet"]["rate"]["high"] <= 0.5
    assert report.metric == "alarms_a_week" and set(report.scores) == set(report.baseline["scores"]) == {
        "alarms_a_week"
    }
    assert any("whether its alarms were right is not known" in reason for reason in report.reasons)
    assert "every alarm counts" in report_html(report) and "nobody said" in shown(report)
    assert {(case.expected, case.correct) for case in report.cases} == {("", True)}, "nobody said what would be right"


def test_failures_that_nothing_announces_are_not_caught_more_often_than_by_chance(
    made: Specialist, tmp_path: Path
) -> None:
    data, _ = later(tmp_path, failing=())
    failures = [[f"pump {unit}", day(LATER + at)] for unit in range(6) for at in (80 + unit, 170, 260)]
    report = prove(made, data, write(tmp_path / "f.csv", LOG, failures))
    assert report.verdict == "fail" and found(report)["failures"]["by_chance"]["p"] >= 0.05
    assert any("not caught measurably more often than by ringing at random" in reason for reason in report.reasons)
    assert "did not ring before failures measurably more often than by chance" in shown(report)


def test_whoever_rings_more_often_than_the_budget_does_not_pass_though_it_catches_all(
    made: Specialist, tmp_path: Path
) -> None:
    readings, failures = rows(first=LATER, days=280, seed=1, failing=(60, 150, 230))
    for row in readings:
        row[3] += 3 * (int(row[1][-2:]) % 7 == 0)  # something strange every few days, and no failure
    report = prove(made, write(tmp_path / "n.csv", HEADER, readings), write(tmp_path / "f.csv", LOG, failures), 4)
    assert report.verdict == "fail" and "the budget of 0.5 is not kept" in report.reasons[0]
    assert "rings no more than it may is not shown" in shown(report)


def test_what_it_has_learnt_from_has_no_part(made: Specialist, tmp_path: Path) -> None:
    report, published = prove(made, project(made) / "readings.csv"), pipeline.read_report(made)
    assert report.rows == published.rows and found(report)["quiet"] == found(published)["quiet"]
    assert any("hold readings that 'pumps@1' has learnt from" in reason for reason in report.reasons)
    other = write(tmp_path / "other.csv", HEADER, rows(seed=9)[0])
    report = prove(made, other)
    assert report.rows > published.rows * 3 and any("had other readings" in reason for reason in report.reasons)


def test_new_units_are_measured_against_the_fleet_and_said_to_be(made: Specialist, tmp_path: Path) -> None:
    data, failures = later(tmp_path, units=(0, 1, 2, 77))
    report = prove(made, data, failures)
    assert found(report)["new_units"] == ["pump 77"]
    assert any(
        "1 of 4 units have no normal time" in reason and "the others alone rang" in reason for reason in report.reasons
    )
    assert "pump 77" in report_html(report)


def test_labelled_states_are_judged_where_the_table_has_the_column(made: Specialist, tmp_path: Path) -> None:
    data, failures = later(tmp_path, labelled=True)
    report = prove(made, data)
    labelled = found(report)["labelled"]
    assert labelled["episodes"] == 18 and labelled["found"] >= 16 and report.verdict == "pass"
    assert "in time that 'anomaly' calls normal" in report.reasons[0] and "Labelled states" in report_html(report)
    assert found(prove(made, data, failures))["quiet"]["weeks"] < found(report)["quiet"]["weeks"]


def test_where_the_label_calls_everything_normal_nobody_says_that_it_did_not(made: Specialist, tmp_path: Path) -> None:
    data, _ = later(tmp_path, failing=())
    report = prove(made, data)
    assert found(report)["labelled"] is None and "in time that 'anomaly' calls normal" in report.reasons[0]
    page = report_html(report)
    assert "counts what the label calls normal" in page and "Nobody said whether the machines" not in page


def test_failures_without_readings_are_counted_and_a_horizon_can_be_said(made: Specialist, tmp_path: Path) -> None:
    data, _ = later(tmp_path)
    known = [
        ["pump 1", day(LATER + 63)],
        ["pump 2", day(LATER - 30)],
        ["pump 2", day(LATER + 66)],
        ["crane", day(LATER)],
    ]
    report = prove(made, data, write(tmp_path / "f.csv", LOG, known), horizon=20)
    log, one = found(report)["log"], found(report)["failures"]
    assert (log["failures"], log["without_readings"], log["without_windows"], one["events"]) == (4, 1, 1, 2)
    assert log["horizon"] == 20 and log["span"] == "20 days"
    assert sum(t["svg"].count('class="event"') for t in found(report)["timelines"]) == 2, "only those that are judged"
    assert any(reason == "Failures of units without readings, which had no part: 1." for reason in report.reasons)
    assert any("without a judged window in the 20 days before" in reason for reason in report.reasons)


def test_a_specialist_without_the_threshold_of_plain_limits_is_judged_beside_chance(
    made: Specialist, tmp_path: Path
) -> None:
    facts = {k: v for k, v in made.weights.facts.items() if k != "plain_threshold"}
    report = prove(replace(made, weights=replace(made.weights, facts=facts)), *later(tmp_path))
    assert found(report)["plain"] is None and found(report)["failures"]["by_chance"]["p"] < 0.001
    assert "What its alarms were worth" in report_html(report) and "last_outside" not in shown(report)


GOOD = [["pump 1", day(LATER + 60)]]


@pytest.mark.parametrize(
    ("how", "log", "more", "error", "told"),
    [
        ({"header": HEADER[:3]}, GOOD, {}, DataError, "there is no column 'flow'"),
        ({"empty": 3}, GOOD, {}, DataError, "has no reading of 'flow'"),
        ({}, [["crane", day(LATER)]], {}, DataError, "no failure is of a unit with readings"),
        ({}, [["pump 1", day(LATER + 900)]], {}, DataError, "none of the 1 failures has a window of its unit in the 7 days"),
        ({}, [], {}, DataError, "holds no failure"),
        ({}, [["pump 1", "soon"]], {}, DataError, "which is no time"),
        ({}, GOOD, {"horizon": 100_000}, DataError, "no window of .* is calm"),
        ({}, GOOD, {"horizon": 0}, UsageError, "at least 1 step"),
        ({}, None, {"horizon": 9}, UsageError, "needs --failures"),
        ({"days": 3}, None, {}, DataError, "has 7 readings in a row"),
        ({"first": 0, "days": 200, "seed": 0}, None, {}, DataError, "none can prove anything"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_says_why_and_nothing_is_written(
    made: Specialist, tmp_path: Path, how: dict[str, Any], log: Sequence[Sequence[str]] | None, more: dict[str, int],
    error: type[ShokuninError], told: str,
) -> None:  # fmt: skip
    before = files(project(made))
    table = rows(
        **{"first": LATER, "days": 90, "seed": 1, **{k: v for k, v in how.items() if k in ("first", "days", "seed")}}
    )[0]
    if how.get("days") == 200:
        table = [row for row in rows()[0] if row[1] < day(200)]
    header = how.get("header", HEADER)
    table = [["" if i == how.get("empty") else cell for i, cell in enumerate(row[: len(header)])] for row in table]
    failures = None if log is None else write(tmp_path / "f.csv", LOG, [list(row) for row in log])
    with pytest.raises(error, match=told):
        prove(made, write(tmp_path / "t.csv", header, table), failures, **more)
    assert files(project(made)) == before


def test_without_readings_the_published_report_is_shown(made: Specialist, tmp_path: Path) -> None:
    report = prove(made, None)
    assert report.scores == pipeline.read_report(made).scores and "to judge it anew" in report.reasons[-1]
    with pytest.raises(UsageError, match="belongs to new readings"):
        prove(made, None, write(tmp_path / "f.csv", LOG, GOOD))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    data, _ = later(tmp_path, days=DAYS)
    moved = pipeline.prove(made, data, project=elsewhere)
    assert moved.dataset["seen_in_training"] is None and any("nobody can say whether" in r for r in moved.reasons)
