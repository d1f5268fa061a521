from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.language.writing_metrics import MARKS, chrf, exact_match, rouge_l


def test_white_space_and_width_do_not_count_but_case_does() -> None:
    assert exact_match("Order １２ is\n ready", "Order 12 is ready ") == 1
    assert exact_match("Ready", "ready") == 0


def test_rouge_l_is_the_f_of_the_longest_common_subsequence() -> None:
    # Lin 2004: "police killed the gunman" against "police kill the gunman": 3 of 4 words in order on both sides.
    assert rouge_l("police killed the gunman", "police kill the gunman") == pytest.approx(0.75)
    # Against "the gunman kill police": 2 of 4.
    assert rouge_l("police killed the gunman", "the gunman kill police") == pytest.approx(0.5)
    # Precision 2/2, recall 2/4.
    assert rouge_l("a b c d", "A, d!") == pytest.approx(2 * 1.0 * 0.5 / 1.5)


def test_a_character_of_an_unspaced_script_is_a_word() -> None:
    # 注文 確認 of 5 and 4 characters: the longest common subsequence has 4.
    assert rouge_l("注文を確認", "注文確認") == pytest.approx(2 * 4 / 9)


def test_chrf_by_hand() -> None:
    # "abc" and "abd": orders 1 to 3 exist. Precision = recall: 2/3, 1/2, 0/1; their mean is 7/18, and so is the F.
    assert chrf("abc", "abd") == pytest.approx(7 / 18)
    # "abcd" and "ab": precision of orders 1 to 4: 1, 1, 0, 0; recall: 1/2, 1/3, 0, 0. Means 1/2 and 5/24.
    p, r = 1 / 2, 5 / 24
    assert chrf("abcd", "ab") == pytest.approx(5 * p * r / (4 * p + r))


def test_chrf_leaves_out_white_space_and_weighs_recall_more() -> None:
    assert chrf("a b c", "abc") == pytest.approx(1)
    assert chrf("abcdef", "abc") < chrf("abc", "abcdef")


@pytest.mark.parametrize("mark", MARKS.values())
def test_nothing_agrees_with_nothing_and_with_nothing_else(mark) -> None:  # type: ignore[no-untyped-def]
    assert mark("", " ") == 1 and mark("", "a") == 0 and mark("a", "") == 0


@given(st.text(max_size=40), st.text(max_size=40))
def test_every_mark_is_a_share_and_full_for_the_same_text(a: str, b: str) -> None:
    for mark in MARKS.values():
        assert 0 <= mark(a, b) <= 1
        assert mark(a, a) == pytest.approx(1)
