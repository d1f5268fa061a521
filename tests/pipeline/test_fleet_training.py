"""A fleet's readings and failures to a published specialist, whole: read, split, fitted, proven, replayed, opened again."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shokunin import pipeline
from shokunin.errors import ArtefactError, DataError, TaskError, UsageError
from shokunin.pipeline.fleet_rows import parse_options
from shokunin.specialist import Specialist

FIRST = date(2024, 1, 1)
OPTIONS = {
    "window": 12, "horizons": [6, 12], "rungs": ["base_rate", "last_outside", "statistics"],
    "trees": {"rounds": 60, "min_child_samples": 5},
}  # fmt: skip


def fleet(folder: Path, *, signal: bool = True, units: int = 6, days: int = 300) -> tuple[Path, Path]:
    """Pumps that shake for eight days before they fail, or never do; in no order, with holes."""
    rng = np.random.default_rng(3)
    rows: list[tuple[Any, ...]] = []
    failed: list[tuple[str, str]] = []
    for unit in range(units):
        shaking, heat = rng.normal(size=days), 60 + rng.normal(size=days)
        for day in range(20 + 4 * unit, days, 31):
            failed.append((f"pump {unit}", (FIRST + timedelta(day)).isoformat()))
            if signal:
                shaking[max(0, day - 8) : day + 1] *= 6
        for day in range(days):
            if rng.random() > 0.03:
                cell = "" if rng.random() < 0.02 else round(float(heat[day]), 3)
                rows.append((f"pump {unit}", (FIRST + timedelta(day)).isoformat(), round(float(shaking[day]), 4), cell))
    rng.shuffle(rows)
    for name, header, table in (
        ("readings.csv", ("pump", "date", "vibration", "heat"), rows),
        ("failures.csv", ("pump", "date"), failed),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *table])
    return folder / "readings.csv", folder / "failures.csv"


def train(folder: Path, readings: Path, **more: Any) -> Specialist:
    options = {**OPTIONS, **more.pop("options", {})}
    return pipeline.train(readings, name="pumps", project=folder, options=options, replayed=False, **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Specialist]:
    """Trained once, with replay through a real server."""
    folder = tmp_path_factory.mktemp("fleet")
    readings, failures = fleet(folder)
    options = {**OPTIONS, "failures": str(failures)}
    return folder, pipeline.train(readings, name="pumps", project=folder, options=options)


def window(unit: str, tail: float, seed: int = 7) -> dict[str, str]:
    """Sixteen days of a pump; the last eight shake `tail` times as much."""
    rng = np.random.default_rng(seed)
    quiet, heat = rng.normal(size=16), 60 + rng.normal(size=16)
    quiet[8:] *= tail
    rows = [
        {"date": (FIRST + timedelta(400 + i)).isoformat(), "vibration": float(v), "heat": float(heat[i])}
        for i, v in enumerate(quiet)
    ]
    return {"unit": unit, "readings": json.dumps(rows)}


class TestWhatIsPublished:
    def test_it_passed_and_answers_alike_through_the_server(self, made: tuple[Path, Specialist]) -> None:
        report = pipeline.read_report(made[1])
        assert report.verdict == "pass" and report.kind == "anticipate_failures"
        assert report.replay is not None and report.replay["disagreements"] == 0 < report.replay["rows"]
        assert report.scores["roc_auc"].low > 0.5 and set(report.scores) == {
            "pr_auc", "roc_auc", "pr_auc[12]", "roc_auc[12]",
        }  # fmt: skip

    def test_rows_in_are_rows_used_and_set_aside(self, made: tuple[Path, Specialist]) -> None:
        found = pipeline.read_report(made[1]).anticipation
        assert found is not None
        rows = found["read"]["rows"]
        count = len((made[0] / "readings.csv").read_text().splitlines()) - 1
        assert rows["in"] == count == rows["used"] + sum(rows["aside"].values())

    def test_the_honest_way_stands_beside_the_published_one(self, made: tuple[Path, Specialist]) -> None:
        found = pipeline.read_report(made[1]).anticipation
        assert found is not None
        assert [row["horizon"] for row in found["protocols"]["honest"]] == [6, 12]
        for told, claimed in zip(found["protocols"]["honest"], found["protocols"]["published"], strict=True):
            assert claimed["roc_auc"]["value"] >= told["roc_auc"]["value"]

    def test_what_is_served_needs_no_file_of_the_training(self, made: tuple[Path, Specialist]) -> None:
        task = made[1].task
        assert task.inputs == ("unit", "readings") and "failures" not in task.options
        assert task.options["sensors"] == ["vibration", "heat"] and task.options["unit"] == "pump"

    def test_the_page_shows_pictures_and_escapes(self, made: tuple[Path, Specialist]) -> None:
        page = (made[1].folder / "report.html").read_text()
        assert "<svg" in page and "What others would have claimed" in page

    def test_a_damaged_file_is_refused(self, made: tuple[Path, Specialist], tmp_path: Path) -> None:
        import shutil

        copy = tmp_path / "copy"
        shutil.copytree(made[1].folder, copy)
        victim = copy / "weights" / "horizons.json"
        victim.chmod(0o644)
        victim.write_text(victim.read_text().replace("6", "7"))
        with pytest.raises(ArtefactError, match=r"horizons\.json"):
            pipeline.load(copy)


class TestAnswers:
    def test_a_shaking_pump_rings_and_says_why(self, made: tuple[Path, Specialist]) -> None:
        answer = made[1].predict(window("pump 2", 6.0))
        assert answer.value in ("failure within 6 days", "failure within 12 days")
        assert answer.details["signs"][0]["channel"] == "vibration" and "ALARM" in answer.details["said"]
        assert "vibration" in answer.details["said"] and answer.details["until"] == (FIRST + timedelta(415)).isoformat()

    def test_quiet_ones_mostly_do_not(self, made: tuple[Path, Specialist]) -> None:
        answers = made[1].predict([window("pump 2", 1.0, seed) for seed in range(20)])
        quiet = [a for a in answers if a.value == "no alarm"]
        assert len(quiet) > 10 and all(a.details["signs"] == [] and a.problem is None for a in quiet)

    def test_a_pump_without_a_past_is_said_to_be_measured_against_the_fleet(
        self, made: tuple[Path, Specialist]
    ) -> None:
        known, strange = made[1].predict([window("pump 2", 1.0), window("pump 99", 1.0)])
        assert known.details["measured_against"] == "its own past"
        assert "fleet" in strange.details["measured_against"] and "fleet" in strange.details["said"]

    def test_an_answer_does_not_depend_on_its_neighbours(self, made: tuple[Path, Specialist]) -> None:
        asked = [window(f"pump {i}", 1.0 + i) for i in range(4)]
        together, alone = made[1].predict(asked), [made[1].predict(one) for one in asked]
        assert [a.details for a in together] == [a.details for a in alone]

    @pytest.mark.parametrize(
        ("inputs", "told"),
        [
            ({"unit": "pump 1", "readings": "[]"}, "a window has 12"),
            ({"unit": "pump 1", "readings": "{"}, "no JSON"),
            ({"unit": "pump 1", "readings": "7"}, "list of rows"),
            ({"unit": "", "readings": "[]"}, "no name"),
            ({"unit": "pump 1", "readings": '{"vibration": [1, 2]}'}, "no list 'heat'"),
            ({"unit": "pump 1", "readings": '{"vibration": [1, 2], "heat": [1]}'}, "not of one length"),
            ({"unit": "pump 1", "readings": '[{"date": "2024-01-01", "vibration": 1}]'}, "1 steps in a row"),
            ({"unit": "pump 1", "readings": '["a"]'}, "no row of columns"),
        ],
    )
    def test_what_cannot_be_answered_says_why(
        self, made: tuple[Path, Specialist], inputs: dict[str, str], told: str
    ) -> None:
        answer = made[1].predict(inputs)
        assert answer.value is None and told in (answer.problem or "")


class TestWhatIsAsked:
    def test_without_signal_the_verdict_is_no(self, tmp_path: Path) -> None:
        readings, failures = fleet(tmp_path, signal=False)
        specialist = train(tmp_path, readings, options={"failures": str(failures)})
        report = pipeline.read_report(specialist)
        assert report.verdict == "fail" and "not foreseen measurably better" in report.reasons[0]

    def test_every_opening_of_the_sealed_side_is_counted_whatever_the_options(self, tmp_path: Path) -> None:
        readings, failures = fleet(tmp_path, units=4)
        rules = {"failures": str(failures), "rungs": ["base_rate", "last_outside"]}
        often = [
            pipeline.read_report(train(tmp_path, readings, options=rules | more)).openings
            for more in ({}, {"horizons": [6]}, {})
        ]
        assert often == [1, 2, 3]

    def test_nothing_says_what_a_failure_is(self, tmp_path: Path) -> None:
        readings, _ = fleet(tmp_path, units=2)
        with pytest.raises(DataError, match="--failures FILE"):
            train(tmp_path, readings, kind="anticipate_failures")
        assert not (tmp_path / "specialists").exists() or not list((tmp_path / "specialists").rglob("manifest.json"))

    def test_failures_of_other_units(self, tmp_path: Path) -> None:
        readings, failures = fleet(tmp_path, units=2)
        failures.write_text("pump,date\nturbine,2024-02-01\n")
        with pytest.raises(DataError, match=r"'turbine'.*'pump 0'"):
            train(tmp_path, readings, options={"failures": str(failures)})

    def test_a_failure_without_a_time(self, tmp_path: Path) -> None:
        readings, failures = fleet(tmp_path, units=2)
        failures.write_text("pump,date\npump 0,soon\n")
        with pytest.raises(DataError, match=r"failures\.csv:2 has 'soon' in 'date'"):
            train(tmp_path, readings, options={"failures": str(failures)})

    def test_an_unknown_option_names_the_known_ones(self, tmp_path: Path) -> None:
        readings, failures = fleet(tmp_path, units=2)
        with pytest.raises(TaskError, match=r"'windows'.*window"):
            train(tmp_path, readings, options={"failures": str(failures), "windows": 3})

    def test_channels_that_know_the_answer_are_taken_out_and_named(self, tmp_path: Path) -> None:
        """A counter that is 0 on the day of the failure, and what vibration will be six days later where that was read."""
        readings, failures = fleet(tmp_path)
        told = {tuple(line.split(",")) for line in failures.read_text().splitlines()[1:]}
        days = {u: sorted(date.fromisoformat(d) for v, d in told if v == u) for u, _ in told}
        with readings.open() as file:
            rows = list(csv.reader(file))
        shaking = {(row[0], row[1]): row[2] for row in rows[1:]}
        for row in rows[1:]:
            today = date.fromisoformat(row[1])
            ahead = [(d - today).days for d in days[row[0]] if d >= today]
            row += [str(min(ahead, default=99)), shaking.get((row[0], (today + timedelta(6)).isoformat()), "")]
        with readings.open("w", newline="") as file:
            csv.writer(file).writerows([[*rows[0], "hours_left_until_service", "inspected"], *rows[1:]])
        specialist = train(tmp_path, readings, options={"failures": str(failures)})
        found = pipeline.read_report(specialist)
        assert specialist.task.options["sensors"] == ["vibration", "heat"]
        for name, why in (
            ("hours_left_until_service", "its value alone tells"),
            ("inspected", "'vibration' will read 6 days later"),
        ):
            assert any(f"'{name}' was taken out" in reason and why in reason for reason in found.reasons), found.reasons

    def test_units_that_run_until_they_fail_are_tested_whole(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        rows = []
        for unit in range(12):
            life = 40 + int(rng.integers(0, 40))
            for cycle in range(life):
                wear = max(0, cycle - life + 12)
                rows.append(
                    {"unit": f"e{unit}", "cycle": cycle, "x": rng.normal() + wear, "remaining_cycles": life - cycle - 1}
                )
        options = {**OPTIONS, "step": "cycle", "horizons": [6]}
        specialist = pipeline.train(
            rows, name="engines", kind="anticipate_failures", options=options, project=tmp_path, replayed=False
        )
        found = pipeline.read_report(specialist).anticipation
        assert found is not None and found["split"]["by"] == "unit" and found["target"] == "remaining"
        assert found["channels"] == ["x"]


def test_options_from_the_command_line() -> None:
    pairs = ["window=30", "horizons=15,30", "step=cycle", "unit=Pump No.", "alarms_a_month=0.5", "sensors=a,b c"]
    assert parse_options(pairs) == {
        "window": 30, "horizons": [15, 30], "step": "cycle", "unit": "Pump No.", "alarms_a_month": 0.5,
        "sensors": ["a", "b c"],
    }  # fmt: skip
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_options(["window"])
