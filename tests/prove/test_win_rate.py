"""What a judge's verdicts come to: only those that survive the swap count, and the interval is over groups."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.prove.win_rate import Pair, Verdict, win_rate

BIAS = {"pairs": 10, "consistent": 0.8, "first": 0.62}


def found(*verdicts: Verdict, groups: list[int] | None = None, **more: Any) -> dict[str, Any]:
    pairs = [Pair(v, True, i if groups is None else groups[i]) for i, v in enumerate(verdicts)]
    return win_rate(pairs, judge="wise", rival="big", bias=BIAS, **more)


def test_swayed_and_unread_verdicts_are_told_and_not_counted() -> None:
    told = found(*["won"] * 6, *["lost"] * 2, *["tied"] * 2, *["swayed"] * 5, "unread")
    assert (told["won"], told["lost"], told["tied"], told["swayed"], told["unread"]) == (6, 2, 2, 5, 1)
    assert told["score"]["value"] == pytest.approx(0.7)  # (6 + 1) / 10
    assert told["score"]["low"] < 0.7 < told["score"]["high"]
    assert "cannot be told apart" in told["sentence"]
    assert "In 5 rows its verdict changed with the order" in told["sentence"]
    assert "62 % were for the answer it read first" in told["sentence"]


@pytest.mark.parametrize(("more", "fewer", "word"), [("won", "lost", "better"), ("lost", "won", "worse")])
def test_a_clear_preference_is_said(more: Verdict, fewer: Verdict, word: str) -> None:
    told = found(*[more] * 30, *[fewer] * 5)
    assert told["p"] < 0.001
    assert f"the specialist is measurably {word}" in told["sentence"]


def test_rows_of_one_customer_are_one_piece_of_proof() -> None:
    verdicts: list[Verdict] = ["won"] * 12 + ["lost"] * 4
    alone, together = found(*verdicts), found(*verdicts, groups=[i // 4 for i in range(16)])
    wide = together["score"]["high"] - together["score"]["low"]
    assert wide > alone["score"]["high"] - alone["score"]["low"]


def test_without_a_verdict_nothing_is_claimed() -> None:
    told = found("swayed", "unread")
    assert told["score"] is None and told["p"] is None
    assert "nothing can be said" in told["sentence"]


def test_a_judge_of_its_own_answers_is_said_to_be_one() -> None:
    assert "judged its own answers" in found("won", "lost", itself=True)["sentence"]
    assert "judged its own" not in found("won", "lost")["sentence"]


@given(st.lists(st.sampled_from(["won", "lost", "tied", "swayed", "unread"]), min_size=1, max_size=30))
def test_every_row_is_somewhere_and_turning_the_pairs_round_turns_the_score_round(verdicts: list[Verdict]) -> None:
    told = found(*verdicts)
    assert sum(told[word] for word in ("won", "lost", "tied", "swayed", "unread")) == len(verdicts)
    turned = found(*({"won": "lost", "lost": "won"}.get(v, v) for v in verdicts))  # type: ignore[arg-type]
    if told["score"] is not None:
        assert told["score"]["value"] + turned["score"]["value"] == pytest.approx(1)
        assert told["p"] == pytest.approx(turned["p"])
