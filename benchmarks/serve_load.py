"""How fast a served specialist answers: latency one at a time, requests per second under load, and what HTTP adds.

    python -m benchmarks.serve_load specialists/inquiries/3 [--seconds 3] [--rows ROWS.csv --column text]

The server runs in a process of its own; this one is the client: plain sockets and ready-made requests, so that it takes
little of the machine that it shares with the server. Two sorts of load:

- closed: as many connections as said, each asks again as soon as it has its answer;
- open: requests leave at fixed times whatever comes back, and latency counts from the time a request was due, so that a
  stall is not hidden by the client waiting politely (coordinated omission).

"Overhead" is the latency of a request less the time the predictor says it took. With one connection that is HTTP,
parsing and the way through the queue; under load it is also waiting for the requests before it.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import itertools
import json
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import harness
from shokunin.serve.process import ServerProcess

CLOSED = (1, 8, 32, 64)
"""Connections at a time."""
OPEN = (0.25, 0.5, 0.75)
"""Requests due per second, as shares of the most that closed load got through."""
CONNECTIONS = 64
"""Connections for open load; a request that finds none free waits, and its waiting counts."""


def main() -> None:
    asked = _parse()
    manifest = json.loads((asked.folder / "manifest.json").read_text(encoding="utf-8"))
    load_before = psutil.getloadavg()[0]
    requests = _requests(manifest["name"], _texts(asked))
    with ServerProcess(["--specialist", str(asked.folder)]) as server:
        process = psutil.Process(server.pid)
        port = int(server.base_url.rpartition(":")[2])
        asyncio.run(closed(port, requests, 8, 0.5))  # warm
        measured: list[dict[str, Any]] = []
        for connections in CLOSED:
            measured.append(
                _measure(
                    process,
                    {"load": "closed", "connections": connections},
                    closed(port, requests, connections, asked.seconds),
                )
            )
        most = max(row["requests_per_second"] for row in measured)
        for rate in (round(share * most, 1) for share in OPEN):
            load = open_load(port, requests, rate, asked.seconds)
            measured.append(_measure(process, {"load": "open", "due_per_second": rate}, load))
        memory = process.memory_info().rss
    result = {
        "benchmark": "serve_load",
        **harness.revision(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": harness.machine(),
        "load_average_before": load_before,
        "python": platform.python_version(),
        "specialist": {
            "name": manifest["name"],
            "version": manifest["version"],
            "format": manifest["weights"]["format"],
        },
        "server_memory_bytes": memory,
        "measured": measured,
    }
    for row in measured:
        print(_line(row))
    print(_write(result, asked.out))


class Connection:
    """One keep-alive connection that can send a ready-made request and read the answer."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.close()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        body = await self._reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
        return int(head[9:12]), body


async def closed(
    port: int, requests: Sequence[bytes], connections: int, seconds: float
) -> list[tuple[float, int, bytes]]:
    """(latency in seconds, status, body) of every request that `connections` patient clients could make."""
    answers: list[tuple[float, int, bytes]] = []
    end = time.perf_counter() + seconds

    async def client(mine: Iterator[bytes]) -> None:
        async with Connection(port) as connection:
            while (start := time.perf_counter()) < end:
                status, body = await connection.ask(next(mine))
                answers.append((time.perf_counter() - start, status, body))

    await asyncio.gather(*(client(itertools.cycle(requests[i::connections] or requests)) for i in range(connections)))
    return answers


async def open_load(
    port: int, requests: Sequence[bytes], rate: float, seconds: float
) -> list[tuple[float, int, bytes]]:
    """(latency since it was due in seconds, status, body) of `rate` requests a second."""
    answers: list[tuple[float, int, bytes]] = []
    free: asyncio.Queue[Connection] = asyncio.Queue()

    async def one(due: float, request: bytes) -> None:
        connection = await free.get()
        status, body = await connection.ask(request)
        free.put_nowait(connection)
        answers.append((time.perf_counter() - due, status, body))

    pool = [Connection(port) for _ in range(CONNECTIONS)]
    for connection in pool:
        free.put_nowait(await connection.__aenter__())
    start = time.perf_counter() + 0.05
    async with asyncio.TaskGroup() as tasks:
        for i in range(int(rate * seconds)):
            due = start + i / rate
            await asyncio.sleep(due - time.perf_counter())
            tasks.create_task(one(due, requests[i % len(requests)]))
    for connection in pool:
        await connection.__aexit__()
    return answers


def _measure(process: psutil.Process, about: dict[str, Any], load: Any) -> dict[str, Any]:
    before, start = process.cpu_times(), time.perf_counter()
    answers = asyncio.run(load)
    seconds, after = time.perf_counter() - start, process.cpu_times()
    good = [(latency, json.loads(body)["shokunin"]["seconds"]) for latency, status, body in answers if status == 200]
    if not good:
        raise SystemExit(f"no request was answered; the first reply was: {answers[:1]}")
    return {
        **about,
        "requests": len(answers),
        "failed": len(answers) - len(good),
        "requests_per_second": len(good) / seconds,
        "latency_ms": _percentiles([latency for latency, _ in good]),
        "predictor_ms": _percentiles([spent for _, spent in good]),
        "overhead_ms": _percentiles([latency - spent for latency, spent in good]),
        "server_cpu_ms_per_request": (after.user - before.user + after.system - before.system) / len(answers) * 1000,
    }


def _requests(name: str, texts: Sequence[str]) -> list[bytes]:
    bodies = [json.dumps({"model": name, "messages": [{"role": "user", "content": text}]}).encode() for text in texts]
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        "Content-Length: {}",
    ]
    head = "\r\n".join([*lines, "", ""])
    return [head.format(len(body)).encode() + body for body in bodies]


def _texts(asked: argparse.Namespace) -> list[str]:
    """Texts of a CSV, or the sealed rows in the specialist's report."""
    if asked.rows is not None:
        with asked.rows.open(encoding="utf-8", newline="") as file:
            return [row[asked.column] for row in csv.DictReader(file)]
    cases = json.loads((asked.folder / "report.json").read_text(encoding="utf-8"))["cases"]
    return [next(iter(c["inputs"].values())) if len(c["inputs"]) == 1 else json.dumps(c["inputs"]) for c in cases]


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(seconds, q)) * 1000, 3) for q in (50, 95, 99)}


def _line(row: dict[str, Any]) -> str:
    load = f"{row['connections']} connections" if row["load"] == "closed" else f"{row['due_per_second']} due per second"
    both = [" / ".join(f"{row[name][q]:.1f}" for q in ("p50", "p95", "p99")) for name in ("latency_ms", "overhead_ms")]
    return (
        f"{load:>20}: {row['requests_per_second']:7.0f} answers/s, latency {both[0]} ms, overhead {both[1]} ms "
        f"(p50 / p95 / p99), {row['server_cpu_ms_per_request']:.2f} ms CPU each, {row['failed']} failed"
    )


def _write(result: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = result["created"].replace("-", "").replace(":", "")
    path = folder / f"serve_load-{result['specialist']['name']}-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def _parse() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path, help="a specialist's folder, specialists/NAME/VERSION")
    words.add_argument("--seconds", type=float, default=2.5, help="length of each of the seven measurements")
    words.add_argument("--rows", type=Path, help="a CSV with the texts to send; by default the report's cases")
    words.add_argument("--column", default="text", help="its column")
    words.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    return words.parse_args()


if __name__ == "__main__":
    main()
