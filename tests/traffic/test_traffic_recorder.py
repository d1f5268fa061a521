"""The recorder keeps what it says it keeps, and whatever fails reaches no answer."""

from __future__ import annotations

import json
import logging
import resource
import signal
import sqlite3
from pathlib import Path

import pytest
from traffic_fakes import WRITER, exchange, start

from shokunin.errors import ProjectError, StoreError
from shokunin.exchange import Recorder
from shokunin.traffic import writer as writer_module
from shokunin.traffic.erasure import prune
from shokunin.traffic.journal import segments
from shokunin.traffic.reading import count, read
from shokunin.traffic.recorder import TrafficRecorder, open_recorder
from shokunin.traffic.store import Store, open_store


def ids(store: Store) -> list[str]:
    return sorted(e.id for e in read(store, bodies=False))


def test_what_is_recorded_is_in_the_database_soon(folder: Path, url: str | None) -> None:
    recorder: Recorder = open_recorder(folder, url=url)
    assert isinstance(recorder, TrafficRecorder)
    assert all(recorder.record(exchange(f"e{i:03}")) for i in range(300))
    assert recorder.flush()
    assert ids(recorder.store) == [f"e{i:03}" for i in range(300)]
    assert (recorder.recorded, recorder.dropped, recorder.waiting, recorder.problem) == (300, 0, 0, None)
    recorder.close()


def test_closing_writes_everything_down(folder: Path, url: str | None) -> None:
    recorder = open_recorder(folder, url=url)
    made = [exchange(f"e{i:03}", timestamp=float(i)) for i in range(50)]
    for one in made:
        recorder.record(one)
    recorder.close()
    assert segments(folder / "journal") == []
    store = open_store(folder, url)
    assert list(read(store)) == made
    store.close()


def test_the_same_id_twice_counts_once(folder: Path) -> None:
    recorder = open_recorder(folder)
    recorder.record(exchange("a", value="first"))
    recorder.flush()
    recorder.record(exchange("a", value="second"))
    recorder.record(exchange("b"))
    recorder.flush()
    assert [(e.id, e.value) for e in read(recorder.store)] == [("a", "first"), ("b", "card_arrival")]
    recorder.close()


def test_files_are_private(folder: Path) -> None:
    recorder = open_recorder(folder)
    recorder.record(exchange("a"))
    recorder.flush()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o077 for p in folder.glob("traffic.sqlite3*")} == {0}
    recorder.close()


def test_one_recorder_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shokunin.traffic.recorder.LOCK_SECONDS", 0.0)
    first = open_recorder(folder)
    with pytest.raises(ProjectError, match="one server records at a time"):
        open_recorder(folder)
    first.record(exchange("a"))
    first.close()
    second = open_recorder(folder)
    assert ids(second.store) == ["a"]
    second.close()


def test_an_impossible_folder_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ProjectError, match="cannot"):
        open_recorder(tmp_path / "file" / "traffic")


