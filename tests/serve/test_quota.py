"""Quota: no minute, day or month holds more than its limit, whatever runs at once, across restarts and kills."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.errors import ArtefactError, UsageError
from shokunin.serve.callers import LOCAL, Allowance, Caller
from shokunin.serve.ledger import Ledger
from shokunin.serve.quota import Quota, estimate_tokens
from shokunin.serve.refusal import Refusal

NOON = 1_795_348_800.0  # 2026-11-22 12:00 UTC
HOUR = 3600.0


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def client(**limits: float) -> Caller:
    return Caller("shop", "0123456789ab", limits=Allowance(**limits))  # type: ignore[arg-type]


def quota(path: Path | None = None, clock: Clock | None = None) -> tuple[Quota, Clock]:
    clock = clock or Clock()
    return Quota(Ledger(path, clock=clock), clock=clock), clock


def refused(quota: Quota, caller: Caller, tokens: int = 0, cost: float | None = 0.0) -> Refusal:
    with pytest.raises(Refusal) as caught:
        quota.admit(caller, tokens, cost)
    return caught.value


async def written(quota: Quota) -> None:
    async with quota.ledger.kept():
        pass


def test_requests_a_minute_and_when_to_come_back() -> None:
    limited, clock = quota()
    shop = client(requests_per_minute=2)
    limited.admit(shop).settle(0)
    clock.now += 10.5
    limited.admit(shop).settle(0)
    no = refused(limited, shop)
    assert (no.status, no.code, no.headers["retry-after"]) == (429, "rate_limit_exceeded", "51")
    assert "x-should-retry" not in no.headers
    assert no.headers["x-ratelimit-remaining-requests"] == "0"
    clock.now += 50
    refused(limited, shop)
    clock.now += 0.5
    limited.admit(shop)
    refused(limited, shop)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 40), st.integers(0, 40)), max_size=60),
    limit=st.integers(1, 8),
    tokens=st.integers(20, 200),
)
def test_no_sixty_seconds_hold_more_than_the_limit(
    steps: list[tuple[float, int, int]], limit: int, tokens: int
) -> None:
    limited, clock = quota()
    shop = client(requests_per_minute=limit, tokens_per_minute=tokens)
    admitted: list[tuple[float, int]] = []
    for wait, estimate, less in steps:
        clock.now += wait
        try:
            ticket = limited.admit(shop, estimate)
        except Refusal:
            continue
        used = max(0, estimate - less)
        ticket.settle(used)
        admitted.append((clock.now, used))
    for end, _ in admitted:
        last = [used for when, used in admitted if end - 60 <= when <= end]
        assert len(last) <= limit
        assert sum(last) <= tokens


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 1.0), st.floats(0, 1)), max_size=60))
def test_money_is_not_overshot_by_requests_that_run_at_once(steps: list[tuple[bool, float, float]]) -> None:
    limited, _ = quota()
    shop = client(usd_per_day=3.0)
    running, spent = [], 0.0
    for begin, estimate, share in steps:
        if begin or not running:
            try:
                running.append((limited.admit(shop, cost=estimate), estimate * share))
            except Refusal:
                continue
        else:
            ticket, cost = running.pop(0)
            ticket.settle(10, cost)
            spent += cost
    for ticket, cost in running:
        ticket.settle(10, cost)
        spent += cost
    assert spent <= 3.0 + 1e-6


def test_a_refused_reservation_leaves_the_request_and_its_first_reservation() -> None:
    limited, _ = quota()
    shop = client(usd_per_day=1.0)
    ticket = limited.admit(shop, 100)
    ticket.reserve(cost=0.9)
    with pytest.raises(Refusal, match="US dollars per day"):
        ticket.reserve(cost=0.2)
    refused(limited, shop, cost=0.2)
    ticket.settle(50, 0.1)
    limited.admit(shop, cost=0.2)


def test_answers_that_cost_nothing_go_on_when_the_money_is_spent() -> None:
    limited, _ = quota()
    shop = client(usd_per_day=1.0)
    limited.admit(shop, cost=1.0).settle(10, 1.2)
    refused(limited, shop, cost=0.01)
    limited.admit(shop, 10)


def test_what_is_not_settled_counts_as_reserved_and_what_is_released_does_not() -> None:
    limited, _ = quota()
    shop = client(tokens_per_day=100, usd_per_month=1.0)
    with pytest.raises(RuntimeError), limited.admit(shop, 60, 0.6):
        raise RuntimeError("the client went away in mid-stream")
    refused(limited, shop, 41)
    refused(limited, shop, 1, 0.41)
    limited.admit(shop, 40, 0.4).release()
    limited.admit(shop, 40, 0.4)


def test_a_settled_ticket_counts_once() -> None:
    limited, _ = quota()
    shop = client(tokens_per_day=100)
    with limited.admit(shop, 10) as ticket:
        ticket.settle(30)
        ticket.settle(60)
    limited.admit(shop, 70)
    refused(limited, shop, 1)


def test_without_a_known_cost_what_was_set_aside_counts() -> None:
    limited, _ = quota()
    shop = client(usd_per_day=1.0)
    limited.admit(shop, cost=0.7).settle(10, None)
    refused(limited, shop, cost=0.4)


def test_money_that_cannot_be_bounded_is_not_spent() -> None:
    limited, _ = quota()
    no = refused(limited, client(usd_per_day=1.0), cost=None)
    assert (no.status, no.code) == (403, "price_unknown")
    limited.admit(client(tokens_per_day=10), cost=None)


@pytest.mark.parametrize(
    ("limits", "cost", "wait"),
    [
        ({"tokens_per_day": 10}, 0.0, 12 * HOUR),
        ({"usd_per_day": 1.0}, 1.0, 12 * HOUR),
        ({"usd_per_month": 1.0}, 1.0, 8.5 * 24 * HOUR),
    ],
)
def test_days_and_months_end_with_the_calendar(limits: dict[str, float], cost: float, wait: float) -> None:
    limited, clock = quota()
    shop = client(**limits)
    limited.admit(shop, 10, cost).settle(10, cost)
    no = refused(limited, shop, 10, cost)
    assert float(no.headers["retry-after"]) == wait
    assert no.headers["x-should-retry"] == "false"
    clock.now += wait - 1
    refused(limited, shop, 10, cost)
    clock.now += 1
    limited.admit(shop, 10, cost)


def test_a_month_of_december_ends_with_the_year() -> None:
    limited, _ = quota(clock=Clock(1_798_761_599.0))  # 2026-12-31 23:59:59 UTC
    shop = client(usd_per_month=1.0)
    limited.admit(shop, cost=1.0)
    assert refused(limited, shop, cost=1.0).headers["retry-after"] == "1"


def test_a_request_that_can_never_pass_is_told_so() -> None:
    limited, _ = quota()
    for limits in ({"tokens_per_minute": 10}, {"tokens_per_day": 10}):
        no = refused(limited, client(**limits), 11)
        assert "this request alone" in no.message
        assert "retry-after" not in no.headers
        assert no.headers["x-should-retry"] == "false"


def test_the_headers_are_those_of_openai() -> None:
    limited, clock = quota()
    shop = client(requests_per_minute=10, tokens_per_minute=1000)
    assert limited.headers(shop)["x-ratelimit-reset-requests"] == "0s"
    ticket = limited.admit(shop, 300)
    clock.now += 20
    assert limited.headers(shop) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "41s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "700",
        "x-ratelimit-reset-tokens": "41s",
    }
    ticket.settle(100)
    assert limited.headers(shop)["x-ratelimit-remaining-tokens"] == "900"
    day = limited.headers(client(tokens_per_day=50_000))
    assert day["x-ratelimit-remaining-tokens"] == "49900"
    assert day["x-ratelimit-reset-tokens"] == "11h59m40s"
    assert limited.headers(LOCAL) == {}


def test_who_has_no_limits_is_never_counted(tmp_path: Path) -> None:
    limited, _ = quota(tmp_path / "usage.json")
    with limited.admit(LOCAL, 10**9, None) as ticket:
        ticket.reserve(cost=None)
    asyncio.run(written(limited))
    assert list(tmp_path.iterdir()) == []


def test_a_second_key_of_the_same_name_does_not_start_at_nothing() -> None:
    limited, _ = quota()
    limited.admit(client(tokens_per_day=10), 10).settle(10)
    refused(limited, Caller("shop", "ba9876543210", limits=Allowance(tokens_per_day=10)), 1)
    limited.admit(Caller("other", "aaaaaaaaaaaa", limits=Allowance(tokens_per_day=10)), 1)


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    shop = client(requests_per_minute=2, tokens_per_day=100, usd_per_month=1.0)
    before, clock = quota(path)
    before.admit(shop, 10, 0.2).settle(90, 0.9)
    before.admit(shop)
    asyncio.run(written(before))
    assert path.stat().st_mode & 0o777 == 0o600
    after, _ = quota(path, clock)
    assert "requests per minute" in refused(after, shop).message
    clock.now += 61
    assert "tokens per day" in refused(after, shop, 11).message
    clock.now += 24 * HOUR
    assert "dollars per month" in refused(after, shop, 1, 0.2).message
    clock.now += 24 * HOUR * 30
    after.admit(shop, 100, 1.0)
    asyncio.run(written(after))
    assert len(json.loads(path.read_text())["clients"]["shop"]["periods"]) == 2, "what counts no more is dropped"


def test_two_servers_of_one_project_count_together(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    one, clock = quota(path)
    two, _ = quota(path, clock)
    shop = client(tokens_per_day=100)

    async def both() -> None:
        for tokens in (10, 20, 30):
            for server in (one, two):
                server.admit(shop, 1).settle(tokens // 2)
                await server.ledger._write()
        await one.ledger._write()  # it has nothing new, and reads what the other wrote

    asyncio.run(both())
    for server in (one, two):
        assert server.ledger.day("shop", clock.now) == (6, 60, 0)
        refused(server, shop, 41)


def test_a_kill_forgets_only_what_was_not_written_yet(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    code = f"""
import asyncio
from pathlib import Path
from shokunin.serve.callers import Allowance, Caller
from shokunin.serve.ledger import Ledger
from shokunin.serve.quota import Quota
async def main():
    quota = Quota(Ledger(Path({str(path)!r})))
    shop = Caller("shop", limits=Allowance(tokens_per_day=10**9))
    while True:
        for _ in range(10):
            quota.admit(shop, 1).settle(1)
        await quota.ledger._write()
        print(quota.ledger.day("shop", quota._clock())[1], flush=True)
