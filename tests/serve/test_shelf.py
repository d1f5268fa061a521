"""The shelf: many specialists on few threads, asked together where they share, and replaced while requests are under way."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import replace

import pytest
from serve_fakes import LABELS, LengthPredictor, PlainCodec, lengths

from shokunin.answer import Answer, Inputs, Predictor
from shokunin.errors import UsageError
from shokunin.serve.limits import Limits
from shokunin.serve.refusal import Refusal
from shokunin.serve.served import Served
from shokunin.serve.shelf import Shelf, changed


class SharingPredictor(LengthPredictor):
    """A LengthPredictor that can be asked together with those of its group; `runs` is kept by the group."""

    def __init__(self, answered_by: str, group: Hashable, runs: list[dict[str, list[str]]]) -> None:
        super().__init__(answered_by=answered_by)
        self.group = group
        self.runs = runs

    def predict_jointly(self, work: Sequence[tuple[Predictor, Sequence[Inputs]]]) -> list[list[Answer]]:
        self.runs.append({one.answered_by: [row["text"] for row in batch] for one, batch in work})  # type: ignore[attr-defined]
        return [one.predict(batch) for one, batch in work]


def one(name: str, predictor: Predictor, version: int = 1, aliases: tuple[str, ...] = ("champion",)) -> Served:
    return Served(f"{name}@{version}", name, version, aliases, "classify_text", predictor, PlainCodec())


def by_id(*served: Served) -> dict[str, Served]:
    return {each.id: each for each in served}


def rows(*texts: str) -> list[Inputs]:
    return [{"text": text} for text in texts]


def run(
    story: Callable[[Shelf], Awaitable[None]],
    *served: Served,
    later: Sequence[Served] = (),
    threads: int | None = None,
    batch: int = 4,
) -> None:
    async def all_of_it() -> None:
        shelf = Shelf(by_id(*served), limits=Limits(batch=batch, waiting=100), threads=threads)
        try:
            await story(shelf)
        finally:
            for each in (*served, *later):
                each.predictor.hold.set()  # type: ignore[attr-defined]
            assert await asyncio.to_thread(shelf.close)

    asyncio.run(all_of_it())


async def begun(predictor: LengthPredictor, runs: int = 1) -> None:
    while len(predictor.batches) < runs:
        await asyncio.sleep(0.002)


def test_specialists_that_share_are_asked_in_one_go() -> None:
    runs: list[dict[str, list[str]]] = []
    many = [one(f"s{i}", SharingPredictor(f"s{i}@1", "encoder", runs)) for i in range(5)]
    first: SharingPredictor = many[0].predictor  # type: ignore[assignment]

    async def story(shelf: Shelf) -> None:
        first.hold.clear()
        busy = shelf.submit(many[0], rows("x"))
        await begun(first)
        waiting = [shelf.submit(each, rows("a" * i)) for i, each in enumerate(many)]
        assert shelf.waiting() == {each.id: 1 for each in many}
        first.hold.set()
        for i, (each, future) in enumerate(zip(many, waiting, strict=True)):
            answer = (await future)[0]
            assert (answer.answered_by, answer.value) == (each.id, LABELS[i % 2])
        assert (await busy)[0].answered_by == "s0@1"
        assert shelf.threads <= 2

    run(story, *many)
    assert runs == [{f"s{i}@1": ["a" * i] for i in range(4)}], "the batch of 4; what is left is one specialist's, alone"


def test_one_that_asks_much_takes_turns_with_those_that_share_its_encoder() -> None:
    runs: list[dict[str, list[str]]] = []
    loud, quiet = (one(name, SharingPredictor(f"{name}@1", "encoder", runs)) for name in ("loud", "quiet"))

    async def story(shelf: Shelf) -> None:
        loud.predictor.hold.clear()  # type: ignore[attr-defined]
        first = shelf.submit(loud, rows("x"))
        await begun(loud.predictor)  # type: ignore[arg-type]
        flood = [shelf.submit(loud, rows(f"{i}")) for i in range(20)]
        small = shelf.submit(quiet, rows("small"))
        loud.predictor.hold.set()  # type: ignore[attr-defined]
        assert (await small)[0].answered_by == "quiet@1"
        await asyncio.gather(first, *flood)

    run(story, loud, quiet)
    assert runs[0] == {"loud@1": ["0", "1", "2"], "quiet@1": ["small"]}


def test_a_specialist_that_fails_spares_those_asked_with_it() -> None:
    runs: list[dict[str, list[str]]] = []
    many = [one(f"s{i}", SharingPredictor(f"s{i}@1", "encoder", runs)) for i in range(3)]

    async def story(shelf: Shelf) -> None:
        many[0].predictor.hold.clear()  # type: ignore[attr-defined]
        busy = shelf.submit(many[0], rows("x"))
        await begun(many[0].predictor)  # type: ignore[arg-type]
        asked = [shelf.submit(each, rows(text)) for each, text in zip(many, ("even", "poison", "odd"), strict=True)]
        many[0].predictor.hold.set()  # type: ignore[attr-defined]
        answers = [(await future)[0] for future in asked]
        assert [a.value for a in answers] == ["even", None, "odd"]
        assert [a.answered_by for a in answers] == ["s0@1", "s1@1", "s2@1"]
        await busy

    run(story, *many)
    assert len(runs) == 1


def test_groups_work_side_by_side_on_few_threads() -> None:
    slow, *quick = (one(f"s{i}", LengthPredictor(answered_by=f"s{i}@1")) for i in range(50))
    before = threading.active_count()

    async def story(shelf: Shelf) -> None:
        slow.predictor.hold.clear()  # type: ignore[attr-defined]
        stuck = shelf.submit(slow, rows("x"))
        await begun(slow.predictor)  # type: ignore[arg-type]
        for _ in range(3):
            answers = await asyncio.gather(*(shelf.submit(each, rows("ab")) for each in quick))
            assert [a[0].answered_by for a in answers] == [each.id for each in quick]
        assert not stuck.done()
        assert 2 <= shelf.threads <= 3
        assert threading.active_count() <= before + 3
        slow.predictor.hold.set()  # type: ignore[attr-defined]
        await stuck

    run(story, slow, *quick, threads=3)


def test_a_request_stays_with_what_it_found() -> None:
    old = one("s", LengthPredictor(answered_by="s@1"), 1)
    new = one("s", LengthPredictor(answered_by="s@2"), 2)

    async def story(shelf: Shelf) -> None:
        found = shelf.find("s")
        old.predictor.hold.clear()  # type: ignore[attr-defined]
        running = shelf.submit(found, rows("running"))
        await begun(old.predictor)  # type: ignore[arg-type]
        waiting = shelf.submit(found, rows("waiting"))
        shelf.replace(by_id(new))
        assert (await shelf.submit(shelf.find("s"), rows("new")))[0].answered_by == "s@2"
        late = shelf.submit(found, rows("late"))  # it was found before, and is asked only now
        old.predictor.hold.set()  # type: ignore[attr-defined]
        assert [(await future)[0].answered_by for future in (running, waiting, late)] == ["s@1"] * 3
        with pytest.raises(Refusal, match="no model 's@1'"):
            shelf.find("s@1")
        assert shelf.waiting() == {"s@2": 0}

    run(story, old, later=[new])


def test_names_are_of_one_state() -> None:
    predictor = LengthPredictor(answered_by="s@1")
    first, second = one("s", predictor, 1), one("s", LengthPredictor(answered_by="s@2"), 2, ())
    shelf = Shelf(by_id(first, second))
    names, served = shelf.names, shelf.served
    shelf.replace(by_id(replace(first, aliases=()), replace(second, aliases=("champion",))))
    assert names["s"] is names["s@champion"] is served["s@1"]
    assert shelf.names["s"] is shelf.names["s@champion"] is shelf.served["s@2"]
    assert changed(served, shelf.served) == (("s@1", "s@2"), ("s@1", "s@2"))
    assert changed(served, served) == ((), ())
    with pytest.raises(TypeError):
        served["x"] = first  # type: ignore[index]


def test_one_that_stays_keeps_its_queue() -> None:
    stays = one("s", LengthPredictor(answered_by="s@1"))

    async def story(shelf: Shelf) -> None:
        stays.predictor.hold.clear()  # type: ignore[attr-defined]
        first = shelf.submit(shelf.find("s"), rows("x"))
        await begun(stays.predictor)  # type: ignore[arg-type]
        second = shelf.submit(shelf.find("s"), rows("y"))
        shelf.replace(by_id(replace(stays, aliases=("champion", "stable"))))
        assert shelf.waiting() == {"s@1": 1}
        third = shelf.submit(shelf.find("s@stable"), rows("z"))
        assert shelf.waiting() == {"s@1": 2}
        stays.predictor.hold.set()  # type: ignore[attr-defined]
        await asyncio.gather(first, second, third)

    run(story, stays)
    assert stays.predictor.batches == [["x"], ["y", "z"]]  # type: ignore[attr-defined]


def test_what_was_replaced_leaves_memory_with_its_last_request() -> None:
    async def all_of_it() -> None:
        old = one("s", SharingPredictor("s@1", "encoder", []), 1)
        gone = weakref.ref(old.predictor)
        shelf = Shelf(by_id(old))
        assert (await shelf.submit(old, rows("x")))[0].answered_by == "s@1"
        shelf.replace(lengths())
        assert gone() is old.predictor
        assert (await shelf.submit(old, rows("x")))[0].answered_by == "s@1"
        gc.disable()  # a server takes what it loaded out of the collector's rounds: it must go by itself
        try:
            del old
            for _ in range(100):  # the thread that answered lets go of it a moment later
                if gone() is None:
                    break
                await asyncio.sleep(0.01)
            assert gone() is None
        finally:
            gc.enable()
        assert await asyncio.to_thread(shelf.close)

    asyncio.run(all_of_it())


def test_an_empty_shelf_can_be_filled_and_emptied() -> None:
    shelf = Shelf({})
    with pytest.raises(Refusal, match="no model"):
        shelf.find("lengths")
    shelf.replace(lengths())
    assert shelf.find("lengths").id == "lengths@2"
    shelf.replace({})
    assert not shelf.names


def test_what_cannot_be_served_changes_nothing() -> None:
    shelf = Shelf(lengths())
    twice = by_id(one("lengths", LengthPredictor(), 2), one("lengths", LengthPredictor(), 3))
    with pytest.raises(UsageError, match="two specialists"):
        shelf.replace(twice)
    assert list(shelf.served) == ["lengths@2"]


def test_a_closed_shelf_refuses() -> None:
    async def story(shelf: Shelf) -> None:
        assert await asyncio.to_thread(shelf.close)
        with pytest.raises(Refusal, match="stopping"):
            shelf.submit(shelf.find("lengths"), rows("late"))

    served = lengths()
    run(story, *served.values())


def test_each_answer_is_of_the_version_that_was_found_while_versions_change() -> None:
    """Eight clients and a thread that promotes and rolls back without a pause."""
    runs: list[dict[str, list[str]]] = []
    versions = [one("s", SharingPredictor(f"s@{v}", "encoder", runs), v) for v in (1, 2, 3)]
    others = [one(f"o{i}", SharingPredictor(f"o{i}@1", "encoder", runs)) for i in range(3)]
    seen: set[str] = set()

    async def story(shelf: Shelf) -> None:
        over = threading.Event()

        def promote() -> None:
            turn = 0
            while not over.is_set():
                turn += 1
                shelf.replace(by_id(versions[turn % 3], *others[: 1 + turn % 3]))
                time.sleep(0.0005)

        thread = threading.Thread(target=promote)
        thread.start()

        async def client(number: int) -> None:
            for i in range(150):
                found = shelf.find("s" if (i + number) % 2 else "o0")
                answer = (await shelf.submit(found, rows("a" * (i % 7))))[0]
                assert (answer.answered_by, answer.value) == (found.id, LABELS[i % 7 % 2])
                seen.add(answer.answered_by)

        try:
            await asyncio.gather(*(client(n) for n in range(8)))
        finally:
            over.set()
            thread.join()

    run(story, versions[0], others[0], later=[*versions, *others])
    assert seen == {"s@1", "s@2", "s@3", "o0@1"}