def test_without_bodies_nothing_that_was_said_is_kept(folder: Path) -> None:
    recorder = open_recorder(folder, bodies=False)
    recorder.record(exchange("a", request={"messages": "SECRET"}, response={"text": "SECRET"}))
    recorder.flush()
    found = next(read(recorder.store))
    assert (found.request, found.response, found.value) == (None, None, "card_arrival")
    assert all(b"SECRET" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    recorder.close()


def test_an_exchange_that_cannot_be_written_down_is_counted(folder: Path) -> None:
    recorder = open_recorder(folder)
    assert recorder.record(exchange("a", model=object())) is False
    assert recorder.dropped == 1 and "cannot be written down" in (recorder.problem or "")
    assert recorder.record(exchange("b")) and recorder.problem is None
    recorder.close()


def test_a_database_that_fails_holds_exchanges_up_and_loses_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = open_recorder(folder)
    broken, tries = True, 0
    real = Store.insert

    def insert(self: Store, rows: list[dict[str, object]]) -> int:
        nonlocal tries
        tries += 1
        if broken:
            raise StoreError("the database is away")
        return real(self, rows)

    monkeypatch.setattr(Store, "insert", insert)
    monkeypatch.setattr(writer_module, "LONGEST_PAUSE", 0.2)
    with caplog.at_level(logging.WARNING, "shokunin.traffic"):
        for i in range(20):
            assert recorder.record(exchange(f"e{i:02}"))
        assert not recorder.flush()
        for i in range(20, 40):
            assert recorder.record(exchange(f"e{i:02}"))
        assert not recorder.flush() and tries > 1
        assert recorder.waiting == 40 and recorder.dropped == 0
        assert "wait in the journal" in (recorder.problem or "")
        broken = False
        assert recorder.flush()
    assert recorder.problem is None and recorder.waiting == 0 and len(ids(recorder.store)) == 40
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"]  # once when it fails, once when it is well
    recorder.close()


def test_what_waits_for_a_failing_database_is_bounded_and_survives_a_stop(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = open_recorder(folder, journal_bytes=20_000)
    with monkeypatch.context() as patch:

        def insert(self: Store, rows: list[dict[str, object]]) -> int:
            raise StoreError("the database is away")

        patch.setattr(Store, "insert", insert)
        kept = [f"e{i:03}" for i in range(100) if recorder.record(exchange(f"e{i:03}"))]
        assert 10 < len(kept) < 60 and recorder.dropped == 100 - len(kept)
        assert "the most allowed" in (recorder.problem or "")
        recorder.close()
    again = open_recorder(folder)
    assert ids(again.store) == kept  # there from the start: the promise's evidence is read then
    again.close()


def test_a_database_that_is_down_at_the_start_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, postgres: str
) -> None:
    monkeypatch.setattr(writer_module, "LONGEST_PAUSE", 0.1)
    away = postgres.replace("host=", "host=/nowhere")
    recorder = open_recorder(folder, url=away)
    assert recorder.record(exchange("a")) and not recorder.flush()
    assert recorder.problem is not None and "/nowhere" not in recorder.problem
    recorder.close()
    again = open_recorder(folder, url=postgres)
    assert again.flush() and ids(again.store) == ["a"]
    assert prune(again.store, before=1e12) == 1
    again.close()


def test_a_row_that_the_database_refuses_takes_no_other_with_it(store: Store) -> None:
    from shokunin.traffic.lines import line_of, row_of

    rows = [row_of(line_of(exchange(f"e{i}"))[:-1]) for i in range(5)]
    rows[3]["client_id"] = None
    assert store.insert(rows) == 1
    assert ids(store) == ["e0", "e1", "e2", "e4"]


def test_old_exchanges_are_deleted_in_slices_and_their_room_given_back(folder: Path) -> None:
    now = 1_700_000_000.0
    recorder = open_recorder(folder)
    for i in range(1200):
        recorder.record(exchange(f"old{i}", timestamp=now - 8 * 86400, request={"x": "y" * 1000}))
    recorder.record(exchange("new", timestamp=now - 6 * 86400))
    recorder.close()
    large = (folder / "traffic.sqlite3").stat().st_size
    again = open_recorder(folder, retention_days=7, clock=lambda: now)
    for _ in range(4):
        again.flush()
    assert ids(again.store) == ["new"]
    now += 2 * 86400  # the clock of the next hour
    again.flush()
    assert ids(again.store) == []
    again.close()
    assert (folder / "traffic.sqlite3").stat().st_size < large / 5


def test_every_acknowledged_exchange_survives_kill_9(folder: Path) -> None:
    acknowledged: list[str] = []
    for life, enough in enumerate((400, 37, 900, 1, 250)):
        writer = start(WRITER, folder, str(life))
        assert writer.stdout is not None
        mine = [writer.stdout.readline() for _ in range(enough)]
        writer.send_signal(signal.SIGKILL)
        mine += writer.stdout.readlines()  # acknowledged before it died
        writer.wait()
        writer.stdout.close()
        acknowledged += [line.decode().strip() for line in mine if line.endswith(b"\n")]
    recorder = open_recorder(folder)
    assert recorder.flush()
    stored = ids(recorder.store)
    assert len(stored) == len(set(stored)) == count(recorder.store)
    assert set(acknowledged) <= set(stored) and len(acknowledged) >= 1588
    recorder.close()
    with sqlite3.connect(folder / "traffic.sqlite3") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


FULL_DISK = """
import json, resource, sys, time
from pathlib import Path
from shokunin.traffic import writer
from shokunin.traffic.reading import read
from shokunin.traffic.recorder import open_recorder
from traffic_fakes import exchange

writer.LONGEST_PAUSE = 0.2
recorder = open_recorder(Path(sys.argv[1]))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
kept, number = [], 0
while recorder.dropped < 20 and number < 20_000:
    number += 1
    if recorder.record(exchange(f"e{number}", request={"x": "y" * 500})):
        kept.append(f"e{number}")
full = {"dropped": recorder.dropped, "problem": recorder.problem}
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert recorder.record(exchange("after"))
well = recorder.flush(30)
found = sorted(e.id for e in read(recorder.store, bodies=False))
print(json.dumps({**full, "kept": len(kept), "all": found == sorted([*kept, "after"]), "well": well,
                  "problem_after": recorder.problem}))
recorder.close()
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on the size of files")
def test_a_full_disk_costs_records_not_the_process_and_heals_by_itself(folder: Path) -> None:
    process = start(FULL_DISK, folder)
    out = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    assert out["dropped"] == 20 and out["kept"] > 100
    assert "the journal cannot be written: " in out["problem"] and str(folder) not in out["problem"]
    assert (out["all"], out["well"], out["problem_after"]) == (True, True, None)
