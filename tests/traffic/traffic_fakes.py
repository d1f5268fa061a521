"""Exchanges to record, and programs that are killed while they record."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from shokunin.exchange import Exchange

WRITER = """
import os, sys, time
from pathlib import Path
from shokunin.traffic.recorder import open_recorder
from traffic_fakes import exchange

recorder = open_recorder(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    if recorder.record(exchange(f"{sys.argv[2]}-{number}", client_id="client" + str(number % 3))):
        os.write(1, f"{sys.argv[2]}-{number}\\n".encode())
    if number % 50 == 0:
        time.sleep(0.01)
"""


def exchange(id: str, timestamp: float = 1_700_000_000.0, **more: Any) -> Exchange:
    values: dict[str, Any] = {
        "workload_id": "bank",
        "model": "gpt-4o-mini",
        "request": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"where is {id}?\u2028"}]},
        "response": {"choices": [{"message": {"role": "assistant", "content": "card_arrival"}}]},
        "route": "local",
        "specialist": "bank@1",
        "value": "card_arrival",
        "confidence": 0.9,
        "seconds": 0.01,
        **more,
    }
    return Exchange(id=id, timestamp=timestamp, **values)


def start(program: str, *words: str | Path) -> subprocess.Popen[bytes]:
    """The program in a process of its own, its output in a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)], stdout=subprocess.PIPE, cwd=Path(__file__).parent
    )
