"""The log of decisions: whatever is changed in it shows, and a crash leaves it whole."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shokunin.errors import ArtefactError, UsageError
from shokunin.serve.decisions import GENESIS, DecisionLog, Verdict, verify


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "traffic" / "decisions.jsonl", clock=lambda: 1_795_348_800.25)


def filled(log: DecisionLog) -> bytes:
    log.append("server_started", "server", config="ab12", specialists={"inquiries@3": "0" * 64})
    log.append("key_created", "user someone", key="0123456789ab", name="shop ショップ\u2028")
    log.append("promise_tightened", "server", task="inquiries", before=0.61, after=0.74)
    return log.path.read_bytes()


def test_lines_follow_each_other(log: DecisionLog) -> None:
    assert verify(log.path) == Verdict(0, GENESIS)
    filled(log)
    first, second, third = log.read()
    assert (first.n, first.previous, first.time) == (1, GENESIS, "2026-11-22T12:00:00.250000Z")
    assert (second.n, second.previous) == (2, first.hash)
    assert third.details == {"task": "inquiries", "before": 0.61, "after": 0.74}
    assert verify(log.path) == Verdict(3, third.hash)
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.path.read_bytes().isascii()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_that_is_changed_shows(log: DecisionLog, data: st.DataObject) -> None:
    if not log.path.exists():
        filled(log)
        (log.path.parent / "good").write_bytes(log.path.read_bytes())
    good = (log.path.parent / "good").read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    how = data.draw(st.sampled_from(["change", "remove", "add"]))
    byte = data.draw(st.binary(min_size=1, max_size=1).filter(lambda b: b != good[at : at + 1]))
    changed = good[:at] + (b"" if how == "remove" else byte) + good[at + (how != "add") :]
    log.path.write_bytes(changed)
    with pytest.raises(ArtefactError, match=r"line \d+ of"):
        verify(log.path)


def test_a_line_more_or_less_or_in_another_place_shows(log: DecisionLog) -> None:
    first, second, third = filled(log).splitlines(keepends=True)
    for lines in (
        [second, third],
        [first, third],
        [first, third, second],
        [first, first, second],
        [first, b"\n", second],
    ):
        log.path.write_bytes(b"".join(lines))
        with pytest.raises(ArtefactError, match=r"does not follow|not one of ours"):
            verify(log.path)


def test_the_first_wrong_line_is_named(log: DecisionLog) -> None:
    good = filled(log)
    log.path.write_bytes(good.replace(b"0123456789ab", b"0123456789ac"))
    with pytest.raises(ArtefactError, match=r"line 2 of .*was changed"):
        verify(log.path)


def test_a_line_with_a_new_hash_of_its_own_shows_in_the_next(log: DecisionLog) -> None:
    first, _, third = filled(log).splitlines(keepends=True)
    other = DecisionLog(log.path.with_name("other.jsonl"))
    other.path.write_bytes(first)
    other.append("key_created", "user someone else", key="0123456789ab")
    log.path.write_bytes(other.path.read_bytes() + third)
    with pytest.raises(ArtefactError, match=r"line 3 of .*does not follow"):
        verify(log.path)


def test_a_cut_off_end_shows_against_a_hash_that_was_noted(log: DecisionLog) -> None:
    first, second, third = filled(log).splitlines(keepends=True)
    noted = verify(log.path).head
    log.append("server_stopped", "server")
    verify(log.path, head=noted)
    log.path.write_bytes(first + second)
    assert verify(log.path).lines == 2, "the chain itself cannot tell"
    with pytest.raises(ArtefactError, match="its end was cut off"):
        verify(log.path, head=noted)
    assert third


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 150))
def test_a_line_cut_off_by_a_crash_is_removed_with_a_note(log: DecisionLog, cut: int) -> None:
    log.path.unlink(missing_ok=True)
    good = filled(log)
    log.path.write_bytes(good[:-cut])
    with pytest.raises(ArtefactError, match=r"line 3 of .*not complete"):
        verify(log.path)
    log.append("server_started", "server")
    lines = list(log.read())
    torn = len(good.splitlines(keepends=True)[-1]) - cut
    assert [one.what for one in lines[2:]] == ["log_repaired", "server_started"]
    assert lines[2].details == {"bytes_removed": torn}
    assert verify(log.path).lines == 4


def test_nothing_is_added_to_a_damaged_log(log: DecisionLog) -> None:
    good = filled(log)
    for bad in (good.replace(b"0.74", b"0.75"), good + b"{}\n", good + b"\n", b"[" * 100_000 + b"\n"):
        log.path.write_bytes(bad)
        with pytest.raises(ArtefactError):
            log.append("server_stopped", "server")
        assert log.path.read_bytes() == bad


def test_many_writers_make_one_chain(log: DecisionLog) -> None:
    code = f"""
from pathlib import Path
from shokunin.serve.decisions import DecisionLog
log = DecisionLog(Path({str(log.path)!r}))
for n in range(15):
    log.append("key_created", "process", n=n)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    threads = [
        threading.Thread(target=lambda: [log.append("key_revoked", "thread", n=n) for n in range(15)]) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for one in (*threads,):
        one.join()
    assert [process.wait() for process in processes] == [0, 0]
    assert verify(log.path).lines == 60


def test_a_process_killed_while_it_writes_leaves_a_log_that_goes_on(log: DecisionLog) -> None:
    code = f"""
from pathlib import Path
from shokunin.serve.decisions import DecisionLog
log = DecisionLog(Path({str(log.path)!r}))
while True:
    print(log.append("key_created", "process", text="x" * 5000).hash, flush=True)
"""
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = [next(process.stdout).strip() for _ in range(5)]
        process.kill()
        said += [line.strip() for line in process.stdout if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        log.append("server_started", "server")
        for noted in (said[0], said[-1]):
            verify(log.path, head=noted)


def test_details_are_plain_and_bounded(log: DecisionLog) -> None:
    with pytest.raises(UsageError, match="say less"):
        log.append("traffic_erased", "user", client="x" * (1 << 20))
    for wrong in (float("nan"), {1, 2}, b"bytes"):
        with pytest.raises(UsageError, match="no plain JSON"):
            log.append("promise_tightened", "server", bound=wrong)
    assert verify(log.path).lines == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
def test_a_full_disk_is_said_and_the_log_goes_on_when_there_is_room(log: DecisionLog) -> None:
    filled(log)
    code = f"""
import resource
from pathlib import Path
from shokunin.errors import ProjectError
from shokunin.serve.decisions import DecisionLog
resource.setrlimit(resource.RLIMIT_FSIZE, ({log.path.stat().st_size + 100},) * 2)
try:
    DecisionLog(Path({str(log.path)!r})).append("server_started", "server")
except ProjectError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "decisions.jsonl" in said
    log.append("server_stopped", "server")
    assert [one.what for one in log.read()][3:] == ["log_repaired", "server_stopped"]


def test_lines_are_json_that_anything_can_read(log: DecisionLog) -> None:
    for line in filled(log).splitlines():
        assert set(json.loads(line)) == {"n", "time", "what", "who", "details", "previous", "hash"}
