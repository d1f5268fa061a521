"""A stream on its way: what arrives is sent as it came, silence is filled, and its end is told once, before it leaves."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from shokunin.serve import relay
from shokunin.serve.rebuild import StreamRebuilder
from shokunin.serve.relay import COMMENT, Relay
from shokunin.serve.upstream import UpstreamFailure

WORD = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


class Reply:
    """An upstream's stream: pieces, pauses in seconds, and how it fails."""

    status = 200
    content_encoding = ""
    headers = (("content-type", "text/event-stream"),)

    def __init__(self, *steps: bytes | float | Exception) -> None:
        self.steps = steps
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for step in self.steps:
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Exception):
                raise step
            else:
                await asyncio.sleep(step)

    async def aclose(self) -> None:
        self.closed = True


def sent(reply: Reply, *, stays: float = 3600.0, cancel: bool = False) -> tuple[list[bytes], list[Any]]:
    """What the client got, and what was told, with how much had been sent by then."""
    bodies: list[bytes] = []
    told: list[Any] = []

    async def send(message: Mapping[str, Any]) -> None:
        bodies.append(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.sleep(stays)
        return {"type": "http.disconnect"}

    def ended(body: Mapping[str, Any] | None, problem: str | None) -> None:
        told.append((None if body is None else body["choices"][0]["message"]["content"], problem, b"".join(bodies)))

    async def whole() -> None:
        made = Relay(reply, StreamRebuilder(), {"x-ours": "1"}, began=lambda: None, ended=ended)  # type: ignore[arg-type]
        task = asyncio.ensure_future(made({"type": "http"}, receive, send))
        if cancel:
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(whole())
    assert reply.closed
    return bodies, told


def test_pieces_pass_as_they_are_and_the_end_is_told_before_it_leaves() -> None:
    bodies, told = sent(Reply(WORD, WORD[:9], WORD[9:] + DONE))
    assert bodies == [b"", WORD, WORD[:9], WORD[9:] + DONE, b""]
    assert told == [("aa", None, WORD + WORD[:9])]


def test_an_end_that_is_not_said_is_told_too() -> None:
    assert sent(Reply(WORD))[1] == [("a", None, WORD)]


def test_a_stream_that_breaks_off() -> None:
    bodies, told = sent(Reply(WORD, UpstreamFailure("upstream_reset", "large", before_reply=False)))
    assert b"upstream_reset" in bodies[-2]
    assert told == [("a", "upstream_reset", WORD)]


def test_the_client_goes() -> None:
    assert sent(Reply(WORD, 30.0, DONE), stays=0.1)[1] == [("a", "client_closed_request", WORD)]


def test_the_server_is_told_to_stop() -> None:
    assert sent(Reply(WORD, 30.0, DONE), cancel=True)[1] == [("a", "client_closed_request", WORD)]


def pauses(steps: Sequence[bytes | float], monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    monkeypatch.setattr(relay, "KEEP_ALIVE", 0.1)
    return sent(Reply(*steps))[0][1:-1]


def test_silence_between_events_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    got = pauses([0.35, WORD, 0.25, DONE], monkeypatch)
    assert got.count(COMMENT) >= 3
    assert [piece for piece in got if piece != COMMENT] == [WORD, DONE]
    assert got[0] == got[-2] == COMMENT


def test_silence_within_an_event_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pauses([WORD[:9], 0.25, WORD[9:] + DONE], monkeypatch) == [WORD[:9], WORD[9:] + DONE]


def test_nothing_gets_into_an_event_while_the_client_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "KEEP_ALIVE", 0.05)
    wire: list[bytes] = []
    reads = asyncio.Event()

    async def send(message: Mapping[str, Any]) -> None:
        if len(wire) > 1:  # as the server does where the client has left a buffer unread
            await reads.wait()
        wire.append(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def whole() -> None:
        reply: Any = Reply(WORD, WORD[:9], WORD[9:], DONE)
        made = Relay(reply, StreamRebuilder(), {}, began=lambda: None, ended=lambda body, word: None)
        task = asyncio.ensure_future(made({"type": "http"}, receive, send))
        await asyncio.sleep(0.2)
        reads.set()
        await task

    asyncio.run(whole())
    assert WORD * 2 in b"".join(wire), "no comment within an event"


def test_no_comment_is_put_into_a_compressed_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reply, "content_encoding", "gzip")
    assert COMMENT not in pauses([0.25, WORD, DONE], monkeypatch)
