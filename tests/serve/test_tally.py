"""The tally: hours of this machine's clock, money that is known and money that is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shokunin.exchange import Exchange
from shokunin.serve.tally import Tally, hour_of

NOON = time.mktime((2026, 3, 10, 12, 20, 0, 0, 0, -1))
LOCAL = Exchange(id="a", timestamp=NOON, route="local", cost=0.0)
PAID = Exchange(id="b", timestamp=NOON, route="escalated", upstream="openai", cost=0.002)


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def _kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_requests_are_counted_in_the_hour_they_end_in() -> None:
    clock = Clock()
    one = Tally(clock=clock)
    one.observe(LOCAL)
    clock.now += 3600
    one.observe(LOCAL)
    one.observe(replace(PAID, route="audit"))
    one.observe(replace(LOCAL, route="refused", status=429))
    assert dict(one.this_hour().routes) == {"local": 1, "audit": 1, "refused": 1}
    assert (one.this_hour().requests, one.this_hour().answered) == (2, 1)
    assert one.today().requests == 3
    assert [hour.requests for hour in one.hours()] == [0] * 22 + [1, 2]


def test_a_day_is_kept_and_no_more() -> None:
    clock = Clock()
    one = Tally(clock=clock)
    for _ in range(100):
        one.observe(LOCAL)
        clock.now += 3600
    assert len(one._hours) == 24
    assert [hour.requests for hour in one.hours()] == [1] * 23 + [0]
    assert [hour.start for hour in one.hours()] == [hour_of(clock.now) - 3600 * n for n in range(23, -1, -1)]


def test_today_begins_at_midnight() -> None:
    clock = Clock(time.mktime((2026, 3, 10, 23, 59, 0, 0, 0, -1)))
    one = Tally(clock=clock)
    one.observe(LOCAL)
    clock.now += 120
    one.observe(PAID)
    assert dict(one.today().routes) == {"escalated": 1}
    assert sum(hour.requests for hour in one.hours()) == 2


def test_money_spent_and_money_that_is_not_known() -> None:
    one = Tally(clock=Clock())
    for exchange in (
        PAID,
        replace(PAID, route="audit"),
        replace(PAID, cost=None),
        replace(PAID, cost=None, status=502, problem="upstream_timeout"),
        replace(PAID, route="fallback", cost=None),
        replace(PAID, cost=float("nan")),
        LOCAL,
    ):
        one.observe(exchange)
    assert one.today().spent == pytest.approx(0.004)
    assert one.today().unpriced == 1


def test_savings_are_known_or_counted_as_unknown() -> None:
    worth = iter([0.01, None, float("inf"), 0.02])
    one = Tally(saving=lambda exchange: next(worth), clock=Clock())
    for _ in range(4):
        one.observe(LOCAL)
    one.observe(PAID)
    assert one.today().saved == pytest.approx(0.03)
    assert one.today().unvalued == 2


def test_a_clock_that_goes_back_loses_nothing() -> None:
    clock = Clock()
    one = Tally(clock=clock)
    one.observe(LOCAL)
    clock.now -= 7200
    one.observe(LOCAL)
    assert one.this_hour().requests == 1
    assert sum(hour.requests for hour in one._hours) == 2


@pytest.mark.usefixtures("_kathmandu")
@pytest.mark.skipif(not hasattr(time, "tzset"), reason="needs tzset")
def test_hours_are_those_of_the_wall_clock_where_it_is_off_by_a_quarter() -> None:
    assert time.localtime(hour_of(NOON)).tm_min == 0
    assert 0 <= NOON - hour_of(NOON) < 3600
    assert hour_of(NOON) % 3600 == 900
