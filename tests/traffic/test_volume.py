"""How much of a task comes in: requests a month and tokens a request, from what was counted rather than estimated."""

from __future__ import annotations

import pytest
from traffic_fakes import exchange

from shokunin.exchange import Exchange
from shokunin.traffic.lines import line_of, row_of
from shokunin.traffic.store import Store
from shokunin.traffic.volume import DAYS_PER_MONTH, Volume, volume

DAY = 86_400.0
START = 1_700_000_000.0


def fill(store: Store, made: list[Exchange]) -> None:
    assert store.insert([row_of(line_of(one).rstrip(b"\n")) for one in made]) == 0


def test_requests_a_month_and_tokens_as_the_upstream_counted_them(store: Store) -> None:
    local = [
        exchange(f"l{i}", START + i * DAY / 8, prompt_tokens=10, completion_tokens=1) for i in range(80)
    ]  # ten days but an eighth
    fill(
        store,
        [
            *local,
            exchange("u1", START + DAY, route="escalated", prompt_tokens=100, completion_tokens=4),
            exchange("u2", START + DAY, route="passed", prompt_tokens=200, completion_tokens=8),
            exchange("a1", START + DAY, route="audit", prompt_tokens=300, completion_tokens=6),
            exchange("u3", START + DAY, route="escalated", prompt_tokens=900, completion_tokens=0),  # nothing counted
            exchange(
                "u4", START + DAY, route="escalated", prompt_tokens=900, completion_tokens=9, problem="upstream_timeout"
            ),
            exchange("r1", START + 99 * DAY, route="refused"),
            exchange("f1", START + 99 * DAY, route="feedback", agrees=True),
            exchange("x1", START + 99 * DAY, workload_id="another", prompt_tokens=7, completion_tokens=7),
        ],
    )
    found = volume(store, "bank")
    assert found is not None and found.requests == 84
    assert found.days == pytest.approx(79 / 8)
    assert found.per_month == pytest.approx(84 / (79 / 8) * DAYS_PER_MONTH)
    assert (found.input_tokens, found.output_tokens, found.counted) == (200, 6, True)


def test_without_an_upstream_the_tokens_are_estimates(store: Store) -> None:
    fill(store, [exchange(f"l{i}", START + i * DAY, prompt_tokens=10 + i, completion_tokens=2) for i in range(3)])
    found = volume(store, "bank")
    assert found is not None
    assert (found.input_tokens, found.output_tokens, found.counted) == (11, 2, False)


def test_an_hour_says_nothing_about_a_month(store: Store) -> None:
    fill(store, [exchange("one", START), exchange("two", START + 3600)])
    found = volume(store, "bank")
    assert found == Volume(
        requests=2, days=pytest.approx(1 / 24), per_month=None, input_tokens=None, output_tokens=None, counted=False
    )


def test_nothing_is_not_zero(store: Store) -> None:
    assert volume(store, "bank") is None
    fill(store, [exchange("a", START, route="audit", prompt_tokens=3, completion_tokens=1)])
    assert volume(store, "bank") is None, "an audit is no request"
