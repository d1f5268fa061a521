"""Duplicates: groups are exactly the connected near duplicates; leaks are found across a given split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.curate.clean import find_leaks, group_duplicates
from shokunin.curate.minhash import HASHES, gram_length, grams, jaccard, normal_form, sketch

WORDS = (
    *("parcel", "refund", "card", "delivery", "where", "is", "my", "the", "order", "late"),
    *("broken", "please", "help", "with", "account", "login", "payment"),
)


def sentences(count: int, seed: int, length: int = 12) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=length)) for _ in range(count)]


def brute_force(texts: list[str], threshold: float) -> list[frozenset[int]]:
    """Connected parts by comparing all pairs."""
    sets = [grams(normal_form(t)) for t in texts]
    parts = [{i} for i in range(len(texts))]
    for i in range(len(texts)):
        for j in range(i):
            same = normal_form(texts[i]) == normal_form(texts[j]) or jaccard(sets[i], sets[j]) >= threshold
            if same and parts[i] is not parts[j]:
                parts[i] |= parts[j]
                for k in parts[j]:
                    parts[k] = parts[i]
    return sorted({frozenset(p) for p in parts}, key=min)


def parts_of(groups: np.ndarray) -> list[frozenset[int]]:
    return sorted({frozenset(np.flatnonzero(groups == g).tolist()) for g in groups}, key=min)


def test_groups_are_those_of_comparing_all_pairs():
    base = sentences(120, 1)
    edited = [t.replace("my", "our", 1) + "!" for t in base[:40]] + [t[:-3] for t in base[20:60]]
    texts = base + edited + [t.upper() for t in base[:10]]
    found = group_duplicates(texts)
    expected = brute_force(texts, 0.8)
    # Nothing is joined that should not be; of what should be, hardly anything is missed.
    assert all(any(part <= other for other in expected) for part in parts_of(found.groups))
    assert len(expected) <= len(parts_of(found.groups)) <= len(expected) + 2
    assert found.exact >= 10 and found.near >= 40


def test_japanese_and_short_texts():
    parcel = "注文した商品がまだ届いていません"
    texts = [parcel, parcel + "が", "返金してください。", "OK", "ok ", "OK!", "No"]
    found = group_duplicates(texts)
    assert found.groups.tolist() == [0, 0, 1, 2, 2, 3, 4]
    assert (found.exact, found.near) == (1, 1)
    assert found.pairs == ((0, 1, pytest.approx(14 / 15)),)


def test_exact_means_up_to_case_width_and_white_space():
    found = group_duplicates(["Ａ card", "a  CARD\n", "a card", "a car"])
    assert found.same.tolist() == [0, 0, 0, 1]
    assert found.exact == 2


def test_given_groups_are_joined():
    texts = sentences(6, 3)
    found = group_duplicates([*texts, texts[0]], given_groups=["c1", "c2", "c2", None, None, "", "c1"])
    groups = found.groups.tolist()
    assert groups[0] == groups[6] and groups[1] == groups[2]
    assert len(set(groups)) == 5


def test_chains_are_one_group():
    words = sentences(1, 5, length=40)[0].split()
    texts = [" ".join([*words[i:], *[f"w{k}" for k in range(i)]]) for i in range(0, 12)]
    found = group_duplicates(texts)
    assert parts_of(found.groups) == brute_force(texts, 0.8)


@given(st.lists(st.text(max_size=30), max_size=12), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_any_texts(texts, copies):
    texts = texts + texts[:copies]
    found = group_duplicates(texts)
    assert len(found.groups) == len(texts)
    forms = [normal_form(t) for t in texts]
    for i in range(len(texts)):
        for j in range(i):
            if forms[i] == forms[j]:
                assert found.groups[i] == found.groups[j]
    assert found.exact == len(texts) - len(set(forms))
    # Numbered by first appearance, so the same texts always get the same numbers.
    first = list(dict.fromkeys(found.groups.tolist()))
    assert first == list(range(len(first)))


def test_leaks_are_found_directly():
    base = sentences(200, 7)
    test = [base[0], base[1] + "!", base[2].upper(), *sentences(30, 8)]
    texts = base + test
    is_test = np.arange(len(texts)) >= len(base)
    leaks = find_leaks(sketch(texts), is_test)
    assert leaks.of[:3].tolist() == [200, 201, 202]
    assert leaks.similarity[0] == 1 and 0.8 <= leaks.similarity[1] < 1 and leaks.similarity[2] == 1
    assert (leaks.of[is_test] == -1).all()
    for row in np.flatnonzero(leaks.of >= 0):
        a, b = texts[row], texts[leaks.of[row]]
        assert jaccard(grams(normal_form(a)), grams(normal_form(b))) >= 0.8


def test_a_test_row_that_is_also_in_training_is_no_cover_for_its_neighbours():
    text = sentences(1, 9, length=20)[0]
    texts = [text, text + "!", text]  # rows 0 and 1 are training, row 2 the test
    leaks = find_leaks(sketch(texts), np.array([False, False, True]))
    assert leaks.of.tolist() == [2, 2, -1]


def test_the_estimate_follows_the_true_similarity():
    """The share of equal signature bytes is an unbiased estimate of the Jaccard similarity, up to chance 1/256."""
    base = sentences(300, 11, length=16)
    other = [" ".join(t.split()[k % 9 :] + [f"x{k}y"] * (k % 9)) for k, t in enumerate(base)]
    sketches = sketch([t for pair in zip(base, other, strict=True) for t in pair])
    pairs = zip(base, other, strict=True)
    true = np.array([jaccard(grams(normal_form(a)), grams(normal_form(b))) for a, b in pairs])
    signatures = sketches.signatures[sketches.same]
    equal = (signatures[0::2] == signatures[1::2]).mean(axis=1)
    estimated = (equal - 1 / 256) / (1 - 1 / 256)
    error = estimated - true
    assert abs(error.mean()) < 0.01
    assert error.std() < 1.3 * np.sqrt(np.mean(true * (1 - true)) / HASHES)


@pytest.mark.parametrize(
    ("text", "n"), [("hello there", 5), ("配送が届きません", 3), ("iPhone", 5), ("สวัสดีครับ", 3), ("", 5)]
)
def test_shorter_grams_for_unsegmented_scripts(text, n):
    assert gram_length(normal_form(text)) == n
