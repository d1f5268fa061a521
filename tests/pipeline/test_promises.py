"""Promises over restarts: a clean stop forgets nothing, and after a kill the record says what was given and audited."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shokunin.calibration import Calibration, Promise
from shokunin.errors import UsageError
from shokunin.exchange import Exchange
from shokunin.pipeline.promises import FILE, Promises
from shokunin.project import Gateway, Project, Upstream
from shokunin.serve.decisions import DecisionLog
from shokunin.traffic.evidence import given, unfinished
from shokunin.traffic.recorder import TrafficRecorder, open_recorder
from shokunin.traffic.tables import exchanges
from shokunin.watch.promise import PromiseWatch

PROMISE = Promise(0.5, 0.9, 0.05, 0.95, 1000, True)


def project(folder: Path, **gateway: Any) -> Project:
    upstreams = {"big": Upstream("http://127.0.0.1:9/v1", "big-1")}
    return Project(folder, upstreams=upstreams, gateway=Gateway(upstream="big", audit_share=0.1, **gateway))


def one(promise: Promise | None = PROMISE, digest: str = "d1") -> Any:
    codec = SimpleNamespace(calibration=Calibration(promise=promise))
    return SimpleNamespace(id="inquiries@3", name="inquiries", codec=codec, about={"digest": digest})


class Coins:
    """Heads every third time."""

    thrown = 0

    def random(self) -> float:
        self.thrown += 1
        return 0.0 if self.thrown % 3 == 0 else 0.99


def work(watch: PromiseWatch, recorder: TrafficRecorder, first: int, last: int, *, lose: int = 0) -> None:
    """Answer, audit and record as the gateway does; of the last `lose` audits no outcome is recorded."""
    watch._rng = Coins()
    for n in range(first, last):
        decision = watch.decide(0.9)
        assert decision.give
        about: dict[str, Any] = {"specialist": "inquiries@3", "workload_id": "inquiries", "confidence": 0.9}
        about |= {"timestamp": 2e9 + n, "audit_rate": decision.rate}
        recorder.record(Exchange(id=f"a{n}", route="local", audited=decision.audit, **about))
        if decision.audit and n < last - lose:
            watch.audited(decision.rate, n % 40 != 7, 0.9, term=decision.term)
            recorder.record(Exchange(id=f"a{n}-audit", parent=f"a{n}", route="audit", agrees=n % 40 != 7, **about))


def evidence(watch: PromiseWatch) -> dict[str, Any]:
    """What the bound rests on."""
    status = watch.status
    return {name: getattr(status, name) for name in ("given", "audited", "disagreements", "bound", "limit", "state")}


def make(promises: Promises, promise: Promise | None = PROMISE) -> PromiseWatch:
    made = promises.make(one(promise))
    assert made is not None
    return made


def test_a_clean_stop_forgets_nothing(tmp_path: Path) -> None:
    async def run() -> dict[str, Any]:
        recorder = open_recorder(tmp_path / "traffic")
        promises = Promises(project(tmp_path), recorder.store)
        async with promises.kept():
            watch = make(promises)
            work(watch, recorder, 0, 300)
        recorder.close()
        return watch.to_dict()

    before = asyncio.run(run())
    recorder = open_recorder(tmp_path / "traffic")
    try:
        assert make(Promises(project(tmp_path), recorder.store)).to_dict() == before
    finally:
        recorder.close()


def test_after_a_kill_the_record_is_counted(tmp_path: Path) -> None:
    async def run() -> dict[str, Any]:
        recorder = open_recorder(tmp_path / "traffic")
        promises = Promises(project(tmp_path), recorder.store)
        watch = make(promises)
        await promises._write(stopped=False)  # the last that was written down
        known = json.loads((tmp_path / "traffic" / FILE).read_text())
        known["inquiries@3"]["since"] = 2e9 - 1
        (tmp_path / "traffic" / FILE).write_text(json.dumps(known))
        work(watch, recorder, 0, 300)
        recorder.close()  # the journal would survive a kill too
        return evidence(watch)

    before = asyncio.run(run())
    recorder = open_recorder(tmp_path / "traffic")
    try:
        watch = make(Promises(project(tmp_path), recorder.store))
        assert evidence(watch) == before
    finally:
        recorder.close()


def test_audits_under_way_at_a_kill_are_lost_and_count_against_the_specialist(tmp_path: Path) -> None:
    async def run() -> dict[str, Any]:
        recorder = open_recorder(tmp_path / "traffic")
        promises = Promises(project(tmp_path), recorder.store)
        watch = make(promises)
        await promises._write(stopped=False)
        known = json.loads((tmp_path / "traffic" / FILE).read_text())
        known["inquiries@3"]["since"] = 2e9 - 1
        (tmp_path / "traffic" / FILE).write_text(json.dumps(known))
        work(watch, recorder, 0, 300, lose=9)
        recorder.close()
        return evidence(watch)

    before = asyncio.run(run())
    recorder = open_recorder(tmp_path / "traffic")
    try:
        status = make(Promises(project(tmp_path), recorder.store)).status
        assert status.lost > 0 and status.pending == 0
        assert status.given == before["given"]
        assert status.bound is not None and status.bound >= before["bound"]
    finally:
        recorder.close()


def test_a_record_from_which_answers_are_missing_is_not_counted(tmp_path: Path) -> None:
    async def run() -> dict[str, Any]:
        recorder = open_recorder(tmp_path / "traffic")
        promises = Promises(project(tmp_path), recorder.store)
        watch = make(promises)
        promises._known["inquiries@3"]["since"] = 2e9 - 1
        work(watch, recorder, 0, 300)
        await promises._write(stopped=False)
        recorder.flush()
        recorder.store.delete(exchanges.c.timestamp < 2e9 + 200)  # as when a client is erased
        recorder.close()
        return evidence(watch)

    before = asyncio.run(run())
    recorder = open_recorder(tmp_path / "traffic")
    try:
        assert evidence(make(Promises(project(tmp_path), recorder.store))) == before
    finally:
        recorder.close()


def test_a_request_that_came_before_its_promise_began_counts_by_when_it_was_answered(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path / "traffic")
    try:
        about: dict[str, Any] = {"specialist": "inquiries@3", "route": "local", "audit_rate": 1.0, "audited": True}
        recorder.record(Exchange(id="before", timestamp=1e9, seconds=1.0, **about))
        recorder.record(Exchange(id="across", timestamp=1e9, seconds=3.0, **about))
        recorder.flush()
        assert given(recorder.store, "inquiries@3", 1e9 + 2) == {1.0: 1}
        assert len(unfinished(recorder.store, "inquiries@3", 1e9 + 2)) == 1
    finally:
        recorder.close()


CHANGES: list[dict[str, Any]] = [{"audit_share": 0.2}, {"threshold": 0.6}, {"digest": "d2"}, {"model": "big-2"}]


@pytest.mark.parametrize("change", CHANGES)
def test_another_promise_begins_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    async def run() -> None:
        recorder = open_recorder(tmp_path / "traffic")
        promises = Promises(project(tmp_path), recorder.store)
        async with promises.kept():
            work(make(promises), recorder, 0, 20)
        recorder.close()

    asyncio.run(run())
    recorder = open_recorder(tmp_path / "traffic")
    try:
        place, promise = project(tmp_path), PROMISE
        if "audit_share" in change:
            place = replace(place, gateway=replace(place.gateway, **change))
        elif "model" in change:
            place = replace(place, upstreams={"big": Upstream("http://127.0.0.1:9/v1", **change)})
        elif "threshold" in change:
            promise = replace(promise, **change)
        made = Promises(place, recorder.store).make(one(promise, change.get("digest", "d1")))
        assert made is not None and made.status.given == 0
    finally:
        recorder.close()


def test_where_nothing_may_leave_nothing_is_watched(tmp_path: Path) -> None:
    place = project(tmp_path, egress="never")
    assert make(Promises(place, None)).status.state == "unwatched"
    assert Promises(place, None).make(one(None)) is None


def test_changes_are_written_into_the_log_of_decisions(tmp_path: Path) -> None:
    async def run() -> list[str]:
        recorder = open_recorder(tmp_path / "traffic")
        log = DecisionLog(tmp_path / "traffic" / "decisions.jsonl")
        promises = Promises(project(tmp_path), recorder.store, log)
        watch = make(promises)
        while (decision := watch.decide(0.999999)).give:
            watch.audited(decision.rate, False, 0.999999, term=decision.term)
        watch.resume()
        for event in watch.take_events():
            promises.told("inquiries@3", event)
        await asyncio.get_running_loop().shutdown_default_executor()
        recorder.close()
        return sorted({one.what for one in log.read()})

    found = asyncio.run(run())
    assert "promise_handed_back" in found and "promise_resumed" in found


def test_a_threshold_that_is_lowered_again_is_not_called_resumed(tmp_path: Path) -> None:
    async def run() -> list[str]:
        log = DecisionLog(tmp_path / "decisions.jsonl")
        promises = Promises(project(tmp_path), None, log)
        event = SimpleNamespace(
            what="relaxed", term=1, after="kept", threshold=0.5, given=9, bound=1, limit=9, reason=""
        )
        promises.told("inquiries@3", event)
        await asyncio.get_running_loop().shutdown_default_executor()
        return [one.what for one in log.read()]

    assert asyncio.run(run()) == ["promise_relaxed"]


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path / "traffic")
    try:
        (tmp_path / "traffic" / FILE).write_text("[]")
        with pytest.raises(UsageError, match=r"promises\.json.*move it away"):
            Promises(project(tmp_path), recorder.store)
    finally:
        recorder.close()
