"""Latency, throughput and memory are measured on real calls, within bounds; the machine has no name."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Sequence
from itertools import count

import pytest

from shokunin.answer import Answer, Inputs
from shokunin.prove.measure import machine, measure


class Clocked:
    """A predictor that takes 2 ms for a row and 10 ms for a batch, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.batches: list[int] = []
        self.texts: set[str] = set()

    def clock(self) -> float:
        return self.now

    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        self.now += 0.002 if len(batch) == 1 else 0.010
        self.batches.append(len(batch))
        self.texts |= {b["text"] for b in batch}
        return [Answer("x", 1.0, "x") for _ in batch]


def inputs(n: int) -> list[Inputs]:
    return [{"text": str(i)} for i in range(n)]


def test_latency_and_throughput_are_what_the_clock_says() -> None:
    predictor = Clocked()
    found = measure(predictor, inputs(640), clock=predictor.clock)
    assert found.latency_ms == pytest.approx({"p50": 2.0, "p95": 2.0, "p99": 2.0})
    assert found.throughput == pytest.approx(6400)
    assert found.singles == 200
    assert {"0", "639"} <= predictor.texts  # from all over the rows
    assert found.peak_memory_bytes > 10_000_000


def test_a_slow_model_is_not_measured_for_long() -> None:
    predictor = Clocked()
    ticks = count()
    found = measure(predictor, inputs(1000), seconds=5, clock=lambda: float(next(ticks)))
    assert found.singles < 10
    assert len(predictor.batches) < 30


def test_few_rows_are_asked_again_and_again() -> None:
    predictor = Clocked()
    found = measure(predictor, inputs(3), clock=predictor.clock)
    assert found.singles == 200
    assert found.throughput > 0


def test_nothing_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="there are no inputs"):
        measure(Clocked(), [])


def test_the_machine_is_described_but_not_named() -> None:
    about = machine()
    text = json.dumps(about)
    assert about["cores"] >= 1
    assert about["memory_bytes"] > 100_000_000
    assert about["libraries"]["numpy"]
    assert socket.gethostname() not in text
    assert f'"{getpass.getuser()}"' not in text
