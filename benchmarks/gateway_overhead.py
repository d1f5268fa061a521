"""What passing a request on costs: latency through the gateway less latency of asking the same upstream directly.

    python -m benchmarks.gateway_overhead [--litellm ../litellm/bin/litellm] [--seconds 60] [--rates 50,200]

One upstream, `shokunin.serve.scripted_upstream`, answers at once with twenty words, or streams them a word every ten
milliseconds. It is asked directly, through `shokunin serve` with capture on, and through the LiteLLM proxy where one is
given. All run at the same time, each server with one worker; the load goes to one after the other, in turns of a few
seconds whose order changes, so that what else the machine does meets all alike. The load is open: a request counts from
when it was due. A server whose maximum rate, measured first, is too near is left out. "Added" is the difference of the
percentiles of a turn to those of the direct turn of the same round; given are the median over the rounds and the middle
half of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import numpy as np
import psutil

from benchmarks import harness
from benchmarks.load import Got, chat_request, closed, open_load, percentiles
from shokunin.serve.process import ServerProcess

WORDS = " ".join(f"word{i}" for i in range(20))
SYSTEM = "You sort the letters of our customers. " * 25
"""About a kilobyte, as such prompts are."""
TURN = 4.0
"""Seconds of load on one server at a time."""
STREAM_RATE = 10.0
MOST_CONNECTIONS = 32
"""For the maximum rate."""
SHARE = 0.9
"""A server is not given more than this share of its own maximum rate: its queue would grow without end."""
WHICH = (50, 95, 99)


@dataclass
class Target:
    """Something that can be asked."""

    name: str
    port: int
    path: str = "/v1/chat/completions"
    process: psutil.Process | None = None
    turns: dict[str, list[list[Got]]] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    most: float = 0.0
    sent: int = 0

    def cpu(self) -> float:
        """Processor seconds of the server and its children so far."""
        if self.process is None:
            return 0.0
        times = [p.cpu_times() for p in (self.process, *self.process.children(recursive=True))]
        return sum(t.user + t.system for t in times)


def main() -> None:
    asked = _parse()
    load_before = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="overhead-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        targets, about = _start(asked, folder, stack)
        _warm(targets)
        most = [_most(target, min(asked.seconds, 10.0)) for target in targets]
        measured = [_open(targets, f"{rate:g} requests/s", _requests(), rate, asked.seconds) for rate in asked.rates]
        measured.append(_open(targets, "streams", _requests(stream=True), STREAM_RATE, asked.seconds, stream=True))
        stack.close()  # a server that has stopped has written everything down
        captured = {"sent": targets[1].sent, "in_the_record": _captured(folder)}
    result = {
        "benchmark": "gateway_overhead",
        **harness.revision(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": harness.machine(),
        "load_average_before": load_before,
        "python": platform.python_version(),
        **about,
        "turn_seconds": TURN,
        "measured": measured,
        "most": most,
        "captured": captured,
    }
    for line in _lines(result):
        print(line)
    print(_write(result, asked.out))


def _start(asked: argparse.Namespace, folder: Path, stack: contextlib.ExitStack) -> tuple[list[Target], dict[str, Any]]:
    """The servers, up and ready."""
    scripted = (sys.executable, "-m", "shokunin.serve.scripted_upstream")
    upstream = stack.enter_context(ServerProcess(["--reply", WORDS, "--pause", "0.01"], command=scripted))
    address = upstream.base_url + "/v1"
    (folder / "shokunin.toml").write_text(
        f'[upstreams.large]\nbase_url = "{address}"\nmodel = "large"\n\n[gateway]\nupstream = "large"\n',
        encoding="utf-8",
    )
    gateway = stack.enter_context(ServerProcess(["--project", str(folder), *asked.serve]))
    targets = [
        Target("direct", _port(upstream.base_url)),
        Target("shokunin", _port(gateway.base_url), process=psutil.Process(gateway.pid)),
    ]
    about: dict[str, Any] = {}
    if asked.litellm is not None:
        for workers in asked.litellm_workers:
            name = "litellm" if workers == 1 else f"litellm, {workers} workers"
            server = stack.enter_context(_litellm(asked.litellm, folder, address, workers))
            targets.append(Target(name, server[0], process=server[1]))
        version = subprocess.run(
            [asked.litellm, "--version"], capture_output=True, text=True, check=True, env=_environment()
        ).stdout
        about["litellm"] = {"version": version.split()[-1], "workers": asked.litellm_workers}
    return targets, about


@contextlib.contextmanager
def _litellm(program: Path, folder: Path, address: str, workers: int) -> Iterator[tuple[int, psutil.Process]]:
    """The proxy as its guide for production has it, without a database: nothing is recorded and nothing logged."""
    config = {
        "model_list": [
            {
                "model_name": "large",
                "litellm_params": {"model": "openai/large", "api_base": address, "api_key": "sk-none"},
            }
        ],
        "litellm_settings": {"set_verbose": False, "callbacks": [], "num_retries": 0, "request_timeout": 600},
        "general_settings": {"disable_spend_logs": True, "disable_error_logs": True},
    }
    path = folder / f"litellm-{workers}.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--config", path, "--host", "127.0.0.1", "--port", str(port), "--num_workers", str(workers)]
    if workers > 1:  # a worker that takes more than five seconds to start is taken for dead, and never starts
        command += ["--timeout_worker_healthcheck", "120"]
    with (folder / f"litellm-{workers}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=_environment(), cwd=folder)
    try:
        _until_ready(process, port, folder / f"litellm-{workers}.log")
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would fetch prices from the network
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # no keys on either side
        "NO_PROXY": "127.0.0.1",
    }


def _until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    opener = build_opener(ProxyHandler({}))
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), opener.open(f"http://127.0.0.1:{port}/health/liveliness", timeout=5):
            return
        time.sleep(0.5)
    raise SystemExit(f"the LiteLLM proxy did not start; it said:\n{log.read_text(encoding='utf-8')[-2000:]}")


def _warm(targets: Sequence[Target]) -> None:
    for target in targets:
        for requests in (_requests(), _requests(stream=True)):
            answers = asyncio.run(closed(target.port, requests, 8, 2.0))
            target.sent += len(answers)
            wrong = [got for got in answers if got.status != 200 or b"word19" not in got.body]
            if wrong:
                raise SystemExit(f"{target.name} answered {wrong[0].status}: {wrong[0].body[:500]!r}")


def _open(
    targets: Sequence[Target],
    load: str,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    *,
    stream: bool = False,
) -> dict[str, Any]:
    """Turns of open load on each target, as many rounds as fit into `seconds` a target."""
    able = [target for target in targets if stream or rate <= SHARE * target.most]
    for turn in range(max(2, round(seconds / TURN))):
        for target in _rotated(able, turn):
            before = target.cpu()
            answers = asyncio.run(open_load(target.port, requests, rate, TURN, exact=True))
            target.sent += len(answers)
            target.cpu_seconds[load] = target.cpu_seconds.get(load, 0.0) + target.cpu() - before
            target.turns.setdefault(load, []).append(answers)
    direct = targets[0]
    return {
        "load": load,
        "rate": rate,
        "targets": {target.name: _summary(target, direct, load, stream=stream) for target in able},
        "beyond": [target.name for target in targets if target not in able],
    }


def _summary(target: Target, direct: Target, load: str, *, stream: bool) -> dict[str, Any]:
    turns = target.turns[load]
    every = [got for turn in turns for got in turn]
    good = [got for got in every if got.status == 200]
    row: dict[str, Any] = {
        "requests": len(every),
        "failed": len(every) - len(good),
        "latency_ms": percentiles([got.seconds for got in good], WHICH),
        "cpu_ms_per_request": round(target.cpu_seconds[load] / len(every) * 1000, 3),
    }
    if stream:
        row["first_byte_ms"] = percentiles([got.first_seconds for got in good], WHICH)
    if target is not direct:
        row["added_ms"] = _added(turns, direct.turns[load], lambda got: got.seconds)
        if stream:
            row["added_first_byte_ms"] = _added(turns, direct.turns[load], lambda got: got.first_seconds)
    return row


def _added(turns: list[list[Got]], direct: list[list[Got]], of: Callable[[Got], float]) -> dict[str, Any]:
    added = {}
    for q in WHICH:
        differences = [
            float(np.percentile([of(g) for g in turn], q) - np.percentile([of(g) for g in base], q)) * 1000
            for turn, base in zip(turns, direct, strict=True)
        ]
        low, middle, high = np.percentile(differences, (25, 50, 75))
        added[f"p{q}"] = {"median": round(middle, 3), "middle_half": [round(low, 3), round(high, 3)]}
    return added


def _most(target: Target, seconds: float) -> dict[str, Any]:
    before = target.cpu()
    answers = asyncio.run(closed(target.port, _requests(), MOST_CONNECTIONS, seconds))
    target.sent += len(answers)
    good = [got.seconds for got in answers if got.status == 200]
    target.most = len(good) / seconds
    return {
        "target": target.name,
        "connections": MOST_CONNECTIONS,
        "requests_per_second": round(target.most, 1),
        "failed": len(answers) - len(good),
        "latency_ms": percentiles(good, WHICH),
        "cpu_ms_per_request": round((target.cpu() - before) / len(answers) * 1000, 3),
    }


def _requests(*, stream: bool = False) -> list[bytes]:
    """Requests that differ, so that none is answered from a cache."""
    bodies = [
        {
            "model": "large",
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"Letter {i}: where is my order {i * 7919}? I have been waiting for days."},
            ],
            "temperature": 0,
            **({"stream": True} if stream else {}),
        }
        for i in range(512)
    ]
    headers = ("Authorization: Bearer sk-none", "Accept: application/json", "User-Agent: OpenAI/Python 2.0.0")
    return [chat_request(json.dumps(body).encode(), headers) for body in bodies]


def _captured(folder: Path) -> int:
    """Exchanges in the gateway's record."""
    files = list((folder / "traffic").glob("*.sqlite*"))
    found = 0
    for file in (f for f in files if f.suffix in (".sqlite", ".sqlite3")):
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
            tables = [name for (name,) in store.execute("select name from sqlite_master where name like 'exchange%'")]
            found += sum(store.execute(f"select count(*) from {name}").fetchone()[0] for name in tables[:1])
    return found


