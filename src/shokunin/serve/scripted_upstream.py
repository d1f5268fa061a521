"""A scripted upstream: an OpenAI-compatible server on loopback that behaves, and misbehaves, as it is told.

It stands in for the large model in tests, trials without network and measurements; it is small and quick because it
shares the machine with what is measured.

    with ScriptedUpstream("refund") as upstream:            # in a thread of this process
        UpstreamSettings(name="large", base_url=upstream.base_url)
    python -m shokunin.serve.scripted_upstream --port 9100 --reply refund

Without a script of its own it reads the behaviour off the model's name (`by_model`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import httptools

from shokunin.serve.process import bind
from shokunin.serve.scripted_reply import events, whole

REMEMBERED = 10_000
"""Requests that are kept to be looked at."""


@dataclass(frozen=True)
class Seen:
    """A request as it came. Header names are in lower case; of a repeated one the last counts."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body, {} if it is no JSON object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Act:
    """What to do with one request.

    Attributes:
        text: answered in the shape of the endpoint, as a stream where that is asked for.
        status: the HTTP status.
        body: sent instead, as it is.
        events: sent instead as a stream, piece by piece, as they are.
        content_type: of `body`.
        headers: sent along.
        delay: seconds before the reply begins.
        pause: seconds before each further piece of the body.
        reset: the connection is reset after so many pieces of the body; 0: before the reply.
        hang: never answer.
        raw: written instead of HTTP; then the connection is closed.
    """

    text: str = "ok"
    status: int = 200
    body: bytes | None = None
    events: Sequence[bytes] | None = None
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()
    delay: float = 0.0
    pause: float = 0.0
    reset: int | None = None
    hang: bool = False
    raw: bytes | None = None


Script = Callable[[Seen], Act]

_FAILED = re.compile(r"error-(\d{3})")


def by_model(text: str | Callable[[Sequence[Any]], str], *, delay: float = 0.0, pause: float = 0.0) -> Script:
    """A script in which the model's name says what to do, and any other name is answered with `text`.

    `error-STATUS` (429 with `Retry-After: 7`), `html` (502 with a page), `hang`, `slow` (a second), `drip` (a piece each
    tenth of a second), `reset` (in the middle of the body), `refuse` (before it), `malformed` (no HTTP), `huge` (32 MiB).

    Args:
        text: the answer, or what computes it from the messages.
        delay: seconds before each reply.
        pause: seconds before each further piece of a stream.
    """

    def script(seen: Seen) -> Act:
        model = str(seen.json.get("model", ""))
        if failed := _FAILED.fullmatch(model):
            return _error(int(failed[1]))
        if model in _ACTS:
            return _ACTS[model]
        said = text if isinstance(text, str) else text(seen.json.get("messages") or ())
        return Act(said, delay=delay, pause=pause if seen.json.get("stream") else 0.0)

    return script


def _error(status: int) -> Act:
    headers = [("retry-after", "7")] if status == 429 else []
    kind = "rate_limit_exceeded" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": f"scripted {status}", "type": kind, "param": None, "code": f"scripted_{status}"}
    return Act(status=status, body=json.dumps({"error": error}).encode(), headers=headers)


