"""What is foreseen of a promise that is kept online: audits at first, few later, nothing answered where it would break."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shokunin.pipeline.foreseeing import Stream, foresee
from shokunin.task import Task

TASK = Task("inquiries")


def stream(error: float, *, sure: float = 1.0, threshold: float = 0.5) -> Stream:
    """A thousand rows, of which a share is sure and, of those, a share wrong."""
    n = 1000
    confidence = np.where(np.arange(n) < sure * n, 0.9, 0.1)
    right = np.random.default_rng(0).random(n) >= error
    return Stream(confidence, right, threshold)


def test_at_first_every_answer_is_audited_and_later_few() -> None:
    told = foresee([stream(0.0)], [50, 1000, 10_000, 1_000_000], TASK, 0.01)
    audited = [a for _, a in told]
    assert audited[0] == 1 and audited == sorted(audited, reverse=True)
    assert 0.01 <= audited[-1] < 0.03
    assert all(given == pytest.approx(1) for given, _ in told)


def test_what_the_specialist_is_not_sure_of_is_passed_on() -> None:
    (given, _), *_ = foresee([stream(0.0, sure=0.6)], [5000], TASK, 0.05)
    assert given == pytest.approx(0.6, abs=0.03)


def test_more_wrong_answers_cost_audits_and_then_answers() -> None:
    told = [foresee([stream(error)], [6000], TASK, 0.01)[0] for error in (0.0, 0.02, 0.3)]
    assert told[0][1] < told[1][1]
    assert told[2][0] < 0.2, "more wrong than is promised: handed back"


def test_no_promise_no_answers() -> None:
    assert foresee([stream(0.0, threshold=2.0)], [100, 1000], TASK, 0.05) == [(0.0, 0.0), (0.0, 0.0)]


def test_nothing_is_audited_where_nothing_may_leave() -> None:
    assert foresee([stream(0.04)], [2000], TASK, 0.0) == [(1.0, 0.0)]


def test_the_stream_in_the_middle_and_the_same_for_the_same_seed() -> None:
    several = [stream(0.01), stream(0.0, threshold=2.0), stream(0.01, sure=0.8)]
    assert foresee(several, [500], TASK, 0.05) == foresee(several, [500], TASK, 0.05)
    assert foresee(several, [500], TASK, 0.05)[0][0] == pytest.approx(0.8, abs=0.05)


def test_a_looser_promise_needs_fewer_audits() -> None:
    loose, strict = (
        foresee([stream(0.0)], [5000], replace(TASK, max_error=error), 0.01)[0][1] for error in (0.2, 0.02)
    )
    assert loose < strict
