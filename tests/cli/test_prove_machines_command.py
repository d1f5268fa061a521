"""`shokunin prove NAME NEW.csv [--failures F.csv]` where nothing was known of failures when it was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quiet_pumps import HEADER, LATER, day, rows, trained
from shokunin.cli import app
from tiny_fleet import write

LOG = ["pump", "date"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the specialist, later readings and the failures in them."""
    folder = tmp_path_factory.mktemp("shop")
    trained(folder)
    readings, failures = rows(first=LATER, days=280, seed=1, failing=(60, 150, 230))
    write(folder / "new.csv", HEADER, readings)
    write(folder / "failed.csv", LOG, failures)
    return folder


def run(shop: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(app, ["prove", "pumps", *map(str, words), "--project", str(shop)])


def test_the_report_in_its_three_shapes(shop: Path, tmp_path: Path) -> None:
    asked = [shop / "new.csv", "--failures", shop / "failed.csv", "--report", tmp_path / "page.html"]
    text = run(shop, *asked)
    assert text.exit_code == 0, text.output
    assert "had an alarm in the 7 days before them" in " ".join(text.stdout.split()) and "at random" in text.stdout
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Yes: it rang before failures" in page and page.count("<svg") > 3
    plain = run(shop, *asked, "--horizon", "5", "--output", "json")
    made = json.loads(plain.stdout)
    assert plain.exit_code == 0 and made["verdict"] == "pass" and made["page"] == str(tmp_path / "page.html")
    assert set(made["scores"]) == {"alarms_a_week", "caught"} and made["baseline"]["label"].endswith("at random")
    assert made["anticipation"]["log"]["horizon"] == 5 and made["anticipation"]["failures"]["events"] == 18


def test_where_alarms_are_no_better_than_chance_the_exit_code_says_no(shop: Path, tmp_path: Path) -> None:
    calm, _ = rows(first=LATER, days=200, seed=4)
    failures = write(tmp_path / "f.csv", LOG, [[f"pump {unit}", day(LATER + 90 + unit)] for unit in range(6)])
    found = run(shop, write(tmp_path / "calm.csv", HEADER, calm), "--failures", failures)
    assert found.exit_code == 1 and "not caught measurably more often" in " ".join(found.stdout.split())


def test_wrong_use_writes_nothing(shop: Path, tmp_path: Path) -> None:
    before = sorted(str(p) for p in shop.rglob("*"))
    empty = write(tmp_path / "empty.csv", LOG, [])
    for words, told in (
        ([shop / "new.csv", "--failures", empty], "holds no failure"),
        ([shop / "new.csv", "--failures", tmp_path / "nothing.csv"], "nothing.csv"),
        ([shop / "new.csv", "--horizon", "5"], "needs --failures"),
        ([shop / "new.csv", "--against", "http://127.0.0.1:9/v1#big"], "never shown readings"),
        (["--failures", shop / "failed.csv"], "belongs to new readings"),
        ([shop / "failed.csv"], "there is no column"),
    ):
        found = run(shop, *words)
        assert found.exit_code == 2 and told in " ".join(found.stderr.split()), found.output
    assert run(shop, shop / "new.csv", "--failures", shop / "failed.csv", "--horizon", "0").exit_code == 2
    assert sorted(str(p) for p in shop.rglob("*")) == before
