"""The journal: whole lines or none, in order, through full disks, torn ends and damage."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic_fakes import exchange

from shokunin.traffic import journal as journal_module
from shokunin.traffic.journal import Journal, lines_in, segments
from shokunin.traffic.lines import line_of
from shokunin.traffic.replay import replay, settle
from shokunin.traffic.store import Store


def written(journal: Journal) -> list[bytes]:
    return [line for segment in journal.waiting() for line, whole in lines_in(segment.path) if whole]


@given(steps=st.lists(st.integers(0, 3), max_size=40))
@settings(max_examples=40, deadline=None)
def test_lines_are_there_in_order_whatever_is_turned_and_done(
    steps: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    kept: list[bytes] = []
    for number, step in enumerate(steps):
        if step < 2:
            journal.append(b"%d\n" % number)
            kept.append(b"%d" % number)
        elif step == 2:
            journal.turn()
        elif journal.waiting():
            gone = journal.waiting()[0]
            kept = kept[gone.rows :]
            journal.done(gone)
        assert journal.rows == len(kept)
    journal.close()
    again = Journal(folder)
    assert written(again) == kept and again.left == len(kept) == again.rows
    again.append(b"more\n")
    again.turn()
    assert written(again) == [*kept, b"more"]
    again.close()


def test_files_are_private(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(b"x\n")
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in segments(tmp_path / "journal")] == [0o600]
    journal.close()


def test_an_empty_journal_leaves_nothing_behind(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.turn()
    journal.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written_before_failing", [0, 3])
def test_a_full_disk_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written_before_failing: int
) -> None:
    journal = Journal(tmp_path)
    journal.append(b"first\n")
    real = os.write

    def full(handle: int, line: bytes) -> int:
        if not written_before_failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, line[:written_before_failing])

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            journal.append(b"second\n")
    journal.append(b"third\n")
    journal.turn()
    assert written(journal) == [b"first", b"third"] and journal.rows == 2
    journal.close()


def test_where_a_half_line_cannot_be_taken_back_the_next_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.append(b"first\n")
    real = os.write

    def refused(handle: int, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "write", lambda handle, line: real(handle, line[:2]))
        patch.setattr(journal_module.os, "ftruncate", refused)
        with pytest.raises(OSError, match="No space left"):
            journal.append(b"second\n")
    journal.append(b"third\n")
    journal.turn()
    assert written(journal) == [b"first", b"third"]
    journal.close()


def test_what_waits_is_bounded(tmp_path: Path) -> None:
    journal = Journal(tmp_path, limit=20)
    journal.append(b"0123456789\n")
    with pytest.raises(OSError, match="the most allowed"):
        journal.append(b"0123456789\n")
    journal.turn()
    journal.done(journal.waiting()[0])
    journal.append(b"0123456789\n")
    journal.close()
    left = Journal(tmp_path, limit=20)
    with pytest.raises(OSError, match="the most allowed"):
        left.append(b"0123456789\n")  # what an earlier process left counts too
    left.close()


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.close()
    with pytest.raises(OSError):
        journal.append(b"x\n")
    assert segments(tmp_path) == []


def test_torn_and_damaged_lines_are_counted_and_the_others_stored(tmp_path: Path, store: Store) -> None:
    lines = [line_of(exchange(f"e{i}")) for i in range(600)]
    lines[300] = lines[300].replace(b"where", b"wh\xffre")
    lines[400] = b"\0" * len(lines[400]) + b"\n"
    file = tmp_path / "000000000001.journal"
    file.write_bytes(b"".join(lines) + line_of(exchange("torn"))[:-20])
    result = replay(file, store)
    assert (result.stored, result.damaged, result.torn, result.refused) == (598, 2, 1, 0)


def test_a_segment_replayed_twice_counts_once(folder: Path, store: Store) -> None:
    """The process dies after the commit and before the segment is removed."""
    from shokunin.traffic.reading import count

    (folder / "journal").mkdir(parents=True)
    file = folder / "journal" / "000000000007.journal"
    file.write_bytes(b"".join(line_of(exchange(f"e{i}")) for i in range(300)))
    assert replay(file, store).stored == 300 and file.exists()
    done = settle(folder, store)
    assert done is not None and done.stored == 300
    assert count(store) == 300 and segments(folder / "journal") == []
