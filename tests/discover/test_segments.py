"""Segments of prompts, and the tree that sorts prompts by them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.discover.tree import Tree
from shokunin.template.segments import MOST, Segmented, Segmenter, canonical, segments_of, spans_of

PIECES = st.sampled_from(
    ["a", "Text", ":", "：", "\n", ". ", "。", '"', "「", "」", "7", "2026-05-01", "12 May", " ", "\ud800"]
)
TEXTS = st.lists(PIECES, max_size=20).map("".join)
MESSAGES = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXTS), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Today is 12 May 2026.", "Today is 3 October 2031."),
        ("on Tuesday, May 5th, 2026 we", "on Friday, Jan 11th, 2019 we"),
        ("2026年11月3日 です", "2031年1月28日 です"),
        ("prompt v2.1 of", "prompt v10.0.3 of"),
        ("at 12:30:05 +0200 sharp", "at 7:05 sharp"),
        ("see https://a.example/x?y=1 now", "see http://b.example now"),
        ("ask jo@example.com now", "ask ann.b@shop.example now"),
        ("order A4711 and", "order B99 and"),
    ],
)
def test_what_changes_from_day_to_day_is_masked(one: str, other: str) -> None:
    assert canonical(one) == canonical(other) != one


def test_words_alone_stay() -> None:
    for text in ("You may go. March on, in May.", "犬は月を見る。", "a-b_c"):
        assert canonical(text) == text


def test_cuts() -> None:
    said = 'Sort it. Now!\nText: "my bill" 次の文。感情: {x}'
    assert segments_of(said) == ("Sort it.", "Now!", "Text:", '"', "my bill", '"', "次の文。", "感情:", "{x}")
    assert segments_of(" \n ") == ()


def test_a_long_message_is_looked_at_from_both_ends() -> None:
    text = "\n".join(f"line {'x' * (i % 7)}." for i in range(20_000))
    found = segments_of("Begin here:\n" + text + "\nEnd here:")
    assert len(found) == MOST and (found[0], found[-1]) == ("Begin here:", "End here:")
    assert len("".join(segments_of("word " * 300_000))) <= 10_000


def test_a_segmenter_divides_system_turns_and_the_last_message() -> None:
    messages = [("system", "Sort. Well."), ("user", "x 1"), ("assistant", "y"), ("user", "Text: z")]
    assert Segmenter()(messages) == Segmented(
        ("<system>", "Sort.", "Well."), ("user: x #", "assistant: y"), ("Text:", "z")
    )
    assert Segmenter()([("system", "Sort. Well.")]) == Segmented((), (), ("Sort.", "Well."))


def test_what_a_segmenter_remembers_is_bounded() -> None:
    segmenter = Segmenter(remembered=3)
    first = [segmenter([("system", f"Be {word}."), ("user", "x")]) for word in "abcdefgh"]
    again = [segmenter([("system", f"Be {word}."), ("user", "x")]) for word in "abcdefgh"]
    assert first == again and len(segmenter._known) == 3
    giant = Segmenter()
    giant([("system", "be brief. " * 100_000), ("user", "z" * 1_000_000)])
    assert sum(map(len, [*giant._known, *giant._lines])) < 1000


@given(TEXTS)
def test_spans_say_where_the_segments_stand(text: str) -> None:
    at = 0
    for segment, start, end in spans_of(text):
        assert at <= start < end <= len(text)
        assert segment == canonical(text[start:end]) and text[start:end].strip() == text[start:end]
        assert not text[at:start].strip()
        at = end
    assert not text[at:].strip()


# -- the tree ---------------------------------------------------------------------------------------------------------


def prompts(count: int, seed: int = 0) -> Iterator[list[tuple[str, str]]]:
    rng = random.Random(seed)
    for _ in range(count):
        word = "".join(rng.choices("abcdefghij", k=6))
        told = rng.choice(["Sort the message by its intent:", "Say how the writer feels about it:"])
        yield [("system", "You work for a shop."), ("user", f"{told}\n{word}\nAnswer with one word only:")]


def test_prompts_that_say_different_things_lead_to_different_leaves() -> None:
    segmenter = Segmenter()
    made = list(prompts(60))
    tree = Tree([segmenter(messages) for messages in made])
    places = {messages[1][1].split("\n")[0]: set() for messages in made}
    for messages in made:
        places[messages[1][1].split("\n")[0]].add(tree.place(segmenter(messages)))
    first, second = places.values()
    assert len(first) == len(second) == 1 and first.isdisjoint(second)
    (unseen,) = {tree.place(segmenter(messages)) for messages in prompts(40, seed=9)} - first - second or {None}
    assert unseen is None


def test_another_system_prompt_has_no_place() -> None:
    segmenter = Segmenter()
    tree = Tree([segmenter(messages) for messages in prompts(60)])
    assert tree.place(segmenter([("system", "Translate."), ("user", "x")])) == -1


class Counted(tuple[str, ...]):
    """Segments that count how often one is looked up."""

    looked = 0

    def __getitem__(self, key: object) -> object:  # type: ignore[override]
        Counted.looked += 1
        return super().__getitem__(key)  # type: ignore[index]

    def index(self, *arguments: object) -> int:
        Counted.looked += 1
        return super().index(*arguments)  # type: ignore[arg-type]


def test_the_way_to_a_place_does_not_lengthen_with_the_traffic() -> None:
    segmenter = Segmenter()
    looked = []
    for count in (100, 1000):
        tree = Tree([segmenter(messages) for messages in prompts(count)])
        Counted.looked = 0
        for messages in prompts(50, seed=3):
            told = segmenter(messages)
            tree.place(Segmented(Counted(told.system), Counted(told.context), Counted(told.user)))
        looked.append(Counted.looked)
    assert 0 < looked[1] <= looked[0] + 50


@given(st.lists(MESSAGES, min_size=1, max_size=6), st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_every_prompt_that_a_tree_grew_from_has_a_leaf(drawn: list[list[tuple[str, str]]], times: int) -> None:
    segmenter = Segmenter()
    made = [segmenter(messages) for messages in drawn * times]
    tree = Tree(made)
    assert {tree.place(prompt) for prompt in made} <= set(range(tree.leaves))


def test_prompts_as_long_as_can_be_do_not_exhaust_the_stack() -> None:
    told = tuple(("system", "\n".join(f"{'x' * (i + 1)}{'y' * k}." for i in range(200))) for k in range(1, 5))
    turns = tuple(("user", "z" * k) for k in range(1, 150))
    prompt = Segmenter()([*told, *turns, ("user", told[0][1])])
    assert len(prompt.system) > 240 and len(prompt.context) > 90
    assert Tree([prompt] * 20).place(prompt) == 0
