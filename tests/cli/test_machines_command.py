"""`shokunin predict` with readings of machines: tables and single windows, and what cannot be answered."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shokunin import pipeline
from shokunin.cli import app
from tiny_fleet import DAYS, OPTIONS, WINDOW, Pumps, day, rows, window, write

HEADER = ["pump", "date", "vibration", "heat"]


def run(pumps: Pumps, *words: str | Path) -> Result:
    return CliRunner().invoke(app, ["predict", "pumps", *map(str, words), "--project", str(pumps.folder)])


def answered(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def said(result: Result) -> str:
    """What stands on the error stream, on one line."""
    return " ".join(result.stderr.split())


class TestTable:
    def test_one_row_a_unit_with_its_newest_window(self, pumps: Pumps, tmp_path: Path) -> None:
        readings, _ = rows(first=DAYS, days=60, seed=5)
        table = write(tmp_path / "new.csv", HEADER, readings)
        found = run(pumps, table, "--out", tmp_path / "risks.csv", "--output", "json")
        assert found.exit_code == 0, found.output
        done = json.loads(found.stdout)
        assert done["rows"]["in"] == len(readings) == done["rows"]["used"] and done["units"] == done["windows"] == 5
        out = answered(tmp_path / "risks.csv")
        assert list(out[0]) == ["unit", "time", "risk within 5 days", "risk within 8 days", "alarm", "said", "problem"]
        assert [r["unit"] for r in out] == [f"pump {n}" for n in range(5)]
        for row in out:
            own = [r for r in readings if r[0] == row["unit"]]
            asked = {
                "unit": row["unit"],
                "readings": json.dumps([dict(zip(HEADER[1:], r[1:], strict=True)) for r in own]),
            }
            alone = pumps.specialist.predict(asked)
            assert (row["alarm"], row["said"]) == (alone.value, alone.details["said"])
            assert row["time"] == max(r[1] for r in own) == alone.details["until"]
            assert float(row["risk within 5 days"]) == pytest.approx(alone.details["horizons"][0]["risk"], abs=1e-6)

    def test_every_window(self, pumps: Pumps, tmp_path: Path) -> None:
        found = run(pumps, pumps.readings, "--out", tmp_path / "risks.jsonl", "--every")
        assert found.exit_code == 0, found.output
        out = [json.loads(line) for line in (tmp_path / "risks.jsonl").read_text().splitlines()]
        assert len(out) > 5 * (DAYS - WINDOW - 5) and {r["problem"] for r in out} == {""}
        assert out == sorted(out, key=lambda r: (r["unit"], r["time"]))
        alarms = sum(r["alarm"] != "no alarm" for r in out)
        assert 0 < alarms < len(out) and f"{alarms:,} with an alarm" in found.stdout

    def test_what_cannot_be_answered_is_told_and_counted(self, pumps: Pumps, tmp_path: Path) -> None:
        good = [["pump 1", day(DAYS + n), 1.0, 60.0] for n in range(WINDOW + 3)]
        table = [
            *good[::-1], good[3],  # in no order, one day twice
            *[["three rows", day(DAYS + n), 1.0, 60.0] for n in range(3)],
            *[["long hole", day(DAYS + n), 1.0, 60.0] for n in (*range(20), 40, 41)],
            ["", day(DAYS), 1.0, 60.0], ["pump 1", "yesterday", 1.0, 60.0], ["pump 1", day(DAYS), "broken", ""],
            ["pump 1", day(DAYS + 1), "n/a", 60.0],
        ]  # fmt: skip
        found = run(
            pumps, write(tmp_path / "t.csv", HEADER, table), "--out", tmp_path / "risks.csv", "--output", "json"
        )
        assert found.exit_code == 0, found.output
        done = json.loads(found.stdout)
        aside = done["rows"]["aside"]
        assert done["rows"]["in"] == len(table) == done["rows"]["used"] + sum(aside.values())
        assert aside == {"no unit": 1, "no time that can be read": 1, "no number in any channel": 1}
        assert set(done["without"]) == {"three rows", "long hole"} and done["units"] == 1
        assert (
            "3 steps in a row" in done["without"]["three rows"] and "2 steps in a row" in done["without"]["long hole"]
        )
        by_unit = {r["unit"]: r for r in answered(tmp_path / "risks.csv")}
        assert len(by_unit) == 3 and f"a window has {WINDOW}" in by_unit["long hole"]["problem"]
        every = run(pumps, tmp_path / "t.csv", "--out", tmp_path / "every.csv", "--every")
        assert "no answer for 'three rows'" in every.stdout and "'long hole'" not in every.stdout

    def test_a_sensor_that_stands_still_and_a_unit_nobody_knows_are_answered(
        self, pumps: Pumps, tmp_path: Path
    ) -> None:
        table = write(tmp_path / "t.csv", HEADER, [["pump 99", day(DAYS + n), 1.0, 60.0] for n in range(WINDOW)])
        assert run(pumps, table, "--out", tmp_path / "risks.csv").exit_code == 0
        (row,) = answered(tmp_path / "risks.csv")
        assert "measured against the fleet" in row["said"] and 0 <= float(row["risk within 5 days"]) <= 1

    @pytest.mark.parametrize(
        ("header", "table", "told"),
        [
            (["pump", "date", "heat"], [["p", "2024-01-01", 1]], "there is no column 'vibration'"),
            (HEADER, [["p", "2024-01-01", 1, 1]], "none of the 1 units has a window; 'p': 1 steps in a row"),
            (HEADER, [["p", "soon", 1, 1]], "no row has a unit, a time and a number (1 with 'no time that can be read')"),
            (HEADER, [["p", "2024-01-01", 1, 1], ["p", "2024-01-02T00:00+09:00", 1, 1]], "times with and without a time zone"),
            (HEADER, [["p", "3/1/2024", 1, 1]], "is March in one country"),
        ],
    )  # fmt: skip
    def test_tables_that_cannot_be_used(
        self, pumps: Pumps, tmp_path: Path, header: list[str], table: Sequence[Any], told: str
    ) -> None:
        out = tmp_path / "risks.csv"
        found = run(pumps, write(tmp_path / "t.csv", header, list(table)), "--out", out)
        assert found.exit_code == 2 and told in said(found) and not out.exists()

    def test_out_and_every_in_the_wrong_place(self, pumps: Pumps, tmp_path: Path) -> None:
        table = write(tmp_path / "t.csv", HEADER, [["p", "2024-01-01", 1, 1]])
        for words, told in (
            ([table], "say where the answers go with --out FILE"),
            ([table, "--out", table], "is the input itself"),
            ([table, "--out", tmp_path / "risks.xlsx"], ".csv, .tsv or .jsonl"),
            ([tmp_path / "nothing.csv", "--out", tmp_path / "risks.csv"], "is not a file"),
            (["{}", "--every"], "--every is for a table"),
            (["pump 3"], "neither a file nor JSON"),
        ):
            found = run(pumps, *words)
            assert found.exit_code == 2 and told in said(found)


class TestWindow:
    def test_one_window(self, pumps: Pumps) -> None:
        found = run(pumps, json.dumps(window("pump 1", 6.0)))
        assert found.exit_code == 0 and found.stdout.startswith("pump 1: ALARM")
        plain = json.loads(run(pumps, json.dumps(window("pump 1", 6.0)), "--output", "json").stdout)
        assert plain["details"]["until"] == day(DAYS + 20 + WINDOW - 1) and plain["problem"] is None

    def test_bad_ones_say_what_is_wrong(self, pumps: Pumps) -> None:
        good = window("pump 1", 1.0)["readings"]
        mixed = [*good[:-1], {**good[-1], "date": f"{good[-1]['date']}T00:00+02:00"}]
        for asked, told in (
            (
                {"unit": "pump 1", "readings": good[:3]},
                f"3 steps in a row of 'pump 1' were sent, up to {good[2]['date']}",
            ),
            ({"unit": "pump 1", "readings": mixed}, "times with and without a time zone"),
            ({"unit": "pump 1", "readings": {"vibration": ["x"] * WINDOW, "heat": [1] * WINDOW}}, "vibration[0]"),
            ({"unit": "pump 1"}, "no readings of 'pump 1' were sent"),
            ({"unit": " ", "readings": good}, "the unit has no name"),
        ):
            found = run(pumps, json.dumps(asked))
            assert found.exit_code == 2 and told in found.stdout
        assert run(pumps, '{"unit": 1}').exit_code == 2 and run(pumps, "{").exit_code == 2

    def test_text_in_a_number_column_is_counted(self, pumps: Pumps) -> None:
        asked = window("pump 1", 1.0)
        asked["readings"][2]["heat"] = "hot"
        found = run(pumps, json.dumps(asked))
        assert found.exit_code == 0 and "1 cell of 'heat' with text" in found.stdout


def train(folder: Path, readings: Path, failures: Path, *words: str) -> Result:
    told = ["--option", f"window={WINDOW}", "--option", "rungs=base_rate,statistics", "--option", "longest_gap=4"]
    places = ["--failures", str(failures), "--name", "dirty", "--project", str(folder), "--output", "json"]
    return CliRunner().invoke(app, ["train", str(readings), "--horizon", "5", *told, *places, *words])


class TestTraining:
    def test_what_is_wrong_with_a_table_is_counted_and_named(self, tmp_path: Path) -> None:
        good, failures = rows()
        failed = {unit: [f[1] for f in failures if f[0] == unit] for unit, _ in failures}
        good = [
            r for r in good if not (r[0] == "pump 0" and day(100) <= r[1] < day(115))
        ]  # a hole longer than a window
        good += [["late", day(n), 1.0 + n % 3, 60.0] for n in range(DAYS - 40, DAYS)]
        good += [["early", day(n), 1.0 + n % 3, 60.0] for n in range(40)]
        good += [["three rows", day(n), 1.0, 60.0] for n in range(3)]
        good += [["pump 1", day(50), 1.0, 60.0], ["pump 1", day(51), "broken", 60.0], ["pump 1", "never", 1.0, 60.0]]
        for row in good:  # a sensor that stands still, and a column that knows the future
            ahead = [d for d in failed.get(row[0], ()) if d > row[1]]
            left = min((date.fromisoformat(d) - date.fromisoformat(row[1])).days for d in ahead) if ahead else 99
            row += [7, left if row[1] != "never" else 0]
        table = write(tmp_path / "readings.csv", [*HEADER, "still", "counter"], good)
        failed_in = write(tmp_path / "failures.csv", ["pump", "date"], failures)
        options = {**OPTIONS, "rungs": ["base_rate", "statistics"], "horizons": [5], "failures": str(failed_in)}
        made = pipeline.train(table, name="dirty", project=tmp_path, options=options, replayed=False)
        report = pipeline.read_report(made)
        assert report.anticipation is not None
        read, split = report.anticipation["read"], report.anticipation["split"]
        aside = read["rows"]["aside"]
        assert read["rows"]["in"] == len(good) == read["rows"]["used"] + sum(aside.values())
        assert aside == {"no time that can be read": 1, "a stretch of readings shorter than a window": 3}
        assert read["units"]["too_short"] == ["three rows"] and read["constant_channels"] == ["still"]
        assert (
            read["cells_that_are_no_numbers"] == {"vibration": 1} and read["averaged"] == 2 and read["long_gaps"] == 1
        )
        assert "late" in split["units_only_in_test"] and "early" in split["units_only_in_train"]
        assert any("'counter' was taken out" in reason for reason in report.reasons)
        assert "counter" not in report.anticipation["channels"]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--horizon", "200"], "windows of 10, horizons of 200 and two purges of 210 need at least"),
            (["--option", "window=400"], "none of the 5 units has 400 readings in a row (the longest has 25"),
            (["--option", "sensors=vibration,pressure"], "there is no column 'pressure'"),
            (["--option", "windows=3"], "the unknown option 'windows'; did you mean 'window'?"),
            (["--option", "when=sometimes"], "the option 'when' of task 'dirty' cannot be 'sometimes'"),
        ],
    )
    def test_what_cannot_be_learnt_says_why(self, pumps: Pumps, tmp_path: Path, words: list[str], told: str) -> None:
        found = train(tmp_path, pumps.readings, pumps.failures, *words)
        assert found.exit_code == 2 and told in found.stdout + said(found)
        assert not list(tmp_path.rglob("manifest.json"))

    def test_mixed_time_zones_are_refused_until_one_is_said(self, pumps: Pumps, tmp_path: Path) -> None:
        lines = pumps.readings.read_text().splitlines()
        unit, when, *rest = lines[5].split(",")
        lines[5] = ",".join([unit, f"{when}T06:00:00+02:00", *rest])
        table = tmp_path / "mixed.csv"
        table.write_text("\n".join(lines))
        found = train(tmp_path, table, pumps.failures)
        assert (
            found.exit_code == 2
            and "say which zone those without one are in (--option timezone=" in found.stdout + said(found)
        )
