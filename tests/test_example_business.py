"""The example business: the same rows for the same seed, with the difficulties that its docstring speaks of."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.errors import UsageError
from shokunin.example_business import COLUMNS, NONE_LABEL, NOTICE, generate, phrases, write_csv

ROWS = generate()


def test_same_seed_same_rows_and_another_seed_others() -> None:
    assert generate(7, 400) == generate(7, 400)
    assert generate(7, 400) != generate(8, 400)


def test_columns_dates_and_size() -> None:
    assert len(ROWS) == 1500
    assert all(tuple(row) == COLUMNS for row in ROWS)
    assert all(a["date"] <= b["date"] for a, b in pairwise(ROWS))


def test_every_department_has_enough_rows_and_they_are_uneven() -> None:
    counts = Counter(row["department"] for row in ROWS)
    assert set(counts) == set(phrases()["departments"])
    assert min(counts.values()) >= 40
    assert max(counts.values()) > 2 * min(counts.values())
    assert 40 <= counts[NONE_LABEL] <= 120


def test_texts_are_varied_but_a_few_come_twice_with_both_like_and_unlike_labels() -> None:
    texts = Counter(row["message"] for row in ROWS)
    assert len(texts) > 0.85 * len(ROWS)
    assert sum(count > 1 for count in texts.values()) > 5
    labels: dict[str, set[str]] = {}
    for row in ROWS:
        labels.setdefault(row["message"], set()).add(row["department"])
    assert any(len(given) > 1 for given in labels.values())


def test_several_languages() -> None:
    japanese = [row for row in ROWS if any("\u3040" <= c <= "\u30ff" for c in row["message"])]
    assert 20 < len(japanese) < 150
    for word in ("Wann ", "Comment |Je |Il ", "¿"):
        assert any(w in row["message"] for w in word.split("|") for row in ROWS), word


def test_personal_data_is_of_ranges_reserved_for_fiction() -> None:
    mails = [word for row in ROWS for word in row["message"].split() if "@" in word]
    phones = [row["message"] for row in ROWS if "020 7946 0" in row["message"]]
    assert len(mails) > 10
    assert len(phones) > 10
    assert all("@example." in mail.lower() for mail in mails)


def test_a_wording_is_fully_filled_in() -> None:
    assert not any(c in row["message"] for row in ROWS for c in "[]{}|")
    assert all(row["message"].strip() for row in ROWS)


def test_some_labels_are_wrong_and_most_are_right() -> None:
    department_of = {
        text: name for name, kept in phrases()["departments"].items() for text in kept["ja"] if "{" not in text
    }
    told = [
        (name, row["department"])
        for row in generate(7, 20000)
        for text, name in department_of.items()
        if text in row["message"]
    ]
    wrong = sum(a != b for a, b in told) / len(told)
    assert len(told) > 200
    assert 0.005 < wrong < 0.05


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(), rows=st.integers(200, 700))
def test_any_seed_and_size(seed: int, rows: int) -> None:
    made = generate(seed, rows)
    assert len(made) == rows
    assert {row["department"] for row in made} <= set(phrases()["departments"])


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 200"):
        generate(7, 199)


def test_the_csv_reads_back_as_generated(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "inquiries.csv", seed=3, rows=300)
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == generate(3, 300)


def test_it_says_that_it_is_synthetic() -> None:
    assert "synthetic" in NOTICE
