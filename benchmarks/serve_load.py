"""How fast a served specialist answers: latency one at a time, requests per second under load, and what HTTP adds.

    python -m benchmarks.serve_load specialists/inquiries/3 [--seconds 3] [--rows ROWS.csv --column text]

The server runs in a process of its own; this one is the client, with closed and open load as `benchmarks.load` has them.

"Overhead" is the latency of a request less the time the predictor says it took. With one connection that is HTTP,
parsing and the way through the queue; under load it is also waiting for the requests before it.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks import harness
from benchmarks.load import chat_request, closed, open_load, percentiles
from shokunin.serve.process import ServerProcess

CLOSED = (1, 8, 32, 64)
"""Connections at a time."""
OPEN = (0.25, 0.5, 0.75)
"""Requests due per second, as shares of the most that closed load got through."""
RATES = (50.0, 100.0, 200.0)
"""Requests due per second whatever a server can do, as far as it can do them."""


def main() -> None:
    asked = _parse()
    manifest = json.loads((asked.folder / "manifest.json").read_text(encoding="utf-8"))
    load_before = psutil.getloadavg()[0]
    requests = _requests(manifest["name"], _texts(asked))
    # In a project of its own: with the record of traffic on, and none of the settings that happen to be here.
    with (
        tempfile.TemporaryDirectory(prefix="serve-load-") as project,
        ServerProcess(["--specialist", str(asked.folder.resolve()), "--project", project]) as server,
    ):
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
        for rate in sorted({*(round(share * most, 1) for share in OPEN), *(r for r in RATES if r < 0.95 * most)}):
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


def _measure(process: psutil.Process, about: dict[str, Any], load: Any) -> dict[str, Any]:
    before, start = process.cpu_times(), time.perf_counter()
    answers = asyncio.run(load)
    seconds, after = time.perf_counter() - start, process.cpu_times()
    good = [(got.seconds, json.loads(got.body)["shokunin"]["seconds"]) for got in answers if got.status == 200]
    if not good:
        raise SystemExit(f"no request was answered; the first reply was: {answers[:1]}")
    return {
        **about,
        "requests": len(answers),
        "failed": len(answers) - len(good),
        "requests_per_second": len(good) / seconds,
        "latency_ms": percentiles([latency for latency, _ in good]),
        "predictor_ms": percentiles([spent for _, spent in good]),
        "overhead_ms": percentiles([latency - spent for latency, spent in good]),
        "server_cpu_ms_per_request": (after.user - before.user + after.system - before.system) / len(answers) * 1000,
    }


def _requests(name: str, texts: Sequence[str]) -> list[bytes]:
    bodies = [json.dumps({"model": name, "messages": [{"role": "user", "content": text}]}).encode() for text in texts]
    return [chat_request(body) for body in bodies]


def _texts(asked: argparse.Namespace) -> list[str]:
    """Texts of a CSV, or the sealed rows in the specialist's report."""
    if asked.rows is not None:
        with asked.rows.open(encoding="utf-8", newline="") as file:
            return [row[asked.column] for row in csv.DictReader(file)]
    cases = json.loads((asked.folder / "report.json").read_text(encoding="utf-8"))["cases"]
    return [next(iter(c["inputs"].values())) if len(c["inputs"]) == 1 else json.dumps(c["inputs"]) for c in cases]


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
    words.add_argument("--seconds", type=float, default=2.5, help="length of each measurement, up to ten")
    words.add_argument("--rows", type=Path, help="a CSV with the texts to send; by default the report's cases")
    words.add_argument("--column", default="text", help="its column")
    words.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    return words.parse_args()


if __name__ == "__main__":
    main()
