"""Whether the server stays as it is under half an hour of mixed load: memory, open files, threads, queues, latency.

    python -m benchmarks.soak --minutes 30 [--rate 40] [--learners baseline,text_linear,encoder_head]

A specialist is trained on the example business (synthetic rows, as recorded conversations), and `shokunin serve` runs in a
project with it, with a scripted upstream that knows the right answers and with the record of traffic on. A second process
asks at a steady rate, whatever comes back: requests that are recognised, requests for the specialist by its name, whole
and streamed, requests that are passed on, whole and streamed, requests that are wrong in several ways, upstreams that
fail in several ways, and clients that leave in the middle. Every ten seconds the server's memory, files and threads are
looked at from outside, its queues and counts through `/metrics`, and the page is fetched.

Flat means: the slope of the resident memory after the warm-up (Theil-Sen over medians of a minute, which damps both
outliers and the likeness of neighbours) is below two percent an hour even at the upper end of its 95 % interval; files
other than connections, and threads, are no more in the last quarter than in the first after the warm-up, give or take a
few that come and go; once the clients have gone the server holds no connection of theirs. At the end the record must hold
every exchange whose answer arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from scipy.stats import theilslopes

import shokunin
from benchmarks import harness
from shokunin import example_business
from shokunin.serve.process import ServerProcess, bind
from shokunin.serve.scripted_upstream import ScriptedUpstream, by_model

NAME = "inquiries"
SYSTEM = "You sort the messages of a shop for kitchenware. Answer with the department and nothing else."
EVERY = 10.0
"""Seconds between two looks."""
WARM_UP = 0.25
"""Share of the time that is not judged."""
TOLERANCE = 0.02
"""Growth an hour, as a share of the memory, that still counts as flat."""
SPARE = 3
"""Files or threads more or less that mean nothing."""
UNDER_WAY = 400
"""Requests under way at most; beyond that the client sends none, and says so."""
UPSTREAM_SECONDS = 0.05
LIKELY = {
    "recognised": 40,
    "named": 15,
    "named stream": 5,
    "typed": 5,
    "passed": 12,
    "passed stream": 8,
    "wrong": 6,
    "upstream fails": 3,
    "client leaves": 6,
}
"""Of a hundred requests so many are of this sort."""
CHAT = "/v1/chat/completions"
SETTINGS = """
[upstreams.large]
base_url = "{url}/v1"
model = "large"
models = ["drip"]

[upstreams.failing]
base_url = "{url}/v1"
model = "failing"
models = ["error-*", "html", "reset"]

[gateway]
upstream = "large"

