"""The soak's verdict: a leak is seen through noise, and a steady server is not accused."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.soak import judge


def samples(*, grows: float = 0.0, files: float = 0.0, noise: float = 1.0, jumps: bool = False) -> list[dict[str, Any]]:
    """Half an hour, a look each ten seconds; growth in MB and files an hour after a warm-up that grows in any case."""
    rng = random.Random(7)
    made = []
    for n in range(1, 181):
        seconds = 10.0 * n
        memory = 200 + 30 * min(1.0, seconds / 300) + grows * seconds / 3600 + rng.gauss(0, noise)
        if jumps and n % 20 == 0:
            memory += 80
        made.append(
            {
                "seconds": seconds,
                "rss_mb": memory,
                "files": 30 + round(files * seconds / 3600) + rng.randint(0, 1),
                "threads": 17,
                "traffic_waiting": rng.randint(0, 9),
                "queue": 0,
            }
        )
    return made


def test_a_steady_server_is_flat_whatever_happened_in_the_warm_up() -> None:
    verdict = judge(samples(), warm_up=360)
    assert verdict["flat"]
    assert abs(verdict["memory_slope_mb_per_hour"]["value"]) < 2


def test_now_and_then_a_peak_is_no_leak() -> None:
    assert judge(samples(jumps=True), warm_up=360)["flat"]


@pytest.mark.parametrize("leak", [{"grows": 12.0}, {"files": 60.0}])
def test_a_leak_is_seen(leak: dict[str, float]) -> None:
    verdict = judge(samples(**leak), warm_up=360)
    assert not verdict["flat"]


def test_noise_that_could_hide_a_leak_is_not_called_flat() -> None:
    assert not judge(samples(noise=40.0), warm_up=360)["flat"]