_ACTS = {
    "html": Act(status=502, body=b"<html><h1>502 Bad Gateway</h1></html>\n", content_type="text/html"),
    "hang": Act(hang=True),
    "slow": Act("a slow answer", delay=1.0),
    "drip": Act("one word at a time, slowly", pause=0.1),
    "reset": Act("an answer that breaks off in the middle", pause=0.01, reset=2),
    "refuse": Act(reset=0),
    "malformed": Act(raw=b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
    "huge": Act(body=b"x" * (32 << 20), content_type="text/plain"),
}


@dataclass
class ScriptedUpstream:
    """A server in a thread, from the beginning of the `with` block to its end.

    Attributes:
        script: what to do with each request, or the text of every answer; may be changed while it runs.
        port: 0 takes a free one.
        requests: the last requests, oldest first.
        connections: how many have been accepted.
        open: how many are open.
    """

    script: Script | str = "ok"
    port: int = 0
    requests: deque[Seen] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    connections: int = 0
    open: int = 0

    @property
    def base_url(self) -> str:
        """With `/v1`, as OpenAI clients take it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def act(self, seen: Seen) -> Act:
        """What to do with this request."""
        if seen.path in ("/ready", "/health"):
            return Act(body=b'{"status":"ready"}')
        self.requests.append(seen)
        return Act(self.script) if isinstance(self.script, str) else self.script(seen)

    async def serve(self, listener: socket.socket) -> None:
        """Answer on this socket until cancelled."""
        loop = asyncio.get_running_loop()
        connections: set[_Connection] = set()
        server = await loop.create_server(lambda: _Connection(self, connections), sock=listener)
        try:
            await loop.create_future()
        finally:
            server.close()
            for connection in list(connections):
                connection.abort()
            await asyncio.sleep(0)  # the connections say goodbye in the next round

    def __enter__(self) -> ScriptedUpstream:
        listener = bind("127.0.0.1", self.port)
        self.port = listener.getsockname()[1]
        self._running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._live(listener),), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        loop, task = self._running.result(10)
        loop.call_soon_threadsafe(task.cancel)
        self._thread.join(10)

    async def _live(self, listener: socket.socket) -> None:
        task = asyncio.create_task(self.serve(listener))
        self._running.set_result((asyncio.get_running_loop(), task))
        with listener, suppress(asyncio.CancelledError):  # who leaves at once cancels before the server has the socket
            await task


class _Connection(asyncio.Protocol):
    """One client's connection: requests are answered one after the other."""

    def __init__(self, upstream: ScriptedUpstream, all_open: set[_Connection]) -> None:
        self._upstream = upstream
        self._all_open = all_open
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._parser = httptools.HttpRequestParser(self)
        self._upstream.connections += 1
        self._upstream.open += 1
        self._all_open.add(self)
        self.on_message_begin()

    def connection_lost(self, error: Exception | None) -> None:
        """It has gone."""
        self._upstream.open -= 1
        self._all_open.discard(self)
        if self._answering is not None:
            self._answering.cancel()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._path = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is there: answer it."""
        method, path = self._parser.get_method().decode(), self._path.decode("latin-1").partition("?")[0]
        seen = Seen(method, path, self._headers, b"".join(self._body))
        act = self._upstream.act(seen)
        if not (act.delay or act.pause or act.hang or act.raw is not None or act.reset is not None):
            self._transport.write(b"".join(_pieces(seen, act)))
        else:
            self._answering = asyncio.get_running_loop().create_task(self._play(seen, act))

    async def _play(self, seen: Seen, act: Act) -> None:
        """The acts that take time or end badly."""
        await asyncio.sleep(act.delay)
        if act.hang:
            await asyncio.sleep(3600)
        if act.raw is not None:
            self._transport.write(act.raw)
            return self._transport.close()
        if act.reset == 0:
            return self._reset()
        for number, piece in enumerate(_pieces(seen, act)):
            if number > 1:  # the head and the first piece go at once
                await asyncio.sleep(act.pause)
            if number - 1 == act.reset:
                return self._reset()
            self._transport.write(piece)
        return None

    def _reset(self) -> None:
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )  # so that closing sends RST
        self._transport.abort()


def _pieces(seen: Seen, act: Act) -> Iterator[bytes]:
    """The reply on the wire: its head, then the body in pieces."""
    streams = act.events is not None or (act.body is None and bool(seen.json.get("stream")))
    if streams:
        yield _head(act, "text/event-stream; charset=utf-8", "transfer-encoding: chunked")
        for event in act.events if act.events is not None else events(seen.path, seen.json, act.text):
            yield b"%x\r\n%b\r\n" % (len(event), event)
        yield b"0\r\n\r\n"
        return
    body = whole(seen.path, seen.json, act.text) if act.body is None else act.body
    yield _head(act, act.content_type, f"content-length: {len(body)}")
    step = max(1, len(body) // 5) if act.pause else len(body)
    yield from (body[i : i + step] for i in range(0, len(body), step or 1))


def _head(act: Act, content_type: str, length: str) -> bytes:
    lines = [f"HTTP/1.1 {act.status} Scripted", f"content-type: {content_type}", length, "x-request-id: req_scripted"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in act.headers), "\r\n"]).encode("latin-1")


def main() -> None:
    """Run it as a process until it is stopped."""
    words = argparse.ArgumentParser(description="an OpenAI-compatible server that behaves as it is told")
    words.add_argument("--host", default="127.0.0.1", help="a loopback address")
    words.add_argument("--port", type=int, default=0, help="0 takes a free one")
    words.add_argument("--reply", default="ok", help="the text of every answer")
    words.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    words.add_argument("--pause", type=float, default=0.0, help="seconds between the pieces of a stream")
    asked = words.parse_args()
    listener = bind(asked.host, asked.port)
    upstream = ScriptedUpstream(by_model(asked.reply, delay=asked.delay, pause=asked.pause))
    upstream.port = listener.getsockname()[1]
    upstream.requests = deque(maxlen=0)
    if os.environ.get("SHOKUNIN_STOP_AT_END_OF_INPUT"):
        threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        import uvloop
    except ImportError:  # not on every platform
        asyncio.run(upstream.serve(listener))
    else:
        uvloop.run(upstream.serve(listener))


def _end_with_input() -> None:
    """As `ServerProcess` wants it: not outlive the process that started it."""
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
