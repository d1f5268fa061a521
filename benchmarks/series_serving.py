"""How fast a specialist that foresees failures answers: one window, through a real server, and a whole table.

A fleet of 64 units over 996 days, four channels, windows of 90, three horizons, statistics and trees as they are chosen.
Through the server one caller asks one thing after the other: a whole window, one new reading of a unit that is known, the
unit alone, and the unit in a chat. Units are kept in their file, and every exchange is recorded, as by default.

`python -m benchmarks.series_serving [--units 64] [--requests 400]`
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.fleet_rows import Fleet, fleet
from benchmarks.series_results import result, write
from shokunin import pipeline
from shokunin.pipeline.fleet_predicting import predict_fleet
from shokunin.serve.process import ServerProcess
from shokunin.specialist import Specialist

DAYS, CHANNELS, WINDOW = 996, 4, 90
FIRST = 18_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--requests", type=int, default=400)
    asked = parser.parse_args()
    about = {"settings": vars(asked) | {"days": DAYS, "channels": CHANNELS, "window": WINDOW}}
    found = result("series_serving", about)
    with tempfile.TemporaryDirectory(prefix="serving-") as name:
        folder = Path(name)
        made = fleet(asked.units, DAYS, signal=True, channels=CHANNELS)
        readings, failures = tables(folder, made)
        options = {
            "window": WINDOW, "horizons": [30, 60, 90], "failures": str(failures), "stride": 16,
            "rungs": ["base_rate", "last_outside", "statistics"], "trees": {"rounds": 300},
        }  # fmt: skip
        start = time.perf_counter()
        specialist = pipeline.train(readings, name="fleet", project=folder, options=options, replayed=False)
        found["training_seconds"] = round(time.perf_counter() - start, 1)
        report = pipeline.read_report(specialist)
        found["verdict"], found["bytes"] = report.verdict, specialist.weights.size_bytes()
        found["rungs"] = specialist.weights.facts.get("rungs")
        print(found["training_seconds"], report.verdict, flush=True)
        found["predictor"] = {
            name: predictor(specialist, made, asked.requests, lists=name == "lists") for name in ("rows", "lists")
        }
        print(found["predictor"], flush=True)
        found["server"] = server(specialist, made, folder, asked.requests)
        print(found["server"], flush=True)
        found["table"] = table(specialist, readings, folder / "risks.csv")
        print(found["table"], flush=True)
    print(write(found))


def tables(folder: Path, made: Fleet) -> tuple[Path, Path]:
    """A fleet's readings and failures as files."""
    with (folder / "readings.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["unit", "date", *made.readings.channels])
        for stretch in made.readings.stretches:
            unit = made.readings.units[stretch.unit]
            writer.writerows(
                [unit, date(stretch.start + i), *row] for i, row in enumerate(stretch.values.round(4).tolist())
            )
    with (folder / "failures.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["unit", "date"])
        writer.writerows([unit, date(step)] for unit, steps in made.failures.items() for step in steps)
    return folder / "readings.csv", folder / "failures.csv"


def date(step: int) -> str:
    return datetime.fromtimestamp(step * 86_400, UTC).strftime("%Y-%m-%d")


def rows(made: Fleet, number: int, first: int, days: int, *, back: int = 0) -> list[dict[str, Any]]:
    """New readings of a unit: those that it had so many days before the end of its history, dated anew."""
    values = made.readings.stretches[number].values
    part = values[len(values) - days - back : len(values) - back].round(4).tolist()
    return [{"date": date(first + i), **{f"channel_{c}": v for c, v in enumerate(r)}} for i, r in enumerate(part)]


def predictor(specialist: Specialist, made: Fleet, count: int, *, lists: bool) -> dict[str, Any]:
    """One window after the other, read from JSON (rows with dates, or one list a channel) and answered here on one thread."""
    alone = pipeline.load(specialist.folder, threads=1)
    units = made.readings.units
    asked = []
    for n in range(count + 20):
        sent = rows(made, n % len(units), FIRST + DAYS, WINDOW, back=n // len(units))
        told = {name: [row[name] for row in sent] for name in made.readings.channels} if lists else sent
        asked.append({"unit": units[n % len(units)], "readings": json.dumps(told)})
    for one in asked[count:]:
        alone.predict(one)
    alarms = 0
    clock, used = np.empty(count), np.empty(count)
    for n, one in enumerate(asked[:count]):
        start, cpu = time.perf_counter(), time.thread_time()
        answer = alone.predict(one)
        clock[n], used[n] = 1000 * (time.perf_counter() - start), 1000 * (time.thread_time() - cpu)
        alarms += answer.value != "no alarm"
    return {"clock_ms": quantiles(clock), "processor_ms": quantiles(used), "with_an_alarm": alarms / count}


def server(specialist: Specialist, made: Fleet, folder: Path, count: int) -> dict[str, Any]:
    """One caller, one thing after the other, through a server process."""
    out: dict[str, Any] = {}
    many, end = len(made.readings.units), FIRST + DAYS + WINDOW
    with ServerProcess([specialist.name, "--project", str(folder)], seconds=300) as process, httpx.Client(
        base_url=process.base_url, timeout=60, trust_env=False
    ) as client:  # fmt: skip

        def predict(inputs: dict[str, Any]) -> None:
            reply = client.post(
                f"/v1/specialists/{specialist.name}/predict", json={"inputs": inputs}
            ).raise_for_status()
            assert reply.json()["answers"][0]["problem"] is None, reply.text

        def chat(text: str) -> None:
            body = {"model": specialist.name, "messages": [{"role": "user", "content": text}]}
            client.post("/v1/chat/completions", json=body).raise_for_status()

        def unit(n: int) -> str:
            return made.readings.units[n % many]

        def timed(what: str, ask: Callable[[int], None]) -> None:
            clock = np.empty(count)
            for n in range(count):
                start = time.perf_counter()
                ask(n)
                clock[n] = 1000 * (time.perf_counter() - start)
            out[what] = quantiles(clock)

        def whole(n: int) -> None:
            predict({"unit": unit(n), "readings": rows(made, n % many, FIRST + DAYS, WINDOW)})

        def new(n: int) -> None:
            predict({"unit": unit(n), "readings": rows(made, n % many, end + n // many, 1, back=n // many)})

        for n in range(many):
            whole(n)
        timed("whole_window_ms", whole)
        timed("one_new_reading_ms", new)
        timed("unit_alone_ms", lambda n: predict({"unit": unit(n)}))
        timed("chat_ms", lambda n: chat(f"how is {unit(n)}?"))
    return out


def table(specialist: Specialist, readings: Path, out: Path) -> dict[str, Any]:
    """Every window of the table, from the file to the file."""
    cpu = time.process_time()
    done = predict_fleet(specialist, readings, out, every=True)
    return {
        "windows": done.windows, "alarms": done.alarms, "rows": done.rows["in"], "seconds": round(done.seconds, 1),
        "processor_seconds": round(time.process_time() - cpu, 1), "megabytes": round(out.stat().st_size / 1e6, 1),
    }  # fmt: skip


def quantiles(values: np.ndarray) -> dict[str, float]:
    return dict(zip(("p50", "p95", "p99"), np.quantile(values, [0.5, 0.95, 0.99]).round(3).tolist(), strict=True))


if __name__ == "__main__":
    main()
