"""Exports hold every exchange that was asked for, in a shape that others read, or there is no file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from traffic_fakes import exchange

from shokunin.errors import MissingExtraError, ProjectError, StoreError, UsageError
from shokunin.exchange import Exchange
from shokunin.traffic import reading
from shokunin.traffic.export import export
from shokunin.traffic.lines import HEAD, exchange_of, line_of, row_of
from shokunin.traffic.reading import Filter, read
from shokunin.traffic.store import Store

ODD = 'a\u2028b\u2029c\x85d\ud800 "quoted"\t\r\n職人 \x00'


@pytest.fixture
def filled(store: Store) -> Store:
    made = [exchange(f"e{i:03}", timestamp=float(i), client_id="anna" if i % 3 else "bert") for i in range(250)]
    made.append(exchange("odd", timestamp=300.0, request={"x": ODD}, response={ODD: [1, None, True]}, model=ODD))
    made.append(exchange("bare", timestamp=301.0, request=None, response=None, value=None, confidence=None))
    made.append(exchange("audit", timestamp=302.0, route="audit", agrees=False, parent="odd", cost=0.001))
    store.insert([row_of(line_of(one)[:-1]) for one in made])
    return store


def test_each_line_is_one_exchange_in_ascii(filled: Store, tmp_path: Path) -> None:
    told: list[int] = []
    assert export(filled, tmp_path / "new" / "out.jsonl", progress=told.append) == 253 == told[-1]
    data = (tmp_path / "new" / "out.jsonl").read_bytes()
    assert data.isascii() and data.endswith(b"\n")
    values = [json.loads(line) for line in data.decode().split("\n")[:-1]]
    assert [list(value)[:5] for value in values] == [
        ["timestamp", "workload_id", "client_id", "request", "response"]
    ] * 253
    assert all(set(value) == {*HEAD, "request", "response"} for value in values)
    assert [Exchange(**value) for value in values] == list(read(filled))
    assert values[250]["request"] == {"x": ODD} and values[251]["request"] is None


def test_a_filter_holds(filled: Store, tmp_path: Path) -> None:
    count = export(filled, tmp_path / "out.jsonl", Filter(client="bert", since=100.0))
    lines = (tmp_path / "out.jsonl").read_text().split("\n")[:-1]
    assert count == len(lines) == 50
    assert {json.loads(line)["client_id"] for line in lines} == {"bert"}
    assert export(filled, tmp_path / "none.jsonl", Filter(client="nobody")) == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""


def test_parquet_holds_the_same_with_types(filled: Store, tmp_path: Path) -> None:
    place = tmp_path / "it's [odd].parquet"
    assert export(filled, place) == 253
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(place.read_bytes())
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT * FROM read_parquet('{copy}')")
        names = [column[0] for column in found.description or []]
        values = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        types = dict(connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{copy}')").fetchall())
    assert [exchange_of(value) for value in values] == list(read(filled))
    assert (types["timestamp"], types["prompt_tokens"], types["agrees"], types["request"]) == (
        "DOUBLE",
        "BIGINT",
        "BOOLEAN",
        "VARCHAR",
    )
    assert sorted(p.name for p in tmp_path.iterdir() if p != copy and p.is_file()) == ["it's [odd].parquet"]


def test_an_empty_record_makes_an_empty_parquet_file(store: Store, tmp_path: Path) -> None:
    assert export(store, tmp_path / "out.parquet") == 0
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT count(*) FROM '{tmp_path / 'out.parquet'}'").fetchone() == (0,)


def test_other_names_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.jsonl or \.parquet"):
        export(store, tmp_path / "out.csv")
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_place_that_cannot_be_written(filled: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ProjectError, match="cannot write"):
        export(filled, tmp_path / "file" / name)


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_failure_on_the_way_leaves_the_old_file(
    filled: Store, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text("old")
    pages = 0
    real = reading._fetched

    def failing(*words: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise StoreError("the database is away")
        return real(*words)

    monkeypatch.setattr(reading, "_fetched", failing)
    with pytest.raises(StoreError):
        export(filled, tmp_path / name)
    assert (tmp_path / name).read_text() == "old"
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_parquet_without_its_library(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match=r"shokunin\[parquet\]"):
        export(store, tmp_path / "out.parquet")
