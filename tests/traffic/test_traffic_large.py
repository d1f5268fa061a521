"""A large record is read, counted, exported and pruned with the memory of a few pages."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from traffic_fakes import start

ROWS = 200_000
MEGABYTES = 80
"""How much more memory than before any of it is still right: DuckDB's own, mostly."""

FILL = """
import sys
from pathlib import Path
from shokunin.traffic.lines import line_of, row_of
from shokunin.traffic.store import open_store
from traffic_fakes import exchange

store = open_store(Path(sys.argv[1]), create=True)
for start in range(0, int(sys.argv[2]), 5000):
    made = (exchange(f"e{i}", timestamp=float(i // 3), seconds=i % 997 / 1000) for i in range(start, start + 5000))
    store.insert([row_of(line_of(one)[:-1]) for one in made])
store.close()
"""

MEASURE = """
import json, sys, time
from pathlib import Path
import psutil
from shokunin.traffic.erasure import prune
from shokunin.traffic.export import export
from shokunin.traffic.reading import Filter, read
from shokunin.traffic.stats import stats
from shokunin.traffic.store import open_store

folder, what = Path(sys.argv[1]), sys.argv[2]
if what == "parquet":
    import duckdb
store = open_store(folder / "traffic")
next(read(store))
before = psutil.Process().memory_info().rss
start = time.perf_counter()
if what == "read":
    number = sum(1 for _ in read(store))
elif what == "stats":
    (one,) = stats(store)
    number = one.requests
elif what == "prune":
    number = prune(store, before=30_000.0)
else:
    number = export(store, folder / f"out.{what}")
seconds = time.perf_counter() - start
import resource
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"number": number, "seconds": seconds, "megabytes": (peak - before) / 1e6}))
store.close()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("large")
    process = start(FILL, place / "traffic", str(ROWS))
    process.communicate()
    assert process.returncode == 0
    return place


@pytest.mark.slow
@pytest.mark.parametrize("what", ["read", "stats", "jsonl", "parquet"])
def test_memory_stays_bounded(folder: Path, what: str) -> None:
    process = start(MEASURE, folder, what)
    found = json.loads(process.communicate()[0])
    print(what, found)
    assert process.returncode == 0 and found["number"] == ROWS
    assert found["megabytes"] < (MEGABYTES * 4 if what == "parquet" else MEGABYTES)


@pytest.mark.slow
def test_pruning_a_large_record(folder: Path) -> None:
    process = start(MEASURE, folder, "prune")
    found = json.loads(process.communicate()[0])
    assert found["number"] == 90_000 and found["megabytes"] < MEGABYTES
    connection = sqlite3.connect(folder / "traffic" / "traffic.sqlite3")
    assert connection.execute("SELECT count(*) FROM exchanges").fetchone() == (110_000,)
    connection.close()
