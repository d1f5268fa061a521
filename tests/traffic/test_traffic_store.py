"""The store reads back what it was given, in order, whatever the database; and counts as one would by hand."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import update
from traffic_fakes import exchange

from shokunin.errors import MissingExtraError, ProjectError, StoreError, UsageError
from shokunin.exchange import Exchange
from shokunin.traffic import reading
from shokunin.traffic.erasure import erase_client, prune
from shokunin.traffic.evidence import Audit, Usage, audits, given, local_count, unfinished, usage
from shokunin.traffic.lines import line_of, row_of
from shokunin.traffic.reading import Filter, count, get, last_seq, read, stored_after
from shokunin.traffic.recorder import open_recorder
from shokunin.traffic.stats import stats
from shokunin.traffic.store import Store, open_store
from shokunin.traffic.tables import schema


def fill(store: Store, made: list[Exchange]) -> None:
    assert store.insert([row_of(line_of(one)[:-1]) for one in made]) == 0


def some(number: int, seed: int = 0) -> list[Exchange]:
    """Different exchanges, many of them at the same moment."""
    draw = random.Random(seed)
    routes = ["local", "escalated", "passed", "fallback", "refused"]
    return [
        exchange(
            f"e{i:04}",
            timestamp=1000.0 + draw.randrange(number // 4 + 1),
            workload_id=draw.choice(["bank", "shop", ""]),
            client_id=draw.choice(["anna", "bert"]),
            route=draw.choice(routes),
            seconds=draw.random(),
            cost=draw.choice([None, 0.01, 0.002]),
            prompt_tokens=draw.randrange(500),
            completion_tokens=draw.randrange(9),
            problem=draw.choice([None, None, "upstream_timeout"]),
        )
        for i in range(number)
    ]


def test_every_field_is_read_back(store: Store) -> None:
    full = exchange(
        "a",
        timestamp=1_700_000_000.123456,
        client_id="anna",
        endpoint="/v1/responses",
        model="m",
        status=504,
        route="audit",
        upstream="openai",
        first_byte_seconds=0.25,
        prompt_tokens=12,
        completion_tokens=3,
        cost=0.000123,
        problem="upstream_timeout",
        audit_rate=0.05,
        parent="b",
        agrees=False,
    )
    fill(store, [full, Exchange(id="b", timestamp=1.0)])
    assert list(read(store)) == [Exchange(id="b", timestamp=1.0), full]
    assert get(store, "a") == full and get(store, "nothing") is None
    bare = next(read(store, newest_first=True, limit=1, bodies=False))
    assert bare == replace(full, request=None, response=None)


@pytest.mark.parametrize(
    "which",
    [
        Filter(),
        Filter(since=1020.0),
        Filter(until=1020.0),
        Filter(since=1010.0, until=1030.0, workload="bank"),
        Filter(workload=""),
        Filter(client="anna", route="local"),
        Filter(client="nobody"),
    ],
)
def test_a_filter_finds_what_fits_in_order_over_many_pages(
    store: Store, which: Filter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 7)
    made = some(200)
    fill(store, made)
    fits = [
        e
        for e in sorted(made, key=lambda e: e.timestamp)  # a stable sort: those of one moment as they were stored
        if (which.since is None or e.timestamp >= which.since)
        and (which.until is None or e.timestamp < which.until)
        and (which.workload is None or e.workload_id == which.workload)
        and (which.client is None or e.client_id == which.client)
        and (which.route is None or e.route == which.route)
    ]
    assert list(read(store, which)) == fits
    assert list(read(store, which, newest_first=True)) == fits[::-1]
    for limit in (0, 1, 7, 8, 1000):
        assert list(read(store, which, limit=limit)) == fits[:limit]
    assert count(store, which) == len(fits)


def test_following_gives_what_is_stored_later_whatever_its_time(store: Store) -> None:
    fill(store, [exchange("a", timestamp=100.0)])
    seq = last_seq(store)
    assert stored_after(store, seq) == []
    fill(store, [exchange("late", timestamp=1.0), exchange("b", timestamp=200.0), exchange("c", client_id="other")])
    assert [e.id for _, e in stored_after(store, seq, Filter(client="local"))] == ["late", "b"]
    prune(store, before=1e12)
    fill(store, [exchange("d")])
    assert [e.id for _, e in stored_after(store, seq)] == ["d"]  # numbers are not used again


def test_statistics_are_those_of_a_count_by_hand(store: Store) -> None:
    made = some(300, seed=3)
    fill(store, made)
    found = {one.workload: one for one in stats(store, Filter(until=1060.0))}
    made = [e for e in made if e.timestamp < 1060.0]
    assert set(found) == {"", "bank", "shop"}
    for name, one in found.items():
        mine = [e for e in made if e.workload_id == name]
        assert one.requests == len(mine)
        assert one.cost == pytest.approx(sum(e.cost or 0 for e in mine))
        for route, figures in one.routes.items():
            those = [e for e in mine if e.route == route]
            seconds = sorted(e.seconds for e in those)
            assert figures.count == len(those) and one.share(route) == len(those) / len(mine)
            assert figures.mean_seconds == pytest.approx(sum(seconds) / len(seconds))
            assert figures.p50_seconds == seconds[math.ceil(len(seconds) * 0.5) - 1]
            assert figures.p95_seconds == seconds[math.ceil(len(seconds) * 0.95) - 1]
            assert figures.prompt_tokens == sum(e.prompt_tokens for e in those)
            assert figures.completion_tokens == sum(e.completion_tokens for e in those)
            assert figures.problems == sum(e.problem is not None for e in those)
            assert figures.priced == sum(e.cost is not None for e in those)


def test_the_saving_is_what_local_answers_would_have_cost(store: Store) -> None:
    fill(
        store,
        [
            *(exchange(f"l{i}", cost=0.0, prompt_tokens=30, completion_tokens=1) for i in range(10)),
            exchange("u1", route="escalated", cost=0.02),
            exchange("u2", route="passed", cost=0.04),
            exchange("u3", route="passed", cost=None),
            exchange("a1", route="audit", cost=0.03),
            exchange("f1", route="feedback", agrees=True),
            exchange("x", workload_id="unpriced"),
            exchange("y", workload_id="passed only", route="passed", cost=1.0),
        ],
    )
    found = {one.workload: one for one in stats(store)}
    assert found["bank"].saving(lambda read, written: read * 0.001 + written * 0.01) == pytest.approx(0.4)
    assert found["bank"].saving(lambda read, written: None) is None
    assert found["bank"].requests == 13  # an audit and a correction are not requests
    assert found["passed only"].saving(lambda read, written: 1.0) == 0.0


def test_an_empty_record_has_no_statistics(store: Store) -> None:
    assert stats(store) == [] and list(read(store)) == [] and last_seq(store) == 0


def test_the_evidence_of_a_promise(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shokunin.traffic.evidence.PAGE", 2)
    answers = [exchange(f"l{i}", timestamp=float(i), confidence=0.5 + i / 100, audit_rate=0.25) for i in range(8)]
    made = [
        exchange(
            f"a{i}",
            timestamp=i + 0.5,
            route="audit",
            parent=f"l{i}",
            confidence=None,
            agrees=(True, False, None)[i % 3],
        )
        for i in range(0, 8, 2)
    ]
    own = exchange("own", timestamp=9.0, route="audit", parent="gone", audit_rate=1.0, confidence=0.75, agrees=True)
    other = exchange("other", specialist="bank@2"), exchange("b", route="audit", specialist="bank@2", parent="other")
    unsure = exchange("unsure", route="escalated")
    fill(store, [*answers, *made, own, *other, unsure])
    assert local_count(store, "bank@1") == 8 and local_count(store, "bank@1", since=3.0) == 5
    assert list(audits(store, "bank@1")) == [
        Audit(0.5, 0.25, True, 0.5),
        Audit(2.5, 0.25, None, 0.52),
        Audit(4.5, 0.25, False, 0.54),
        Audit(6.5, 0.25, True, 0.56),
        Audit(9.0, 1.0, True, 0.75),
    ]
    assert [a.timestamp for a in audits(store, "bank@1", since=4.5)] == [4.5, 6.5, 9.0]
    assert list(audits(store, "nobody@1")) == []


def test_what_a_promise_is_rebuilt_from(store: Store) -> None:
    """Answers by audit rate, and those whose audit never ended: the process was killed in between."""
    made = [exchange(f"l{i}", audit_rate=(1.0, 0.05)[i % 2], audited=i < 4, confidence=i / 10) for i in range(10)]
    made += [
        exchange("a0", route="audit", parent="l0", agrees=True),
        exchange("a1", route="audit", parent="l1", agrees=None),
        exchange("f2", route="feedback", parent="l2", agrees=True),
        exchange("unwatched", audit_rate=None),
        exchange("unsure", route="escalated", audit_rate=1.0),
        exchange("other", specialist="bank@2", audit_rate=1.0, audited=True),
    ]
    fill(store, made)
    assert given(store, "bank@1") == {1.0: 5, 0.05: 5}
    assert given(store, "bank@1", since=1.8e9) == {}
    assert sorted(unfinished(store, "bank@1")) == [(0.05, 0.3), (1.0, 0.2)]
    assert unfinished(store, "bank@2") == [(1.0, 0.9)]


def test_what_a_client_has_used(store: Store) -> None:
    anna = {"client_id": "anna", "prompt_tokens": 10, "completion_tokens": 1}
    fill(
        store,
        [
            exchange("a", timestamp=5.0, cost=0.5, **anna),
            exchange("b", timestamp=6.0, cost=0.25, **anna),
            exchange("c", timestamp=7.0, cost=None, **anna),
            exchange("d", timestamp=7.0, cost=9.0, route="audit", **anna),
            exchange("e", timestamp=7.0, cost=9.0),
        ],
    )
    assert usage(store, "anna", since=6.0) == Usage(2, 22, 0.25)
    assert usage(store, "nobody", since=0.0) == Usage(0, 0, 0.0)


def test_erasing_a_client_takes_its_audits_too_and_leaves_no_byte(folder: Path) -> None:
    recorder = open_recorder(folder)
    for i in range(700):
        recorder.record(exchange(f"a{i}", client_id="anna", request={"x": "SECRET" * 100}))
    recorder.record(exchange("audit", client_id="gateway", route="audit", parent="a0", response={"x": "SECRET"}))
    recorder.record(exchange("b", client_id="bert"))
    assert erase_client(folder, recorder.store, "anna") == 701  # while a server records: it is waited for
    assert [e.id for e in read(recorder.store)] == ["b"]
    assert all(b"SECRET" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    recorder.close()
    assert all(b"SECRET" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_erasing_empties_the_journal_that_a_killed_server_left(folder: Path, store: Store) -> None:
    (folder / "journal").mkdir(parents=True)
    lines = [line_of(exchange(f"a{i}", client_id="anna" if i % 2 else "bert")) for i in range(10)]
    (folder / "journal" / "000000000001.journal").write_bytes(b"".join(lines))
    assert erase_client(folder, store, "anna") == 5
    assert [e.client_id for e in read(store)] == ["bert"] * 5
    assert list((folder / "journal").iterdir()) == []


def test_erasing_does_not_claim_what_a_stuck_server_still_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Store, rows: list[dict[str, object]]) -> int:
        raise StoreError("the database is away")

    recorder = open_recorder(folder)
    monkeypatch.setattr(Store, "insert", away)
    recorder.record(exchange("a"))
    with pytest.raises(StoreError, match="nothing was erased"):
        erase_client(folder, recorder.store, "local", seconds=0.3)
    recorder.close()


def test_a_record_of_another_release_is_refused(folder: Path, url: str | None) -> None:
    store = open_store(folder, url, create=True)
    with store.begin() as connection:
        connection.execute(update(schema).values(number=99))
    store.close()
    for create in (False, True):
        with pytest.raises(ProjectError, match="has the form 99"):
            open_store(folder, url, create=create)
    with pytest.raises(ProjectError, match="has the form 99"):
        open_recorder(folder, url=url)


def test_no_record_yet(folder: Path, url: str | None) -> None:
    with pytest.raises(ProjectError, match="there is no traffic in"):
        open_store(folder, url)
    assert not folder.exists()


def test_a_file_that_is_no_database(folder: Path) -> None:
    folder.mkdir()
    (folder / "traffic.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_store(folder)


@pytest.mark.parametrize("url", ["mysql://user:SECRET@host/db", "nonsense SECRET", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused_without_repeating_the_url(folder: Path, url: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_store(folder, url)
    assert "SECRET" not in str(refused.value)


def test_postgresql_without_its_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"shokunin\[postgres\]"):
        open_store(folder, "postgresql://owner@host/traffic")


def test_a_server_that_is_away_is_said_without_its_password(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used at the moment") as refused:
        open_store(folder, f"postgresql://owner:SECRET@/traffic?host={tmp_path}")
    assert "SECRET" not in str(refused.value)


def test_reading_is_lazy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 10)
    fill(store, some(100))
    fetched = 0
    real = reading._fetched

    def counting(*words: object) -> object:
        nonlocal fetched
        fetched += 1
        return real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "_fetched", counting)
    assert len(list(islice(read(store), 15))) == 15 and fetched == 2