def _rotated(targets: Sequence[Target], by: int) -> Iterator[Target]:
    return itertools.islice(itertools.cycle(targets), by % len(targets), by % len(targets) + len(targets))


def _lines(result: dict[str, Any]) -> Iterator[str]:
    for load in result["measured"]:
        yield load["load"]
        for name, row in load["targets"].items():
            told = " / ".join(f"{row['latency_ms'][f'p{q}']:.2f}" for q in WHICH)
            line = f"  {name:>20}: latency {told} ms (p50 / p95 / p99), {row['failed']} failed"
            for key, words in (("added_ms", "added"), ("added_first_byte_ms", "to the first byte")):
                if key in row:
                    told = " / ".join(f"{row[key][f'p{q}']['median']:+.2f}" for q in WHICH)
                    line += f", {words} {told} ms"
            yield line + f", {row['cpu_ms_per_request']:.2f} ms CPU each"
        for name in load["beyond"]:
            yield f"  {name:>20}: more than it can answer"
    yield f"at most, {MOST_CONNECTIONS} connections"
    for row in result["most"]:
        yield f"  {row['target']:>20}: {row['requests_per_second']:.0f} requests/s, {row['failed']} failed"
    yield f"in the record: {result['captured']}"


def _write(result: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = result["created"].replace("-", "").replace(":", "")
    path = folder / f"gateway_overhead-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def _port(base_url: str) -> int:
    return int(base_url.rpartition(":")[2])


def _parse() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--litellm", type=Path, help="the proxy's program; without it there is no peer")
    words.add_argument(
        "--litellm-workers", type=_numbers(int), default=[1], help="its workers; 1,2 measures it with one and with two"
    )
    words.add_argument("--seconds", type=float, default=60.0, help="load on each server at each rate")
    words.add_argument(
        "--rates", type=_numbers(float), default=[20.0, 50.0, 200.0], help="requests due per second: 50,200"
    )
    words.add_argument("--serve", nargs="*", default=[], help="more arguments for `shokunin serve`")
    words.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    return words.parse_args()


def _numbers(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    return lambda text: [kind(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
