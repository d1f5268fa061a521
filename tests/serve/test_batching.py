"""The queue in front of a predictor: order, sharing, turns, bounds, cancellation, and an orderly end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve_fakes import LABELS, LengthPredictor

from shokunin.answer import Answer, Inputs
from shokunin.serve.batching import Batcher
from shokunin.serve.refusal import Refusal


def rows(*texts: str) -> list[Inputs]:
    return [{"text": text} for text in texts]


def values(answers: list[Answer]) -> list[str | None]:
    return [answer.value for answer in answers]


def with_batcher(
    story: Callable[[Batcher], Awaitable[None]], predictor: LengthPredictor, *, batch: int = 4, waiting: int = 100
) -> None:
    async def run() -> None:
        batcher = Batcher(predictor, "lengths@2", batch=batch, waiting=waiting)
        try:
            await story(batcher)
        finally:
            predictor.hold.set()
            assert await asyncio.to_thread(batcher.close)

    asyncio.run(run())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.text("ab", max_size=6), max_size=9), max_size=8), st.integers(1, 5))
def test_whatever_is_asked_together_is_answered_as_if_alone(requests: list[list[str]], batch: int) -> None:
    predictor = LengthPredictor()

    async def story(batcher: Batcher) -> None:
        futures = [batcher.submit(rows(*texts)) for texts in requests]
        for texts, future in zip(requests, futures, strict=True):
            answers = await future
            assert values(answers) == [LABELS[len(t) % 2] for t in texts]
            assert [a.confidence for a in answers] == [1 - 1 / (len(t) + 2) for t in texts]
        assert batcher.waiting == 0

    with_batcher(story, predictor, batch=batch)
    assert max(map(len, predictor.batches), default=0) <= batch
    assert sum(map(len, predictor.batches)) == sum(map(len, requests))


def test_an_idle_predictor_gets_a_row_at_once_and_the_waiting_share_the_next_run() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()

    async def story(batcher: Batcher) -> None:
        first = batcher.submit(rows("one"))
        while not predictor.batches:
            await asyncio.sleep(0.005)
        others = [batcher.submit(rows(t)) for t in ("two", "three", "four", "five", "six")]
        predictor.hold.set()
        await asyncio.gather(first, *others)

    with_batcher(story, predictor)
    assert predictor.batches == [["one"], ["two", "three", "four", "five"], ["six"]]


def test_a_large_request_takes_turns_with_small_ones() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()

    async def story(batcher: Batcher) -> None:
        first = batcher.submit(rows("x"))
        while not predictor.batches:
            await asyncio.sleep(0.005)
        large = batcher.submit(rows(*"abcdefghij"))
        small = batcher.submit(rows("small"))
        predictor.hold.set()
        assert values(await large) == ["odd"] * 10
        assert values(await small) == ["odd"]
        await first

    with_batcher(story, predictor)
    assert predictor.batches == [["x"], list("abcd"), ["small", *"efg"], list("hij")]


def test_no_rows_no_run() -> None:
    predictor = LengthPredictor()

    async def story(batcher: Batcher) -> None:
        assert await batcher.submit([]) == []

    with_batcher(story, predictor)
    assert predictor.batches == []


def test_cancelled_rows_are_dropped_and_their_room_is_free_again() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()

    async def story(batcher: Batcher) -> None:
        first = batcher.submit(rows("one"))
        while not predictor.batches:
            await asyncio.sleep(0.005)
        gone = batcher.submit(rows("two", "three"))
        with pytest.raises(Refusal) as caught:
            batcher.submit(rows("four"))
        assert (caught.value.status, caught.value.headers["retry-after"]) == (503, "1")
        gone.cancel()
        await asyncio.sleep(0)
        assert batcher.waiting == 0
        later = batcher.submit(rows("four"))
        predictor.hold.set()
        assert values(await first) == ["odd"]
        assert values(await later) == ["even"]

    with_batcher(story, predictor, waiting=2)
    assert predictor.batches == [["one"], ["four"]]


def test_a_request_cancelled_half_way_stops_there() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()

    async def story(batcher: Batcher) -> None:
        large = batcher.submit(rows(*"abcdefghij"))
        while not predictor.batches:
            await asyncio.sleep(0.005)
        large.cancel()
        await asyncio.sleep(0)
        predictor.hold.set()
        assert values(await batcher.submit(rows("next"))) == ["even"]

    with_batcher(story, predictor)
    assert predictor.batches == [list("abcd"), ["next"]]


@pytest.mark.parametrize("poison", range(4))
def test_a_row_on_which_the_predictor_raises_spares_its_neighbours(poison: int) -> None:
    texts = ["a", "bb", "ccc", "dddd"]
    expected: list[str | None] = ["odd", "even", "odd", "even"]
    texts[poison], expected[poison] = "poison", None

    async def story(batcher: Batcher) -> None:
        answers = await batcher.submit(rows(*texts))
        assert values(answers) == expected
        assert answers[poison].problem is not None and "secret" not in answers[poison].problem

    with_batcher(story, LengthPredictor())


def test_a_predictor_that_loses_an_answer_gives_nobody_anothers_answer() -> None:
    class Loser(LengthPredictor):
        def predict(self, batch: list[Inputs]) -> list[Answer]:  # type: ignore[override]
            answers = super().predict(batch)
            return answers[1:] if len(batch) > 1 else answers

    async def story(batcher: Batcher) -> None:
        assert values(await batcher.submit(rows("a", "bb", "cc"))) == ["odd", "even", "even"]

    with_batcher(story, Loser())


def test_closing_answers_what_waits_and_takes_no_more() -> None:
    predictor = LengthPredictor()
    predictor.hold.clear()

    async def story(batcher: Batcher) -> None:
        futures = [batcher.submit(rows(t)) for t in ("one", "two", "three")]
        assert not await asyncio.to_thread(batcher.close, 0.05)
        with pytest.raises(Refusal, match="stopping"):
            batcher.submit(rows("late"))
        predictor.hold.set()
        assert [values(await f) for f in futures] == [["odd"], ["odd"], ["odd"]]

    with_batcher(story, predictor)
