"""Load on a server from plain sockets with ready-made requests, so that the client takes little of the machine it shares.

- closed: as many connections as said, each asks again as soon as it has its answer;
- open: requests leave at fixed times whatever comes back, and latency counts from the time a request was due, so that a
  stall is not hidden by the client waiting politely (coordinated omission).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CONNECTIONS = 64
"""Connections for open load; a request that finds none free waits, and its waiting counts."""


@dataclass(slots=True)
class Got:
    """One answer: seconds from when the request was due to its end and to the first byte of its body; status; body."""

    seconds: float
    first_seconds: float
    status: int
    body: bytes


class Connection:
    """One keep-alive connection that can send a ready-made request and read the answer, whole or in chunks."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.close()

    async def ask(self, request: bytes, due: float | None = None) -> Got:
        """Send it and wait for the end of the answer."""
        due = time.perf_counter() if due is None else due
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if (at := head.find(b"content-length:")) >= 0:
            body = await self._reader.readexactly(int(head[at + 15 : head.index(b"\r\n", at)]))
            now = time.perf_counter()
            return Got(now - due, now - due, status, body)
        first, pieces = 0.0, []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            pieces.append((await self._reader.readexactly(size + 2))[:-2])
            first = first or time.perf_counter()
        await self._reader.readexactly(2)
        return Got(time.perf_counter() - due, first - due, status, b"".join(pieces))


async def closed(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> list[Got]:
    """The answers to every request that `connections` patient clients could make."""
    answers: list[Got] = []
    end = time.perf_counter() + seconds

    async def client(mine: Iterator[bytes]) -> None:
        async with Connection(port) as connection:
            while time.perf_counter() < end:
                answers.append(await connection.ask(next(mine)))

    await asyncio.gather(*(client(itertools.cycle(requests[i::connections] or requests)) for i in range(connections)))
    return answers


async def open_load(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, *, exact: bool = False
) -> list[Got]:
    """The answers to `rate` requests a second, each timed from when it was due.

    The event loop's timer is up to a millisecond late, which counts too. With `exact` the client spends that millisecond
    looking at the clock instead of sleeping: for measuring fractions of it, at low rates.
    """
    answers: list[Got] = []
    free: asyncio.Queue[Connection] = asyncio.Queue()

    async def one(due: float, request: bytes) -> None:
        connection = await free.get()
        answers.append(await connection.ask(request, due))
        free.put_nowait(connection)

    pool = [Connection(port) for _ in range(CONNECTIONS)]
    for connection in pool:
        free.put_nowait(await connection.__aenter__())
    start = time.perf_counter() + 0.05
    async with asyncio.TaskGroup() as tasks:
        for i in range(int(rate * seconds)):
            due = start + i / rate
            await asyncio.sleep(due - time.perf_counter() - (0.001 if exact else 0.0))
            while exact and time.perf_counter() < due:
                await asyncio.sleep(0)
            tasks.create_task(one(due, requests[i % len(requests)]))
    for connection in pool:
        await connection.__aexit__()
    return answers


def chat_request(body: bytes, headers: Sequence[str] = ()) -> bytes:
    """A request as it goes over the wire."""
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def percentiles(seconds: Sequence[float], which: Sequence[float] = (50, 95, 99)) -> dict[str, Any]:
    """In milliseconds, as `p50` and so on."""
    return {f"p{q:g}": round(float(np.percentile(seconds, q)) * 1000, 3) for q in which}
