"""What the server knows of units: merged, kept over restarts, bounded; and asked in requests of every sort."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_fakes import BIG, MODEL
from serve_fakes import running_app

from shokunin.errors import ProjectError
from shokunin.pipeline.serving import served_of
from shokunin.project import open_project
from shokunin.series.columns import Columns
from shokunin.series.readings import Grid
from shokunin.series.sent import Shape
from shokunin.serve.app import create_app
from shokunin.serve.parts import Parts
from shokunin.serve.routing import Routes, TaskPolicy
from shokunin.serve.scripted_upstream import ScriptedUpstream, by_model
from shokunin.serve.shelf import Shelf
from shokunin.serve.unit_histories import UnitHistories, mentioned
from shokunin.serve.upstream import UpstreamClient, UpstreamSettings
from tiny_fleet import DAYS, WINDOW, Pumps, day, window

SHAPE = Shape(Columns(unit="pump", time="date", channels=("a",)), Grid(longest_gap=2, shortest=3), 3)


def sent(*values: float, first: int = 0) -> str:
    """One reading a day."""
    return json.dumps([{"date": day(first + n), "a": v} for n, v in enumerate(values)])


def test_what_is_known_survives_a_restart_and_is_shared_by_versions(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "units.sqlite3"
    first = UnitHistories(path)
    assert first.memory("pumps", SHAPE).complete({"unit": "p", "readings": sent(1, 2)})[1].startswith("2 of the 3")
    first.close()
    again = UnitHistories(path)
    inputs, problem = again.memory("pumps", SHAPE).complete({"unit": "p", "readings": sent(3, first=2)})
    assert problem is None and json.loads(inputs["readings"])["a"] == [1, 2, 3]
    other = again.memory("pumps", replace(SHAPE, length=4)).complete({"unit": "p"})
    assert other[1].startswith("no readings of 'p' are known; send 4")
    again.close()


def test_of_too_many_units_those_asked_longest_ago_are_forgotten() -> None:
    histories = UnitHistories(most=3)
    memory = histories.memory("pumps", SHAPE)
    for unit in "abc":
        assert memory.complete({"unit": unit, "readings": sent(1, 2, 3)})[1] is None
    assert memory.complete({"unit": "a"})[1] is None
    memory.complete({"unit": "d", "readings": sent(1, 2, 3)})
    assert sorted(histories.names(memory.key)) == ["a", "c", "d"]
    memory.complete({"unit": "d", "readings": sent(4, first=3)})
    assert sorted(histories.names(memory.key)) == ["a", "c", "d"]


def test_a_second_server_is_told_and_a_damaged_file_too(tmp_path: Path) -> None:
    path = tmp_path / "units.sqlite3"
    first = UnitHistories(path)
    first.memory("pumps", SHAPE)
    with pytest.raises(ProjectError, match="another server keeps the units' readings"):
        UnitHistories(path, waits=0.05).memory("pumps", SHAPE)
    first.close()
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(ProjectError, match="move the file away"):
        UnitHistories(path).memory("pumps", SHAPE)


def test_many_threads_lose_nothing() -> None:
    memory = UnitHistories().memory("pumps", replace(SHAPE, length=40))
    threads = [
        threading.Thread(target=memory.complete, args=({"unit": "p", "readings": sent(float(n), first=n)},))
        for n in range(40)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    inputs, problem = memory.complete({"unit": "p"})
    assert problem is None and json.loads(inputs["readings"])["a"] == [float(n) for n in range(40)]


def test_a_reading_from_the_future_changes_nothing() -> None:
    clock = 1_704_067_200 + 86_400 * 3  # 4 January 2024
    memory = UnitHistories(clock=lambda: clock).memory("pumps", SHAPE)
    memory.complete({"unit": "p", "readings": sent(1, 2, 3)})
    assert (
        "2044-01-01, which is yet to come"
        in memory.complete({"unit": "p", "readings": '[{"date": "2044-01-01", "a": 1}]'})[1]
    )
    assert json.loads(memory.complete({"unit": "p"})[0]["readings"])["a"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("how is pump 3?", ["pump 3"]),
        ("Pump 31, please", []),
        ("pump 3 b", ["pump 3 b"]),
        ("pump 3 or PUMP 4", ["pump 3", "pump 4"]),
        ("3号機の様子は", ["3号機"]),
        ("13号機の様子は", []),
        ("and how are you", []),
        ("pump 3 and pump 3 b", ["pump 3 b", "pump 3"]),
    ],
)
def test_names_in_a_text_are_words_of_their_own(text: str, found: list[str]) -> None:
    assert sorted(mentioned(text, ["pump 3", "pump 4", "pump 3 b", "3号機", ""])) == sorted(found)


@pytest.fixture(scope="module")
def house(pumps: Pumps) -> Iterator[tuple[httpx.Client, ScriptedUpstream]]:
    """The specialist behind a gateway whose default is an upstream that says anything to anybody."""
    histories = UnitHistories()
    one = served_of(pumps.specialist, open_project(pumps.folder), histories)
    with ScriptedUpstream(by_model("no alarm")) as upstream:
        settings = UpstreamSettings(name="big", base_url=upstream.base_url, retries=0)
        parts = Parts(
            Shelf({one.id: one}),
            upstreams={"big": UpstreamClient(settings)},
            routes=Routes({"big": (MODEL, ())}, "big"),
            policy_of=lambda task: TaskPolicy(BIG),
        )
        with running_app(create_app(parts)) as url, httpx.Client(base_url=url) as client:
            yield client, upstream
    histories.close()


def predicted(client: httpx.Client, inputs: Any) -> list[dict[str, Any]]:
    """The typed answers."""
    reply = client.post("/v1/specialists/pumps/predict", json={"inputs": inputs})
    assert reply.status_code == 200, reply.text
    answers: list[dict[str, Any]] = reply.json()["answers"]
    return answers


def said(client: httpx.Client, text: str, **more: Any) -> httpx.Response:
    """A chat."""
    return client.post(
        "/v1/chat/completions", json={"model": "pumps", "messages": [{"role": "user", "content": text}], **more}
    )


class TestEndpoints:
    def test_rows_lists_and_text_are_one(self, house: Any, pumps: Pumps) -> None:
        asked = window("pump 1", 6.0)
        rows = asked["readings"]
        lists = {name: [r[name] for r in rows] for name in rows[0]}
        several = [asked, {**asked, "readings": json.dumps(rows)}, {**asked, "readings": lists}]
        several.append({**asked, "readings": {**lists, "date": rows[-1]["date"]}})
        first, *others = predicted(house[0], several)
        assert first["problem"] is None and first["details"]["until"] == rows[-1]["date"]
        alone = pumps.specialist.predict({"unit": "pump 1", "readings": json.dumps(rows)})
        for one in (first, *others):
            assert one["details"] == first["details"] == alone.details and one["value"] == alone.value
        assert [h["horizon"] for h in first["details"]["horizons"]] == ["5 days", "8 days"]
        assert first["details"]["signs"] and first["details"]["measured_against"] == "its own past"

    def test_only_what_is_new_is_sent(self, house: Any) -> None:
        asked = window("pump 2", 6.0)
        *old, new = asked["readings"]
        whole = predicted(house[0], asked)[0]
        answers = predicted(
            house[0], [{"unit": "x1", "readings": old}, {"unit": "x1", "readings": [new]}, {"unit": "x1"}]
        )
        assert f"{WINDOW - 1} of the {WINDOW} steps" in answers[0]["problem"] and answers[0]["value"] is None
        assert answers[1]["details"] == answers[2]["details"]
        assert answers[1]["details"]["until"] == whole["details"]["until"] and answers[1]["problem"] is None

    def test_a_chat_in_plain_words(self, house: Any) -> None:
        client, _ = house
        predicted(client, window("pump 3", 6.0))
        for text in ("pump 3", "How is Pump 3?", '{"unit": "pump 3"}', json.dumps(window("pump 3", 6.0))):
            reply = said(client, text)
            content = reply.json()["choices"][0]["message"]["content"]
            assert content.startswith("pump 3: ALARM") and "vibration" in content
        reply = said(client, "how is pump 77?")
        assert reply.status_code == 400 and f"send {WINDOW} steps" in reply.json()["error"]["message"]
        predicted(client, window("pump 4", 1.0))
        reply = said(client, "pump 3 or pump 4?")
        assert reply.status_code == 400 and "several units are named" in reply.json()["error"]["message"]

    def test_wrong_shapes_are_refused_and_other_fields_stay_texts(self, house: Any) -> None:
        client, _ = house
        for inputs in (
            {"unit": "pump 1", "readings": 7}, {"unit": "pump 1", "readings": [[1]]}, {"unit": 3, "readings": []},
            {"unit": "pump 1", "readings": [], "more": 1}, {"text": ["a"]},
            {"unit": "pump 1", "readings": [{"date": {"a": 1}}]},
        ):  # fmt: skip
            reply = client.post("/v1/specialists/pumps/predict", json={"inputs": inputs})
            assert reply.status_code == 400, inputs
            assert "inputs" in reply.json()["error"]["param"]

    def test_what_is_left_out_is_told(self, house: Any) -> None:
        late = {"unit": "pump 9", "readings": [{"date": day(DAYS), "vibration": 1.0, "heat": "hot"}]}
        predicted(house[0], window("pump 9", 1.0))
        (answer,) = predicted(house[0], late)
        assert answer["problem"] is None and len(answer["details"]["notes"]) == 2
        assert "'heat' with text" in answer["details"]["notes"][0]
        assert "older than the newest known" in answer["details"]["notes"][1]

    def test_no_upstream_is_ever_shown_readings(self, house: Any) -> None:
        client, upstream = house
        for tail in (0.5, 1.0, 2.0, 3.0, 6.0):
            for model in ("pumps", "pumps@champion", "pumps@1"):
                for stream in (False, True):
                    reply = said(client, json.dumps(window("pump 1", tail)), model=model, stream=stream)
                    assert reply.status_code == 200 and reply.headers["x-shokunin-route"] == "local"
        assert said(client, "hello", model="pumps").status_code == 400
        assert not upstream.requests
        assert said(client, "hello", model="another").status_code == 200, "the upstream is there"
        assert len(upstream.requests) == 1
