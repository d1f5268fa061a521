"""What `kill -9` costs: the server is killed again and again under load, and each reply that had arrived must be recorded.

    python -m benchmarks.kill_server [--kills 50] [--connections 32]

A project with a small specialist and an upstream (`shokunin.serve.scripted_upstream`). A process of its own asks for
local answers and for answers of the upstream, whole and as streams, on many connections at once, and notes the
`x-request-id` of every reply that has arrived to its last byte. At a random moment the server is killed with SIGKILL and
started again. Then each noted id must be in the record, once, with the request that was sent and a reply; SQLite must
find its file whole; and the next start must say nothing. Exit code 1 if any of that fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

import shokunin
from benchmarks import harness
from benchmarks.load import chat_request
from benchmarks.rows import ROOT
from shokunin.example_business import generate, write_csv
from shokunin.serve.process import ServerProcess

NAME = "inquiries"
KINDS = {
    "local": (NAME, False),
    "local stream": (NAME, True),
    "passed": ("large", False),
    "passed stream": ("large", True),
}
ROUTES = {"local": ("local", "escalated", "fallback"), "passed": ("passed",)}
"""An unsure specialist may ask the upstream."""
SOONEST, LATEST = 0.2, 2.5
"""Seconds of load before a kill: somewhere between these."""


def main() -> int:
    asked = _parse()
    if asked.load is not None:
        asyncio.run(_load(asked.load, asked.connections, asked.round))
        return 0
    load_before = psutil.getloadavg()[0]
    draw = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="kill-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        _project(folder, stack)
        rounds = [_round(folder, number, asked.connections, draw) for number in range(asked.kills)]
        with ServerProcess(["--project", str(folder)]) as server:
            said, ended = server.output(), server.stop()
        checked = _check(folder, [reply for one in rounds for reply in one.pop("replies")])
        left = sorted(path.name for path in (folder / "traffic" / "journal").iterdir())
    clean = ended == 0 and not left and all(_quiet(one["said"]) for one in rounds) and _quiet(said)
    result = {
        "benchmark": "kill_server",
        **harness.revision(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": harness.machine(),
        "load_average_before": load_before,
        "python": platform.python_version(),
        "kills": asked.kills,
        "connections": asked.connections,
        "seed": asked.seed,
        **checked,
        "restarts_clean": clean,
        "seconds_to_ready": [one["seconds_to_ready"] for one in rounds],
        "rounds": rounds,
    }
    good = checked["missing"] == checked["wrong"] == 0 and checked["integrity"] == "ok" and clean
    print(
        f"{asked.kills} kills: {checked['acknowledged']} replies had arrived ({checked['by_kind']}), "
        f"{checked['missing']} of them missing, {checked['wrong']} recorded wrongly, {checked['stored']} in the record, "
        f"integrity {checked['integrity']}, restarts {'clean' if clean else 'NOT clean'}"
    )
    print(_write({**result, "held": good}, asked.out))
    return 0 if good else 1


def _project(folder: Path, stack: contextlib.ExitStack) -> None:
    """A specialist and an upstream that runs until the stack ends."""
    rows = write_csv(folder / "inquiries.csv", rows=600)
    shokunin.train(rows, name=NAME, learners=["baseline", "text_linear"], replayed=False, project=folder)
    scripted = (sys.executable, "-m", "shokunin.serve.scripted_upstream")
    words = " ".join(f"word{i}" for i in range(20))
    upstream = stack.enter_context(ServerProcess(["--reply", words, "--pause", "0.005"], command=scripted))
    (folder / "shokunin.toml").write_text(
        f'[upstreams.large]\nbase_url = "{upstream.base_url}/v1"\nmodel = "large"\n\n[gateway]\nupstream = "large"\n',
        encoding="utf-8",
    )


def _round(folder: Path, number: int, connections: int, draw: random.Random) -> dict[str, Any]:
    """Start, load, kill; what had arrived."""
    start = time.perf_counter()
    with ServerProcess(["--project", str(folder)]) as server:
        ready = time.perf_counter() - start
        said = server.output()
        port = server.base_url.rpartition(":")[2]
        words = ["--load", port, "--connections", str(connections), "--round", str(number)]
        noted = folder / f"arrived-{number}.jsonl"
        with noted.open("wb") as file:
            load = subprocess.Popen([sys.executable, "-m", "benchmarks.kill_server", *words], stdout=file, cwd=ROOT)
            while not noted.stat().st_size and load.poll() is None:
                time.sleep(0.01)
            seconds = draw.uniform(SOONEST, LATEST)
            time.sleep(seconds)
            os.kill(server.pid, signal.SIGKILL)
            load.wait()
    replies = [json.loads(line) for line in noted.read_text(encoding="utf-8").splitlines()]
    return {
        "seconds_to_ready": round(ready, 3),
        "seconds_of_load": round(seconds, 3),
        "arrived": len(replies),
        "said": said,
        "replies": replies,
    }


async def _load(port: int, connections: int, number: int) -> None:
    """Ask on every connection until the server is gone; a line for each reply that has arrived."""

    texts = [row["message"] for row in generate(rows=200)]

    async def client(which: int) -> None:
        kinds = list(KINDS)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        for turn in range(1_000_000):
            kind = kinds[(which + turn) % len(kinds)]
            mark = f"mark-{number}-{which}-{turn}"
            try:
                found = await _ask(reader, writer, kind, mark, texts[(which * 7 + turn) % len(texts)])
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            sys.stdout.write(json.dumps({**found, "kind": kind, "mark": mark}) + "\n")
        writer.close()

    await asyncio.gather(*(client(which) for which in range(connections)))


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str, mark: str, text: str
) -> dict[str, Any]:
    """Status and id of a reply of which the last byte has arrived."""
    model, stream = KINDS[kind]
    body = {"model": model, "messages": [{"role": "user", "content": text}], "user": mark, "stream": stream}
    writer.write(chat_request(json.dumps(body).encode()))
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
    if "content-length" in fields:
        await reader.readexactly(int(fields["content-length"]))
    else:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    return {"id": fields["x-request-id"], "status": int(head[9:12])}


def _check(folder: Path, replies: list[dict[str, Any]]) -> dict[str, Any]:
    """Each reply against the record."""
    missing, wrong, examples = 0, 0, []
    with contextlib.closing(sqlite3.connect(folder / "traffic" / "traffic.sqlite3")) as store:
        integrity = store.execute("PRAGMA integrity_check").fetchone()[0]
        stored, different = store.execute("SELECT count(*), count(DISTINCT id) FROM exchanges").fetchone()
        for reply in replies:
            rows = store.execute(
                "SELECT route, status, request, response FROM exchanges WHERE id = ?", (reply["id"],)
            ).fetchall()
            right = len(rows) == 1 and _is_right(reply, *rows[0])
            missing += not rows
            wrong += bool(rows) and not right
            if not right:
                examples.append({**reply, "found": [row[:2] for row in rows]})
    return {
        "acknowledged": len(replies),
        "by_kind": {kind: sum(reply["kind"] == kind for reply in replies) for kind in KINDS},
        "answered_200": sum(reply["status"] == 200 for reply in replies),
        "missing": missing,
        "wrong": wrong + stored - different + len(replies) - len({reply["id"] for reply in replies}),
        "stored": stored,
        "integrity": integrity,
        "examples": examples[:5],
    }


def _is_right(reply: dict[str, Any], route: str, status: int, request: str | None, response: str | None) -> bool:
    there = bool(request and response) and f'"{reply["mark"]}"' in (request or "")
    return there and status == reply["status"] and (status != 200 or route in ROUTES[reply["kind"].split()[0]])


def _quiet(said: str) -> bool:
    """Whether a start told of nothing but where it serves."""
    return not any(word in said.lower() for word in ("error", "traceback", "warning", "damaged"))


def _write(result: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = result["created"].replace("-", "").replace(":", "")
    path = folder / f"kill_server-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def _parse() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=50)
    words.add_argument("--connections", type=int, default=32, help="requests at a time")
    words.add_argument("--seed", type=int, default=0, help="of the moments")
    words.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    words.add_argument("--load", type=int, metavar="PORT", help=argparse.SUPPRESS)  # the second process
    words.add_argument("--round", type=int, default=0, help=argparse.SUPPRESS)
    return words.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
