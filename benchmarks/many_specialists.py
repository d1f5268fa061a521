"""Many specialists in one server: memory, throughput against one, and promotions under load.

    python -m benchmarks.many_specialists [--count 100] [--seconds 8] [--requests 10000] [--kinds head,mixture]

Specialists for random labels of banking77 are made first (`many_made.py`; about 90 MB of disk each while it runs). Then a
server in a process of its own, with recording off, is loaded from this one by `--connections` patient clients (closed
load), with 1, 10 and all specialists: every request asks one of them, all equally often (`uniform`) or by Zipf's law
(`zipf`). At last versions are promoted and rolled back every second under the same load until `--requests` are answered.

Every answer is checked: the header, the body's `system_fingerprint` and the answer itself must be of one specialist, and the
label and confidence what that specialist said when it was asked alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks import harness
from benchmarks.load import Connection, Got, chat_request, percentiles
from benchmarks.many_made import Expected, banking77, make_many
from shokunin import registry
from shokunin.serve.process import ServerProcess

TEXTS = 100
"""Different texts that are asked, from the test rows."""
CLOSE = 1e-4
"""Confidence may differ by this much from that of the text asked alone: the rounding of small batches."""
CHANGED = 10
"""How many of the names have a second version, to be promoted and rolled back."""


@dataclass
class Tally:
    """What came back.

    Attributes:
        seconds: latency of each request that was answered as it should be.
        problems: what was wrong with the others.
        last: who answered last under each name.
        turns: when another version than before answered under a name, and which.
    """

    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    last: dict[str, str] = field(default_factory=dict)
    turns: list[tuple[float, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.seconds) + len(self.problems)


def main() -> None:
    asked = _parse()
    load_before = psutil.getloadavg()[0]
    measured = {kind: _kind(kind, asked) for kind in asked.kinds.split(",")}
    result = {
        "benchmark": "many_specialists",
        **harness.revision(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": harness.machine(),
        "load_average_before": load_before,
        "python": platform.python_version(),
        "connections": asked.connections,
        "seconds": asked.seconds,
        "measured": measured,
    }
    print(_write(result, asked.out))


def _kind(kind: str, asked: argparse.Namespace) -> dict[str, Any]:
    """All measurements of `head`s or `mixture`s."""
    texts = random.Random(0).sample([text for text, _ in banking77()[1]], TEXTS)
    names = [f"task-{number:03d}" for number in range(asked.count)]
    with tempfile.TemporaryDirectory(prefix="many-", dir=asked.work) as place:
        project = Path(place)
        shelf = project / "specialists"
        shelf.mkdir()
        start = time.perf_counter()
        known: dict[str, Expected] = {}
        changed = min(CHANGED, asked.count)
        for some, versions in ((names[:changed], 2), (names[changed:], 1)):
            known |= dict(make_many(shelf, some, texts, mixture=kind == "mixture", versions=versions))
        print(f"{kind}: {len(known)} made in {time.perf_counter() - start:.0f} s", flush=True)
        out: dict[str, Any] = {"disk_bytes_each": _size(shelf) // len(known), "served": [], "reload": None}
        for count in sorted({1, min(10, asked.count), asked.count}):
            with _server(project, names[:count]) as (server, seconds):
                out["served"].append(_served(server, names[:count], known, asked, seconds))
                print(_line(kind, out["served"][-1]), flush=True)
        with _server(project, names) as (server, _):
            out["reload"] = _reloaded(server, shelf, names, names[:changed], known, asked)
            print(f"{kind}: {json.dumps(out['reload'])}", flush=True)
        return out


@contextmanager
def _server(project: Path, names: Sequence[str]) -> Iterator[tuple[ServerProcess, float]]:
    """A server of these, and how long it took to become ready."""
    start = time.perf_counter()
    arguments = [*names, "--project", str(project), "--no-record", "--log", "text"]
    with ServerProcess(arguments, seconds=600) as server:
        yield server, time.perf_counter() - start


def _served(
    server: ServerProcess, names: Sequence[str], known: dict[str, Expected], asked: argparse.Namespace, ready: float
) -> dict[str, Any]:
    process = psutil.Process(server.pid)
    out: dict[str, Any] = {
        "specialists": len(names),
        "seconds_to_ready": round(ready, 2),
        "memory_ready_bytes": process.memory_info().rss,
        "threads_ready": process.num_threads(),
        "load": {},
    }
    for shape in ("uniform", "zipf") if len(names) > 1 else ("uniform",):
        weights = [1.0 / (place + 1) if shape == "zipf" else 1.0 for place in range(len(names))]
        _load(server, names, known, weights, asked.connections, _after(1.0))  # warm
        before, start = process.cpu_times(), time.perf_counter()
        tally = _load(server, names, known, weights, asked.connections, _after(asked.seconds))
        seconds, after = time.perf_counter() - start, process.cpu_times()
        out["load"][shape] = {
            "requests": len(tally),
            "wrong": len(tally.problems),
            "problems": tally.problems[:5],
            "specialists_asked": len(tally.last),
            "requests_per_second": round(len(tally.seconds) / seconds, 1),
            "latency_ms": percentiles(tally.seconds),
            "server_cpu_ms_per_request": round(
                (after.user - before.user + after.system - before.system) / len(tally) * 1000, 3
            ),
        }
    out["memory_after_load_bytes"] = process.memory_info().rss
    out["threads_after_load"] = process.num_threads()
    return out


def _reloaded(
    server: ServerProcess,
    shelf: Path,
    names: Sequence[str],
    changing: Sequence[str],
    known: dict[str, Expected],
    asked: argparse.Namespace,
) -> dict[str, Any]:
    """Promote or roll back every second while all are asked; the names that change get half of the requests."""
    process = psutil.Process(server.pid)
    changes: list[tuple[float, str]] = []
    chance, start = random.Random(1), time.perf_counter()

    async def change() -> None:
        back = dict.fromkeys(changing, False)
        while True:
            await asyncio.sleep(max(0.0, start + len(changes) + 1 - time.perf_counter()))
            name = chance.choice(changing)
            if back[name]:
                version = await asyncio.to_thread(registry.rollback, shelf, name)
            else:
                version = 1
                await asyncio.to_thread(registry.promote, shelf, name, version)
            back[name] = not back[name]
            changes.append((time.perf_counter(), f"{name}@{version}"))

    weights = [1.0 if name in changing else len(changing) / max(1, len(names) - len(changing)) for name in names]
    tally = _load(
        server, names, known, weights, asked.connections, lambda tally: len(tally) >= asked.requests, beside=change
    )
    seconds = time.perf_counter() - start
    lags = []
    for number, (at, one) in enumerate(changes):
        name = one.partition("@")[0]
        end = next((t for t, later in changes[number + 1 :] if later.partition("@")[0] == name), float("inf"))
        lags += [t - at for t, turned in tally.turns if turned == one and at < t < end][:1]
    return {
        "specialists": len(names),
        "requests": len(tally),
        "errors_or_wrong": len(tally.problems),
        "problems": tally.problems[:5],
        "changes": len(changes),
        "changes_seen_in_answers": len(lags),
        "ms_until_the_new_version_answers": percentiles(lags) if lags else None,
        "requests_per_second": round(len(tally) / seconds, 1),
        "latency_ms": percentiles(tally.seconds),
        "memory_after_bytes": process.memory_info().rss,
    }


def _load(
    server: ServerProcess,
    names: Sequence[str],
    known: dict[str, Expected],
    weights: Sequence[float],
    connections: int,
    over: Callable[[Tally], bool],
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Tally:
    """Closed load until it is over, each answer checked; `beside` runs meanwhile."""
    port = int(server.base_url.rpartition(":")[2])
    texts = list(next(iter(known.values())))
    chance, tally = random.Random(0), Tally()

    async def client() -> None:
        connection = _Heard(port)
        async with connection:
            while not over(tally):
                name, text = chance.choices(names, weights)[0], chance.choice(texts)
                body = json.dumps({"model": name, "messages": [{"role": "user", "content": text}]}).encode()
                got = await connection.ask(chat_request(body))
                one, problem = _checked(name, text, got, connection.head, known)
                if problem is not None:
                    tally.problems.append(problem)
                    continue
                tally.seconds.append(got.seconds)
                if tally.last.get(name, one) != one:
                    tally.turns.append((time.perf_counter(), one))
                tally.last[name] = one

    async def all_of_it() -> None:
        other = asyncio.create_task(beside()) if beside is not None else None
        await asyncio.gather(*(client() for _ in range(connections)))
        if other is not None:
            other.cancel()
            with suppress(asyncio.CancelledError):
                await other

    asyncio.run(all_of_it())
    return tally


class _Heard(Connection):
    """A connection that keeps the head of the last answer."""

    head = ""

    async def ask(self, request: bytes, due: float | None = None) -> Got:
        """Send it and wait for the answer."""
        start = time.perf_counter() if due is None else due
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.head = head.decode("latin-1").lower()
        length = int(self.head.partition("content-length:")[2].partition("\r\n")[0])
        body = await self._reader.readexactly(length)
        seconds = time.perf_counter() - start
        return Got(seconds, seconds, int(head[9:12]), body)


def _checked(name: str, text: str, got: Got, head: str, known: dict[str, Expected]) -> tuple[str, str | None]:
    """Which specialist answered, and what is wrong with the answer."""
    one = head.partition("x-shokunin-specialist:")[2].partition("\r\n")[0].strip()
    if got.status != 200:
        return one, f"{got.status}: {got.body[:200]!r}"
    body = json.loads(got.body)
    inside = {body["system_fingerprint"], body["shokunin"]["answered_by"]}
    if inside != {one} or one.partition("@")[0] != name:
        return one, f"asked {name}, the header says {one}, the body {sorted(inside)}"
    said, sure = body["choices"][0]["message"]["content"], body["shokunin"]["confidence"]
    expected, expected_sure = known[one][text]
    if said != expected or abs(sure - expected_sure) > CLOSE:
        return one, f"{one} said {said!r} ({sure:.5f}), alone {expected!r} ({expected_sure:.5f})"
    return one, None


def _after(seconds: float) -> Callable[[Tally], bool]:
    """Over so long after it is made."""
    end = time.perf_counter() + seconds
    return lambda tally: time.perf_counter() >= end


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _line(kind: str, row: dict[str, Any]) -> str:
    loads = "; ".join(
        f"{shape} {load['requests_per_second']:.0f} answers/s, p50 {load['latency_ms']['p50']:.0f} ms, "
        f"p99 {load['latency_ms']['p99']:.0f} ms, {load['wrong']} wrong"
        for shape, load in row["load"].items()
    )
    return (
        f"{kind:>8} x {row['specialists']:3}: {row['memory_ready_bytes'] >> 20} MB when ready (after "
        f"{row['seconds_to_ready']:.0f} s), {row['memory_after_load_bytes'] >> 20} MB after load, "
        f"{row['threads_after_load']} threads; {loads}"
    )


def _write(result: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = result["created"].replace("-", "").replace(":", "")
    path = folder / f"many_specialists-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def _parse() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--count", type=int, default=100, help="how many specialists at most")
    words.add_argument("--kinds", default="head,mixture", help="what they are: head, mixture or both")
    words.add_argument("--seconds", type=float, default=8.0, help="length of each throughput measurement")
    words.add_argument("--connections", type=int, default=32, help="clients at a time")
    words.add_argument("--requests", type=int, default=10_000, help="how many are answered while versions change")
    words.add_argument(
        "--work", type=Path, help="where the specialists are made; by default the system's scratch folder"
    )
    words.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    return words.parse_args()


if __name__ == "__main__":
    main()
