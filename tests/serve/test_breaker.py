"""The breaker opens, waits, tries once, and closes."""

import pytest

from shokunin.errors import UsageError
from shokunin.serve.breaker import JITTER, WINDOW, Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(failures: int = 3, draw: float = 0.5) -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(failures, 10.0, clock=clock, draw=lambda: draw), clock


def one(breaker: Breaker, good: bool | None) -> None:
    ticket = breaker.admit()
    assert ticket is not None
    breaker.report(ticket, good)


def test_failures_in_a_row_open_it_and_a_success_starts_the_count_anew() -> None:
    breaker, _ = made()
    for good in (False, False, True, False, False):
        one(breaker, good)
    assert breaker.state == "closed"
    one(breaker, False)
    assert breaker.state == "open"
    assert breaker.admit() is None
    assert breaker.wait_seconds == pytest.approx(10.0)


def test_it_opens_when_most_fail_though_never_in_a_row() -> None:
    breaker, _ = made()
    pattern = [False, True, False] * WINDOW
    opened = next(i for i, good in enumerate(pattern) if one(breaker, good) is None and breaker.state == "open")
    assert opened == WINDOW - 1  # not before there are enough outcomes


def test_half_of_them_failing_is_not_most() -> None:
    breaker, _ = made()
    for _ in range(3 * WINDOW):
        one(breaker, False)
        one(breaker, True)
    assert breaker.state == "closed"


def opened(failures: int = 3) -> tuple[Breaker, Clock]:
    breaker, clock = made(failures)
    for _ in range(failures):
        one(breaker, False)
    return breaker, clock


def test_after_the_pause_one_request_passes_and_its_success_closes() -> None:
    breaker, clock = opened()
    clock.now += 9.9
    assert breaker.admit() is None
    clock.now += 0.2
    assert breaker.state == "half_open"
    ticket = breaker.admit()
    assert ticket is not None
    assert breaker.probing(ticket)
    assert breaker.admit() is None  # one at a time
    breaker.report(ticket, True)
    assert breaker.state == "closed"
    assert breaker.admit() is not None


def test_its_failure_opens_again_for_a_whole_pause() -> None:
    breaker, clock = opened()
    clock.now += 11
    one(breaker, False)
    assert breaker.state == "open"
    assert breaker.wait_seconds == pytest.approx(10.0)


def test_a_probe_that_says_nothing_lets_another_try() -> None:
    breaker, clock = opened()
    clock.now += 11
    one(breaker, None)
    assert breaker.state == "half_open"
    one(breaker, True)
    assert breaker.state == "closed"


def test_late_news_of_requests_from_before_is_not_listened_to() -> None:
    breaker, clock = made()
    old = [breaker.admit() for _ in range(5)]
    for ticket in old[:3]:
        breaker.report(ticket, False)
    assert breaker.state == "open"
    clock.now += 11
    probe = breaker.admit()
    breaker.report(old[3], True)
    assert breaker.state == "half_open"
    breaker.report(probe, True)
    breaker.report(old[4], False)
    assert breaker.state == "closed"


def test_what_says_nothing_does_not_count() -> None:
    breaker, _ = made()
    for good in (False, None, False, None):
        one(breaker, good)
    assert breaker.state == "closed"
    one(breaker, False)
    assert breaker.state == "open"


@pytest.mark.parametrize("draw", [0.0, 1.0])
def test_the_pause_is_spread(draw: float) -> None:
    breaker, _ = made(draw=draw)
    for _ in range(3):
        one(breaker, False)
    assert breaker.wait_seconds == pytest.approx(10 * (1 + JITTER * (2 * draw - 1)))


def test_numbers_are_checked() -> None:
    with pytest.raises(UsageError, match="failures=0"):
        Breaker(0)
    with pytest.raises(UsageError, match="seconds=0"):
        Breaker(1, 0)
