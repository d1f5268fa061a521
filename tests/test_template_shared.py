"""The frame that texts share: found in most of them, with slots for what varies, and fitting nearly all."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.template.pattern import Pattern
from shokunin.template.shared import MOST_SLOTS, Fixed, pattern_of

WORDS = ["amber", "birch", "cedar", "daisy", "ember", "fern", "grove", "hazel", "iris", "juniper", "kelp", "lotus"]
MONTHS = ["January", "May", "June", "October", "December"]


def words(rng: random.Random, most: int = 9) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(2, most)))


def shape(texts: Sequence[str], frame: int = 12) -> tuple[Pattern, str]:
    """The pattern of the texts, and how it is written with `_` for its slots."""
    literals = [""]
    for piece in pattern_of(texts, frame):
        if isinstance(piece, Fixed):
            literals[-1] += piece.text
        else:
            literals.append("")
    pattern = Pattern(tuple(literals), tuple(f"s{i}" for i in range(len(literals) - 1)))
    return pattern, "_".join(literals)


def fitting(pattern: Pattern, texts: Sequence[str]) -> float:
    return sum(pattern.match(text) is not None for text in texts) / len(texts)


def made(form: str, count: int = 60, seed: int = 1) -> list[str]:
    """The form with its slots filled: `_` with words, `¤` with a number, `§` with a date."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        text = "".join(words(rng) if c == "_" else c for c in form)
        text = "".join(str(rng.randint(1, 9999)) if c == "¤" else c for c in text)
        day = f"{rng.randint(1, 28)} {rng.choice(MONTHS)} {rng.randint(2019, 2031)}"
        texts.append(text.replace("§", day))
    return texts


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("Classify the message: _", "Classify the message: _"),
        ("_\n\nClassify the message above.", "_\n\nClassify the message above."),
        ('Is it "_" or not? Answer with yes or no.', 'Is it "_" or not? Answer with yes or no.'),
        ("Subject: _\nBody: _\nLabel:", "Subject: _\nBody: _\nLabel:"),
        ("<subject>_</subject>\n<body>_</body>\nLabel:", "<subject>_</subject>\n<body>_</body>\nLabel:"),
        ("Today is § and you sort messages of a shop.\n_", "Today is _ and you sort messages of a shop.\n_"),
        ("Ticket ¤ of the shop came in. What is it about? _", "Ticket _ of the shop came in. What is it about? _"),
        (
            "You help our customers. Their order is ¤ in our books.",
            "You help our customers. Their order is _ in our books.",
        ),
        ("次の文を分類してください。\n文：「_」\n答え：", "次の文を分類してください。\n文：「_」\n答え："),
        (
            "Sort it.\n\n### Text\n_\n\n### Notes\n_\n\n### Answer",
            "Sort it.\n\n### Text\n_\n\n### Notes\n_\n\n### Answer",
        ),
        ("A fixed text.", "A fixed text."),
    ],
)
def test_the_frame_of_texts(form: str, found: str) -> None:
    texts = made(form)
    pattern, written = shape(texts)
    assert written == found
    assert fitting(pattern, texts) == 1


def test_numbers_and_dates_are_whole_slots_so_that_next_month_fits_too() -> None:
    texts = made("Today is § and you sort messages of a shop, version 3.¤ of the rules.")
    pattern, _ = shape([text.replace("2019", "2020") for text in texts])
    later = [
        text.replace("20", "19")
        for text in made("Today is § and you sort messages of a shop, version 12.¤ of the rules.")
    ]
    assert fitting(pattern, later) == 1


def test_a_few_that_are_phrased_otherwise_do_not_matter() -> None:
    texts = made("Classify the message: _\nLabel:", 57) + made("Please tell me what this is about, thanks, _", 3)
    _, written = shape(texts)
    assert written == "Classify the message: _\nLabel:"


def test_words_that_most_texts_hold_by_chance_are_no_frame() -> None:
    rng = random.Random(4)
    texts = [f"{words(rng)} and {words(rng)} or {words(rng)}." for _ in range(80)]
    assert shape(texts)[1] in ("_", "_.")


def test_few_or_equal_or_empty_texts() -> None:
    assert pattern_of([""]) == [] and [piece.text for piece in pattern_of(["a", "a"]) if isinstance(piece, Fixed)] == [
        "a"
    ]
    assert fitting(shape(["", "x"])[0], ["", "x"]) == 1


def test_slots_are_bounded() -> None:
    texts = made("\n".join(f"field{chr(97 + i % 26)}{chr(97 + i // 26)}: _" for i in range(70)), 12)
    pattern, _ = shape(texts)
    assert len(pattern.slots) <= MOST_SLOTS and fitting(pattern, texts) == 1


def test_one_giant_line_and_many_lines() -> None:
    rng = random.Random(6)
    giant = [f"Sum up the text: {' '.join(rng.choices(WORDS, k=20_000))}\nSummary:" for _ in range(8)]
    assert shape(giant)[1] == "Sum up the text: _\nSummary:"
    many = [
        "Sum up the text below.\n"
        + "\n".join("".join(rng.choices("abcdefghij", k=9)) for _ in range(5000))
        + "\nSummary:"
        for _ in range(8)
    ]
    assert shape(many)[1] == "Sum up the text below.\n_\nSummary:"


TEXTS = st.lists(
    st.lists(
        st.sampled_from(["a", "b b", ": ", "\n", "7", "12 May", ".", "「", "」", "{{x}}", "\\", '"', "Text:"]),
        max_size=9,
    ).map("".join),
    min_size=1,
    max_size=40,
)


@given(TEXTS, st.sampled_from([1, 12]))
@settings(max_examples=200, deadline=None)
def test_a_pattern_fits_nearly_all_of_the_texts_that_it_came_from(texts: list[str], frame: int) -> None:
    pattern, _ = shape(texts, frame)
    # Nine in ten begin so, and nine in ten of those end so.
    assert fitting(pattern, texts) >= (0.8 if len(texts) >= 10 else 0.7)