[prices.large]
input = 0.15
output = 0.6
"""


def main() -> None:
    asked = _parse()
    if asked.upstream is not None:
        _upstream(asked)
        return
    load_before = psutil.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        texts, promise = _project(folder, asked)
        own = (sys.executable, "-m", "benchmarks.soak")
        upstream = stack.enter_context(ServerProcess(["--upstream", str(folder / "answers.json")], command=own))
        (folder / "shokunin.toml").write_text(SETTINGS.format(url=upstream.base_url), encoding="utf-8")
        with ServerProcess(["--project", str(folder), "--log", "json"]) as server:
            soak = Soak(server, texts, asked.rate)
            asyncio.run(soak.run(asked.minutes * 60))
        kept = _kept(folder, soak.answered)
    judged = judge(soak.samples, warm_up=WARM_UP * asked.minutes * 60)
    judged["flat"] = judged["flat"] and soak.left == 0
    result = {
        "benchmark": "soak",
        **harness.revision(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": harness.machine(),
        "load_average_before": load_before,
        "minutes": asked.minutes,
        "due_per_second": asked.rate,
        "mix": LIKELY,
        "specialist": {"learners": asked.learners.split(","), "promise": promise},
        "requests": {kind: dict(count) for kind, count in sorted(soak.outcomes.items())},
        "routes": dict(soak.routes),
        "not_sent": soak.not_sent,
        "connections_left": soak.left,
        "unexpected": soak.unexpected,
        "latency_ms": soak.latencies(),
        "record": kept,
        "verdict": judged,
        "samples": soak.samples,
    }
    shown = ("requests", "routes", "unexpected", "connections_left", "record", "verdict")
    print(json.dumps({key: result[key] for key in shown}, indent=1))
    print(_write(result, asked.out))


def judge(samples: Sequence[dict[str, Any]], *, warm_up: float) -> dict[str, Any]:
    """Whether the samples after the warm-up are flat, and by how much they are not."""
    after = [sample for sample in samples if sample["seconds"] >= warm_up]
    block = 60.0 if after[-1]["seconds"] - after[0]["seconds"] >= 600 else 20.0
    blocks: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for sample in after:
        blocks[int(sample["seconds"] // block)].append(sample)
    hours = [number * block / 3600 for number in blocks]
    memory = [statistics.median(s["rss_mb"] for s in group) for group in blocks.values()]
    slope, _, low, high = (float(x) for x in theilslopes(memory, hours, alpha=0.95))
    middle = statistics.median(memory)
    quarter = max(1, len(after) // 4)

    def quarters(name: str) -> dict[str, float]:
        first, last = (statistics.median(s[name] for s in part) for part in (after[:quarter], after[-quarter:]))
        return {"first_quarter": first, "last_quarter": last, "most": max(s[name] for s in after)}

    files, threads = quarters("files"), quarters("threads")
    grown = [kind["last_quarter"] - kind["first_quarter"] for kind in (files, threads)]
    return {
        "memory_mb": round(middle, 1),
        "memory_slope_mb_per_hour": {"value": round(slope, 2), "low": round(low, 2), "high": round(high, 2)},
        "memory_growth_percent_per_hour": {
            "value": round(100 * slope / middle, 2),
            "high": round(100 * high / middle, 2),
        },
        "files": files,
        "threads": threads,
        "waiting_for_database": quarters("traffic_waiting"),
        "queue_most": max(s["queue"] for s in after),
        "blocks": len(memory),
        "flat": high < TOLERANCE * middle and max(grown) <= SPARE,
    }


class Soak:
    """The client: asks, looks, and remembers what it saw."""

    def __init__(self, server: ServerProcess, texts: Sequence[str], rate: float) -> None:
        self._process = psutil.Process(server.pid)
        self._url = server.base_url
        self._texts = texts
        self._rate = rate
        self._rng = random.Random(0)
        self._window: list[float] = []
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.samples: list[dict[str, Any]] = []
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.routes: Counter[str] = Counter()
        self.answered: set[str] = set()
        self.unexpected: list[dict[str, Any]] = []
        self.not_sent = 0
        self.left = 0
        self._asking: dict[str, Callable[[aiohttp.ClientSession], Awaitable[None]]] = {
            "recognised": self._recognised,
            "named": lambda session: self._chat(session, "named", {"model": NAME}),
            "named stream": lambda session: self._chat(session, "named stream", {"model": NAME, "stream": True}),
            "typed": self._typed,
            "passed": lambda session: self._chat(session, "passed", {"model": "large"}),
            "passed stream": lambda session: self._chat(session, "passed stream", {"model": "large", "stream": True}),
            "wrong": self._wrong,
            "upstream fails": self._upstream_fails,
            "client leaves": self._client_leaves,
        }

    async def run(self, seconds: float) -> None:
        """Ask at a steady rate, and look now and then."""
        connector = aiohttp.TCPConnector(limit=UNDER_WAY)
        timeout = aiohttp.ClientTimeout(total=90)
        async with aiohttp.ClientSession(self._url, connector=connector, timeout=timeout) as session:
            looking = asyncio.create_task(self._look_now_and_then(session))
            kinds, likely = list(LIKELY), list(LIKELY.values())
            under_way: set[asyncio.Task[None]] = set()
            start, number = time.perf_counter(), 0
            while (due := start + number / self._rate) < start + seconds:
                await asyncio.sleep(due - time.perf_counter())
                number += 1
                if len(under_way) >= UNDER_WAY:
                    self.not_sent += 1
                    continue
                task = asyncio.create_task(self._one(session, self._rng.choices(kinds, likely)[0]))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)
            looking.cancel()
        await asyncio.sleep(2)  # the server hears that its clients have gone
        self.left = self._connections(of_clients=True)

    def latencies(self) -> dict[str, dict[str, float]]:
        """Percentiles of each sort that ended as it should."""
        return {
            kind: {f"p{q}": round(float(np.percentile(s, q)) * 1000, 2) for q in (50, 95, 99)}
            for kind, s in sorted(self._seconds.items())
        }

    async def _one(self, session: aiohttp.ClientSession, kind: str) -> None:
        start = time.perf_counter()
        try:
            await self._asking[kind](session)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            self._note(kind, type(error).__name__, str(error), expected=kind in ("upstream fails", "client leaves"))
            return
        spent = time.perf_counter() - start
        self._seconds[kind].append(spent)
        if kind in ("recognised", "named", "passed"):
            self._window.append(spent)

    def _note(self, kind: str, outcome: str, detail: str, *, expected: bool) -> None:
        self.outcomes[kind][outcome] += 1
        if not expected and len(self.unexpected) < 20:
            self.unexpected.append({"kind": kind, "outcome": outcome, "detail": detail[:300]})

    def _text(self) -> str:
        return self._rng.choice(self._texts)

    async def _post(
        self, session: aiohttp.ClientSession, kind: str, path: str, *, expected: Callable[[int], bool], **body: Any
    ) -> None:
        """Ask, read the answer to its end, and see whether it is of the sort that should come."""
        async with session.post(path, **body) as reply:
            text = await reply.text()
            self._note(kind, str(reply.status), text, expected=expected(reply.status))
            if reply.status == 200:
                self.routes[reply.headers.get("x-shokunin-route", "-")] += 1
                self.answered.add(reply.headers["x-request-id"])

    async def _chat(self, session: aiohttp.ClientSession, kind: str, fields: dict[str, Any]) -> None:
        messages = [{"role": "user", "content": self._text()}]
        body = {"messages": messages, **fields}
        await self._post(session, kind, CHAT, expected=lambda status: status == 200, json=body)

    async def _recognised(self, session: aiohttp.ClientSession) -> None:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": self._text()}]
        body = {"model": "auto", "messages": messages}
        await self._post(session, "recognised", CHAT, expected=lambda status: status == 200, json=body)

    async def _typed(self, session: aiohttp.ClientSession) -> None:
        body = {"inputs": [self._text() for _ in range(self._rng.randint(1, 8))]}
        path = f"/v1/specialists/{NAME}/predict"
        await self._post(session, "typed", path, expected=lambda status: status == 200, json=body)

    async def _wrong(self, session: aiohttp.ClientSession) -> None:
        """Requests that must be refused, each in the words of the envelope."""
        message = {"role": "user", "content": self._text()}
        path, body = self._rng.choice(
            [
                (CHAT, {"data": b'{"model": ', "headers": {"content-type": "application/json"}}),
                (CHAT, {"data": b"hello", "headers": {"content-type": "text/plain"}}),
                (CHAT, {"json": {"model": NAME, "messages": "no list"}}),
                (CHAT, {"json": {"model": NAME, "messages": [message], "n": 10_000}}),
                (CHAT, {"json": {"model": NAME, "messages": [message], "stream": "yes"}}),
                (f"/v1/no/such/{self._rng.random()}", {"json": {}}),
                (f"/v1/specialists/{self._rng.random()}/predict", {"json": {"inputs": "a"}}),
            ]
        )
        await self._post(session, "wrong", path, expected=lambda status: 400 <= status < 500, **body)

    async def _upstream_fails(self, session: aiohttp.ClientSession) -> None:
        model = self._rng.choice(["error-429", "error-429", "error-429", "error-500", "html", "reset"])
        body = {"model": model, "messages": [{"role": "user", "content": self._text()}], "stream": model == "reset"}
        await self._post(session, "upstream fails", CHAT, expected=lambda status: True, json=body)

    async def _client_leaves(self, session: aiohttp.ClientSession) -> None:
        """Leave after the first piece of a slow stream, or before anything has come."""
        body = {"model": "drip", "messages": [{"role": "user", "content": self._text()}], "stream": True}
        async with session.post(CHAT, json=body, headers={"connection": "close"}) as reply:
            if self._rng.random() < 0.5:
                await reply.content.readany()
            reply.close()
        self._note("client leaves", "left", "", expected=True)

    def _connections(self, *, of_clients: bool = False) -> int:
        """How many connections the server holds, to its clients only or to upstreams too."""
        own = int(self._url.rpartition(":")[2])
        found = [c for c in self._process.net_connections("tcp") if c.raddr]
        return sum(c.laddr.port == own for c in found) if of_clients else len(found)

    async def _look_now_and_then(self, session: aiohttp.ClientSession) -> None:
        start, number = time.perf_counter(), 0
        while True:
            number += 1
            await asyncio.sleep(start + number * EVERY - time.perf_counter())
            self.samples.append(await self._look(session, time.perf_counter() - start))

    async def _look(self, session: aiohttp.ClientSession, seconds: float) -> dict[str, Any]:
        async with session.get("/metrics") as reply:
            counts = _metrics(await reply.text()) if reply.status == 200 else {}
        async with session.get("/", headers={"accept": "text/html"}) as reply:
            page = len(await reply.text())
        with self._process.oneshot():
            memory, spent = self._process.memory_full_info(), self._process.cpu_times()
            connections = self._connections()
        window, self._window = self._window, []
        return {
            "seconds": round(seconds, 1),
            "rss_mb": round(memory.rss / 2**20, 2),
            "uss_mb": round(memory.uss / 2**20, 2),
            "files": self._process.num_fds() - connections,
            "connections": connections,
            "threads": self._process.num_threads(),
            "cpu_seconds": round(spent.user + spent.system, 2),
            "queue": counts.get("shokunin_queue_depth", 0),
            "in_flight": counts.get("shokunin_in_flight", 0),
            "traffic_waiting": counts.get("shokunin_traffic_waiting", 0),
            "traffic_dropped": counts.get("shokunin_traffic_dropped_total", 0),
            "series": counts.get("series", 0),
            "page_bytes": page,
            "answers": len(window),
            "p50_ms": round(float(np.percentile(window, 50)) * 1000, 2) if window else None,
            "p99_ms": round(float(np.percentile(window, 99)) * 1000, 2) if window else None,
        }


def _metrics(text: str) -> dict[str, float]:
    """Each metric summed over its series, and how many series there are."""
    found: defaultdict[str, float] = defaultdict(float)
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? ([^ \n]+)$", text, re.MULTILINE):
        found[name] += float(value)
        found["series"] += 1
    return dict(found)


def _project(folder: Path, asked: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """Train a specialist on recorded conversations in `folder`; the texts to ask about, and its promise."""
    rows = example_business.generate(seed=3, rows=asked.rows)
    past, new = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    conversations = [
        {
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": row["message"]},
                {"role": "assistant", "content": row["department"]},
            ]
        }
        for row in past
    ]
    recorded = folder / f"{NAME}.jsonl"
    recorded.write_text("".join(json.dumps(c) + "\n" for c in conversations), encoding="utf-8")
    specialist = shokunin.train(
        recorded, name=NAME, project=folder, learners=asked.learners.split(","), replayed=False, seed=1
    )
    answers = {row["message"]: row["department"] for row in rows}
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
    place = folder / "specialists" / NAME / str(specialist.version)
    report = json.loads((place / "report.json").read_text(encoding="utf-8"))
    return [row["message"] for row in new], report["threshold"]


def _kept(folder: Path, answered: set[str]) -> dict[str, Any]:
    """Whether the record, read after the server has stopped, holds every exchange whose answer arrived."""
    with contextlib.closing(sqlite3.connect(folder / "traffic" / "traffic.sqlite3")) as store:
        ids = [row[0] for row in store.execute("SELECT id FROM exchanges")]
        sound = store.execute("PRAGMA integrity_check").fetchone()[0]
    return {
        "answered": len(answered),
        "rows": len(ids),
        "missing": len(answered - set(ids)),
        "twice": len(ids) - len(set(ids)),
        "integrity_check": sound,
    }


def _upstream(asked: argparse.Namespace) -> None:
    """Run the scripted upstream: it knows every answer, and takes a while."""
    answers = json.loads(asked.upstream.read_text(encoding="utf-8"))

    def reply(messages: Sequence[Any]) -> str:
        return str(answers.get(str(messages[-1]["content"]) if messages else "", "I do not know"))

    listener = bind(asked.host, asked.port)
    upstream = ScriptedUpstream(by_model(reply, delay=UPSTREAM_SECONDS))
    upstream.port, upstream.requests = listener.getsockname()[1], deque(maxlen=0)
    threading.Thread(target=_end_with_input, daemon=True).start()
    asyncio.run(upstream.serve(listener))


def _end_with_input() -> None:
    """The process that started this one holds its input open while it lives."""
    while sys.stdin.buffer.read(1):
        pass
    psutil.Process().terminate()


def _write(result: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = result["created"].replace("-", "").replace(":", "")
    path = folder / f"soak-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def _parse() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--minutes", type=float, default=30.0, help="how long the load lasts")
    words.add_argument("--rate", type=float, default=40.0, help="requests due per second")
    words.add_argument("--rows", type=int, default=4000, help="synthetic rows; the first half is trained on")
    words.add_argument("--learners", default="baseline,text_linear,encoder_head", help="learners of the specialist")
    words.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    words.add_argument("--upstream", type=Path, help=argparse.SUPPRESS)
    words.add_argument("--host", default="127.0.0.1", help=argparse.SUPPRESS)
    words.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    return words.parse_args()


if __name__ == "__main__":
    main()
