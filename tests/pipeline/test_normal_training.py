"""Machines without recorded failures: from readings to a published specialist that says what is strange."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shokunin import pipeline
from shokunin.errors import DataError, ShokuninError, TaskError, UsageError
from shokunin.pipeline.fleet_rows import parse_options
from shokunin.prove.render import report_html, report_terminal
from shokunin.specialist import Specialist
from shokunin.tasks.anticipate_failures import codec

DAYS = 420
OPTIONS = {"target": "normal", "alarms_a_week": 0.5, "detectors": ["forecast_residual", "reconstruction"]}


def readings(*, units: int = 6, related: bool = True, label: bool = False, seed: int = 0) -> list[dict[str, Any]]:
    """The flow follows the pressure, or nothing follows anything; each pump has a level of its own."""
    rng = np.random.default_rng(seed)
    rows = []
    for unit in range(units):
        pressure = (
            np.sin(np.arange(DAYS) / 5 + unit) + 0.1 * rng.normal(size=DAYS) if related else rng.normal(size=DAYS)
        )
        flow = 2 * pressure + 0.1 * rng.normal(size=DAYS) if related else rng.normal(size=DAYS)
        bad = (np.arange(DAYS) >= 100 + unit) & (np.arange(DAYS) < 110 + unit)
        if label:
            flow[bad] = -flow[bad]
        for day in range(DAYS):
            row = {"pump": f"pump {unit}", "date": str(np.datetime64("2024-01-01") + day),
                   "pressure": round(10 * unit + pressure[day], 4), "flow": round(flow[day], 4)}  # fmt: skip
            rows.append({**row, "anomaly": int(bad[day])} if label else row)
    return rows


def trained(place: Path, rows: list[dict[str, Any]], options: Mapping[str, Any] = OPTIONS, **more: Any) -> Specialist:
    return pipeline.train(
        rows,
        name="pumps",
        kind="anticipate_failures",
        options=dict(options),
        project=place,
        **{"replayed": False, **more},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Specialist:
    return trained(tmp_path_factory.mktemp("pumps"), readings(label=True))


def asked(**lists: Any) -> dict[str, str]:
    return {"unit": "pump 3", "readings": json.dumps(lists)}


def test_it_passes_keeps_the_budget_and_beats_plain_limits(made: Specialist) -> None:
    report = pipeline.read_report(made)
    found = report.anticipation
    assert found is not None and report.verdict == "pass", report.reasons
    assert found["quiet"]["rate"]["high"] <= found["budget"] == 0.5
    assert report.metric == "power" and report.scores["power"].low > report.baseline["scores"]["power"]["high"]
    assert {row["sort"] for row in found["faults"]} == {"spike", "drift", "stuck", "lost"}
    assert [row["name"] for row in found["detectors"]] == ["last_outside", "forecast_residual", "reconstruction"]
    assert sum(rung.chosen for rung in report.ladder) == 1


def test_labels_are_found_in_the_table_and_only_judged(made: Specialist) -> None:
    found = pipeline.read_report(made).anticipation
    assert found is not None and found["normal"]["labelled"] == "anomaly"
    assert found["labelled"]["episodes"] == found["labelled"]["found"] == 6
    assert found["labelled"]["f1"]["value"] > found["labelled"]["everything"] + 0.2


def test_strange_windows_are_told_in_plain_words_and_quiet_ones_are_quiet(made: Specialist) -> None:
    wave = np.sin(np.arange(20) / 5 + 3)
    quiet = made.predict(asked(pressure=(30 + wave).tolist(), flow=(2 * wave).tolist()))
    assert quiet.value == "no alarm" and quiet.details["said"].startswith("pump 3: no alarm; its last 7 days are like")
    strange = made.predict(asked(pressure=(30 + wave).tolist(), flow=[*(2 * wave[:-3]), *(-2 * wave[-3:] + 1)]))
    said = strange.details["said"]
    assert strange.value == "strange" and strange.confidence > 0.5 and strange.details["strangeness"] > 1
    assert said.startswith("pump 3: STRANGE for ") and "pressure and flow no longer move together" in said
    assert said.endswith("no failure was there to learn from, so nobody knows whether this is one.")
    unknown = made.predict({**asked(pressure=(30 + wave).tolist(), flow=(2 * wave).tolist()), "unit": "pump 99"})
    assert "measured against the fleet" in unknown.details["said"]
    assert made.predict(asked(pressure=[1.0], flow=[2.0])).problem is not None


def test_chat_replies_are_read_back(made: Specialist) -> None:
    made_codec = codec(made.task, made.side_files)
    assert made_codec.read_reply("strange") == "strange" and made_codec.read_reply("No alarm, I think") is None
    assert made_codec.read_reply("no alarm.") == "no alarm"


def test_the_page_the_terminal_and_the_card_say_so(made: Specialist, capsys: pytest.CaptureFixture[str]) -> None:
    report = pipeline.read_report(made)
    page = report_html(report)
    assert page == (made.folder / "report.html").read_text(encoding="utf-8")
    for words in ("plain limits on each sensor", "lost", "Labelled states", "budget 0.5", "<svg"):
        assert words in page
    report_terminal(report)
    shown = capsys.readouterr().out
    assert "Yes: it tells what is unlike normal time" in shown and "forecast_residual" in shown
    card = (made.folder / "card.md").read_text(encoding="utf-8")
    assert "It has learnt from no failure" in card and "injected faults found" in card


def test_where_nothing_is_better_than_plain_limits_the_verdict_is_no(tmp_path: Path) -> None:
    report = pipeline.read_report(
        trained(tmp_path, readings(related=False), {**OPTIONS, "detectors": ["last_outside"]})
    )
    assert report.verdict == "fail" and report.why_chosen.startswith("last_outside")
    assert any("not found measurably more often than by plain limits" in reason for reason in report.reasons)


def test_a_budget_that_the_history_is_too_short_to_show_is_no_pass(tmp_path: Path) -> None:
    report = pipeline.read_report(trained(tmp_path, readings(units=2), {**OPTIONS, "alarms_a_week": 0.05}))
    assert report.verdict == "fail" and "the budget of 0.05" in report.reasons[0] and "not show" in report.reasons[0]


def test_detectors_for_which_there_is_no_time_are_left_out_and_named(tmp_path: Path) -> None:
    report = pipeline.read_report(trained(tmp_path, readings(units=2), budget=1e-6))
    assert [(r.learner, r.score is None) for r in report.ladder] == [
        ("last_outside", False), ("forecast_residual", True), ("reconstruction", True)
    ]  # fmt: skip
    assert any("Detector 'reconstruction' was not tried: it would take about" in reason for reason in report.reasons)
    assert report.verdict == "fail" and report.why_chosen.startswith("last_outside")


def test_time_after_the_normal_time_is_watched(tmp_path: Path) -> None:
    rows = readings()
    for row in rows:
        if row["date"] >= "2025-01-15":
            row["flow"] += 9
    options = {**OPTIONS, **parse_options(["normal_until=2024-12-31"])}
    found = pipeline.read_report(trained(tmp_path, rows, options)).anticipation
    assert found is not None and found["normal"]["normal"] == "up to 2024-12-31"
    assert found["watched"]["rate"]["low"] > 0.5 >= found["quiet"]["rate"]["high"]


def test_a_long_table_of_cycles_with_holes_and_a_channel_that_stands_still(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for cycle in range(900):
        load = float(np.sin(cycle / 7) + 0.1 * rng.normal())
        values = {"load": load, "current": 3 * load + 0.1 * float(rng.normal()), "guard": 1.0}
        rows += [
            {"cycle": cycle, "sensor": name, "value": value} for name, value in values.items() if rng.random() > 0.05
        ]
    options = {**OPTIONS, "step": "cycle", "stride": 2, "alarms_a_week": 2.0}
    made = trained(tmp_path, rows, options)
    found = pipeline.read_report(made).anticipation
    assert found is not None and found["week"] == "100 cycles" and found["window"] == 10 and found["still"] == ["guard"]
    lists = {"load": [0.0] * 10, "current": [0.0] * 10, "guard": [1.0] * 9 + [4.0]}
    answer = made.predict({"unit": "all", "readings": json.dumps(lists)})
    assert answer.value == "strange" and "guard" in answer.details["said"]


@pytest.mark.parametrize(
    ("options", "more", "error", "told"),
    [
        ({"alarms_a_week": 0}, {}, TaskError, "no budget"),
        ({"window": 200}, {}, DataError, "too little normal time"),
        ({"failures": "failures.csv"}, {}, DataError, "leave out --failures"),
        ({"detectors": ["magic"]}, {}, TaskError, "detectors"),
        ({"horizons": [30]}, {}, UsageError, "no horizons"),
        ({}, {"metric": "roc_auc"}, TaskError, "measured by 'power'"),
        ({"target": "label", "column": "pressure"}, {"metric": "power"}, TaskError, "measured by 'pr_auc'"),
    ],
)
def test_wrong_wishes_are_named_and_nothing_is_written(
    options: dict[str, Any], more: dict[str, Any], error: type[ShokuninError], told: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=told):
        trained(tmp_path, readings(units=2), {**OPTIONS, **options}, **more)
    assert not (tmp_path / "specialists").exists() or not any((tmp_path / "specialists").iterdir())


@pytest.mark.slow
def test_the_served_answers_are_the_tested_ones(tmp_path: Path) -> None:
    report = pipeline.read_report(trained(tmp_path, readings(), replayed=True))
    assert report.replay is not None and report.replay["disagreements"] == 0 and report.replay["rows"] >= 300