asyncio.run(main())
"""
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = [next(process.stdout) for _ in range(15)]
        os.kill(process.pid, signal.SIGKILL)
        said += [line for line in process.stdout if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        kept = Ledger(path)
        assert float(said[-1]) <= kept.day("shop", kept._clock())[1] <= float(said[-1]) + 10


def test_usage_is_written_down_while_the_server_runs(tmp_path: Path) -> None:
    limited, _ = quota(tmp_path / "usage.json")

    async def serve() -> None:
        async with limited.ledger.kept(every=0.01):
            for tokens in (1, 2):
                limited.admit(client(tokens_per_day=10)).settle(tokens)
                async with asyncio.timeout(20):
                    while limited.ledger._pending or limited.ledger._sending:
                        await asyncio.sleep(0.01)
                kept = Ledger(tmp_path / "usage.json", clock=limited._clock)
                assert kept.day("shop", NOON)[1] == tokens * (tokens + 1) / 2

    asyncio.run(serve())


def test_while_it_cannot_be_written_usage_still_counts_and_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    limited, clock = quota(folder / "usage.json")
    ledger = limited.ledger
    folder.rmdir()
    folder.write_text("a file is in the way")
    shop = client(tokens_per_day=10)
    limited.admit(shop, 1).settle(6)
    for _ in range(3):
        asyncio.run(ledger._write())
    assert ledger.problem is not None
    assert len([r for r in caplog.records if "cannot be written" in r.message]) == 1
    refused(limited, shop, 5)
    folder.unlink()
    asyncio.run(ledger._write())
    assert ledger.problem is None
    assert Ledger(folder / "usage.json", clock=clock).day("shop", clock.now)[1] == 6


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "clients": {"a": {"seconds": {"x": []}}}}'])
def test_a_file_that_is_no_ledger_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "usage.json").write_text(text)
    with pytest.raises(ArtefactError, match=r"usage\.json"):
        Ledger(tmp_path / "usage.json")


def test_memory_stays_small_without_a_file() -> None:
    limited, clock = quota()
    shop = client(requests_per_minute=10)
    for _ in range(1000):
        clock.now += 7
        limited.admit(shop).settle(1)
    assert len(limited.ledger._pending["shop"].seconds) <= 121
    assert limited._reserved == {}


def test_a_limit_is_a_number_above_nothing() -> None:
    with pytest.raises(UsageError, match="usd_per_day"):
        Allowance(usd_per_day=0)


def test_an_estimate_counts_what_may_be_written() -> None:
    assert estimate_tokens(401, 50, 2) == 101 + 100
    assert estimate_tokens(0) == 256


def test_tickets_of_one_loop_are_enough() -> None:
    """Many coroutines at once, none beyond the limit."""
    limited, _ = quota()
    shop = client(usd_per_day=1.0)
    spent = 0.0

    async def one() -> None:
        nonlocal spent
        try:
            ticket = limited.admit(shop, cost=0.1)
        except Refusal:
            return
        await asyncio.sleep(0.001)
        ticket.settle(1, 0.1)
        spent += 0.1

    async def many() -> None:
        await asyncio.gather(*(one() for _ in range(50)))

    asyncio.run(many())
    assert spent == pytest.approx(1.0)


def test_tokens_set_aside_later_count_in_the_minute_too() -> None:
    limited, _ = quota()
    shop = client(tokens_per_minute=100)
    limited.admit(shop, 10).settle(60)
    ticket = limited.admit(shop, 10)
    ticket.reserve(tokens=30)
    with pytest.raises(Refusal, match="tokens per minute"):
        ticket.reserve(tokens=1)


def test_a_folder_that_is_gone_for_a_while_does_not_end_the_writing(tmp_path: Path) -> None:
    async def run() -> None:
        ledger = Ledger(tmp_path / "state" / "usage.json")
        (tmp_path / "state").write_text("not a folder")
        async with ledger.kept(every=0.01):
            await asyncio.sleep(0.1)
            ledger.add("shop", time.time(), requests=1, tokens=5.0)
            await asyncio.sleep(0.1)
            assert ledger.problem is not None
            (tmp_path / "state").unlink()
        assert ledger.problem is None

    asyncio.run(run())
    assert Ledger(tmp_path / "state" / "usage.json").day("shop", time.time())[1] == 5.0
