"""The tables of README and docs/benchmarks.md: right figures from results, and the ones that are there are up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import harness, table  # noqa: E402
from benchmarks.rows import Setting, Split, digest, few_shot, folds, shrink, stratified_folds  # noqa: E402

MACHINE = {"cpu": "a processor", "cores": 2, "threads": 2, "memory_gb": 8.0, "system": "Linux", "python": "3.11.7"}
ROWS = [(f"text {i}", "ab"[i % 2]) for i in range(10)]


def result(created: str, answers: dict[str, list[str | None]], setting: Setting, split: int = 0) -> dict[str, Any]:
    one = harness.setting_record(setting)
    for name, given in answers.items():
        expected = one["splits"][split]["expected"]
        one["runs"].append(
            {
                "competitor": name,
                "seed": setting.splits[split].seed,
                "wall_seconds": 30.0 if name == "shokunin" else 240.0,
                "peak_rss_mb": 100,
                "peak_tree_mb": 150,
                "accuracy": sum(a == b for a, b in zip(expected, given, strict=True)) / len(given),
                "given": given,
            }
        )
    head = {
        "benchmark": "made_up",
        "created": created,
        "commit": "0123456789ab",
        "dirty": False,
        "quick": False,
        "machine": MACHINE,
    }
    return {**head, "settings": [one]}


def one_split() -> Setting:
    return Setting("whole", (Split(0, tuple(ROWS), tuple(ROWS), tuple(range(10))),), "official")


def test_a_result_reads_back_as_written(tmp_path: Path) -> None:
    made = result("2026-01-01T00:00:00Z", {"shokunin": ["a", "b", None] + ["a"] * 7, "tfidf": ["c"] * 10}, one_split())
    back = harness.read(harness.write(made, tmp_path))
    assert back["settings"][0].pop("labels") == ["a", "b", "c"]
    assert back == made


def test_figures_of_one_split() -> None:
    right = [label for _, label in ROWS]
    made = result("2026-01-01T00:00:00Z", {"shokunin": right, "tfidf": [*right[:6], None, "a", "b", "a"]}, one_split())
    ours, theirs = table.standings(table.collect([made])[("made_up", "whole")][1])
    assert (ours.accuracy.value, ours.against, ours.spread) == (1.0, None, None)
    assert theirs.against is not None
    assert theirs.accuracy.value == 1 - theirs.against.difference.value == 0.6
    assert (
        "| Shokunin | 1.0000 [0.7225, 1.0000] | 1.0000 |  | 30 s | 150 MB | 1 of 1, 0123456789ab |"
        in table.of_results([made])
    )
    assert "| made_up, whole | **1.000** [0.722, 1.000] · 30 s | 0.600 [0.313, 0.832] · 4.0 min |" in table.short(
        [made]
    )


def test_a_newer_run_replaces_an_older_and_a_failed_one_does_not() -> None:
    old = result("2026-01-01T00:00:00Z", {"shokunin": ["a"] * 10}, one_split())
    new = result("2026-01-02T00:00:00Z", {"shokunin": [label for _, label in ROWS]}, one_split())
    broken = result("2026-01-03T00:00:00Z", {"shokunin": ["a"] * 10}, one_split())
    broken["settings"][0]["runs"][0] = {"competitor": "shokunin", "seed": 0, "error": "no", "wall_seconds": 1.0}
    (standing,) = table.standings(table.collect([old, new, broken])[("made_up", "whole")][1])
    assert standing.accuracy.value == 1.0


def test_other_test_rows_are_not_compared() -> None:
    right = [label for _, label in ROWS]
    other = Setting("whole", (Split(0, tuple(ROWS), tuple(reversed(ROWS)), tuple(range(10))),), "official")
    results = [
        result("2026-01-01T00:00:00Z", {"shokunin": right}, one_split()),
        result("2026-01-02T00:00:00Z", {"tfidf": right}, other),
    ]
    assert table.standings(table.collect(results)[("made_up", "whole")][1])[1].against is None


def test_several_seeds_on_the_same_rows_are_paired_by_row() -> None:
    setting = Setting("few", few_shot(ROWS, ROWS, 2, 2), "seeds")
    right = [label for _, label in ROWS]
    worse = ["a"] * 10
    results = [
        result("2026-01-01T00:00:00Z", {"shokunin": right, "tfidf": worse}, setting, split=0),
        result("2026-01-02T00:00:00Z", {"shokunin": right, "tfidf": right}, setting, split=1),
    ]
    ours, theirs = table.standings(table.collect(results)[("made_up", "few")][1])
    assert (ours.splits, theirs.accuracy.value, theirs.spread) == (2, 0.75, pytest.approx(0.3536, abs=1e-3))
    assert theirs.against is not None
    assert theirs.against.difference.value == 0.25


def test_folds_test_every_row_once_and_spread_the_classes() -> None:
    fold_of = stratified_folds(ROWS, 5, seed=3)
    splits = folds(ROWS, fold_of)
    assert sorted(i for split in splits for i in split.test_ids) == list(range(10))
    assert all(not set(split.train) & set(split.test) for split in splits)
    assert all({label for _, label in split.test} == {"a", "b"} for split in splits)
    assert len({digest(split) for split in splits}) == 5


def test_few_shot_draws_so_many_a_class_and_differently_by_seed() -> None:
    first, second = few_shot([(f"{t}{i}", t) for t in "ab" for i in range(50)], ROWS, 4, 2)
    assert len(first.train) == 8
    assert {label for _, label in first.train} == {"a", "b"}
    assert first.train != second.train
    assert first.test_ids == second.test_ids


def test_shrinking_keeps_the_rows_ids() -> None:
    small = shrink(one_split(), train=4, test=3)
    (split,) = small.splits
    assert (len(split.train), len(split.test)) == (4, 3)
    assert all(ROWS[i] == row for i, row in zip(split.test_ids, split.test, strict=True))


def test_the_table_goes_between_its_marks() -> None:
    text = f"before\n{table.START}\nold\n{table.END}\nafter\n"
    assert table.between(text, "new\n", "x.md") == f"before\n{table.START}\nnew\n{table.END}\nafter\n"
    with pytest.raises(SystemExit, match=r"x\.md"):
        table.between("no marks", "new", "x.md")


def test_a_run_is_measured_from_outside(tmp_path: Path) -> None:
    measured = harness.measure(
        [sys.executable, "-c", "print('said'); x = bytearray(50_000_000); raise SystemExit(3)"], tmp_path
    )
    assert measured["exit_code"] == 3
    assert measured["peak_rss_mb"] > 50
    assert (tmp_path / "log.txt").read_text() == "said\n"


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    assert (
        harness.measure([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, timeout=0.3)["exit_code"] < 0
    )


def test_the_written_tables_are_those_of_the_kept_results(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        table.main(["--check"])
    assert end.value.code == 0, capsys.readouterr().out
