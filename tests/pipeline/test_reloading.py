"""A server that follows the shelf on disk: promoted, rolled back, removed, new, broken; and nobody notices but by the answer."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from shokunin import registry
from shokunin.files import write_json
from shokunin.pipeline.answering import codec_of, open_specialist
from shokunin.pipeline.reloading import Reloader
from shokunin.serve.app import create_app
from shokunin.serve.connection import Connection
from shokunin.serve.limits import Limits
from shokunin.serve.parts import Parts
from shokunin.serve.process import bind
from shokunin.serve.served import Served
from shokunin.serve.shelf import Shelf
from shokunin.specialist import Specialist
from shokunin.task import Task, task_to_dict

LABELS = tuple(f"{name} {version}" for name in ("one", "two") for version in range(1, 6))
LATER = 10.0
"""Seconds after a change: by then its time tells."""


def publish(folder: Path, name: str, *, champion: bool = True, broken: bool = False) -> Specialist:
    """One more version, which answers its own name and number to everything; a broken one fails its golden sample."""
    with registry.making(folder, name) as (made, version):
        for part in ("weights", "side_files"):
            (made / part).mkdir()
        said = f"{name} {version}"
        scores = [math.log(0.9 if label == said else 0.1 / (len(LABELS) - 1)) for label in LABELS]
        write_json(made / "weights" / "constant.json", {"scores": scores})
        write_json(made / "side_files" / "labels.json", list(LABELS))
        value = "something else" if broken else said
        write_json(
            made / "side_files" / "golden.json", [{"inputs": {"text": "hello"}, "value": value, "confidence": 0.9}]
        )
        manifest = {
            "name": name,
            "version": version,
            "created": "2025-01-02T03:04:05Z",
            "task": task_to_dict(Task(name)),
            "labels": list(LABELS),
            "weights": {"form": "labelled_text", "format": "constant", "exact": True, "facts": {}},
            "steps": [],
            "parent": None,
        }
        registry.seal(made, manifest)
        published = registry.publish(made, folder, name, version)
    if champion:
        registry.promote(folder, name, version)
    return published


class Opened:
    """Opens specialists as the server does, and remembers which."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids: list[str] = []

    def __call__(self, found: Specialist) -> Served:
        self.ids.append(found.id)
        one = open_specialist(found)
        assert one.predictor is not None
        meant = registry.aliases(self.folder, one.name)
        aliases = tuple(alias for alias, version in meant.items() if version == one.version)
        return Served(one.id, one.name, one.version, aliases, one.task.kind, one.predictor, codec_of(one))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "specialists"
    place.mkdir()
    return place


@pytest.fixture
def opened(folder: Path) -> Opened:
    return Opened(folder)


def test_what_is_new_promoted_rolled_back_and_removed_is_followed(folder: Path, opened: Opened) -> None:
    shelf, told = Shelf({}), list[list[str]]()
    reloader = Reloader(folder, shelf, opened, told=lambda served: told.append(list(served)))
    assert reloader.look() == ((), ())
    publish(folder, "one")
    assert reloader.look() == (("one@1",), ())
    assert reloader.look() == ((), ())
    assert told == [["one@1"]]
    publish(folder, "one", champion=False)
    assert reloader.look() == ((), ()), "a version that nobody promoted is not served"
    registry.promote(folder, "one", 2)
    assert reloader.look() == (("one@2",), ("one@1",))
    assert shelf.names["one"] is shelf.names["one@champion"] is shelf.served["one@2"]
    publish(folder, "two", champion=False)
    assert reloader.look() == (("two@1",), ()), "without a champion the newest version is served"
    registry.rollback(folder, "one")
    assert reloader.look() == (("one@1",), ("one@2",))
    registry.remove(folder, "one@1", force=True)
    assert reloader.look() == (("one@2",), ("one@1",)), "the newest of what is left"
    registry.remove(folder, "one@2", force=True)
    registry.remove(folder, "two@1", force=True)
    assert reloader.look() == ((), ("one@2", "two@1"))
    assert not shelf.names


def test_an_alias_changes_without_opening_anything(folder: Path, opened: Opened) -> None:
    first = publish(folder, "one")
    shelf = Shelf({first.id: opened(first)})
    reloader = Reloader(folder, shelf, opened, opened={first.id: first.digest})
    assert reloader.look() == ((), ())
    predictor = shelf.served["one@1"].predictor
    registry.set_alias(folder, "one", "stable", 1)
    assert reloader.look() == (("one@1",), ("one@1",))
    assert shelf.names["one@stable"].predictor is predictor
    assert opened.ids == ["one@1"], "what the server opened at its start is not opened again"


def test_the_same_number_with_other_content_is_opened_again(folder: Path, opened: Opened) -> None:
    first = publish(folder, "one")
    shelf = Shelf({first.id: opened(first)})
    reloader = Reloader(folder, shelf, opened, opened={first.id: "0" * 64})
    assert reloader.look() == (("one@1",), ("one@1",))
    assert opened.ids == ["one@1", "one@1"]


def test_names_that_were_asked_for_and_what_is_served_whatever_is_on_disk(folder: Path, opened: Opened) -> None:
    for name in ("one", "one", "two"):
        publish(folder, name)
    elsewhere = opened(registry.read(folder, "two"))
    shelf = Shelf({})
    reloader = Reloader(folder, shelf, opened, names=["one@champion", "one@1"], fixed={elsewhere.id: elsewhere})
    reloader.look()
    assert set(shelf.served) == {"one@1", "one@2", "two@1"}
    registry.promote(folder, "one", 1)
    reloader.look()
    assert set(shelf.served) == {"one@1", "two@1"}
    assert shelf.names["one@champion"] is shelf.names["one@1"]


@pytest.mark.parametrize("how", ["golden", "bytes"])
def test_one_that_cannot_be_served_changes_nothing(
    folder: Path, opened: Opened, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    publish(folder, "one")
    publish(folder, "two")
    shelf = Shelf({})
    reloader = Reloader(folder, shelf, opened)
    reloader.look()
    before = shelf.served["one@1"]
    publish(folder, "one", broken=how == "golden")
    if how == "bytes":
        path = folder / "one" / "2" / "side_files" / "labels.json"
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"one 1", b"one 9"))
    publish(folder, "two")
    with caplog.at_level(logging.ERROR, "shokunin.serve"):
        assert reloader.look() == (("two@2",), ("two@1",)), "others go on"
        for _ in range(3):
            assert reloader.look() == ((), ())
    assert len(caplog.records) == 1, "said once"
    assert "one@2 cannot be served and changes nothing" in caplog.text
    assert shelf.names["one"] == shelf.names["one@champion"] == before
    publish(folder, "one")
    assert reloader.look() == (("one@3",), ("one@1",))


def test_a_version_that_was_kept_gives_up_the_alias_that_another_has(folder: Path, opened: Opened) -> None:
    publish(folder, "one")
    publish(folder, "one", champion=False)
    publish(folder, "one", champion=False, broken=True)
    shelf = Shelf({})
    reloader = Reloader(folder, shelf, opened, names=["one@candidate", "one@champion"])
    registry.set_alias(folder, "one", "candidate", 1)
    registry.set_alias(folder, "one", "champion", 2)
    reloader.look()
    registry.set_alias(folder, "one", "candidate", 2)
    registry.set_alias(folder, "one", "champion", 3)
    reloader.look()
    assert shelf.names["one@candidate"].id == "one@2"
    assert shelf.names["one@champion"].id == "one@2"


def test_a_damaged_alias_file_leaves_a_name_as_it_is(
    folder: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    first = publish(folder, "one")
    publish(folder, "two")
    shelf = Shelf({first.id: opened(first)})
    path = folder / "one" / "aliases.json"
    whole = path.read_bytes()
    path.write_bytes(b"{")
    reloader = Reloader(folder, shelf, opened, opened={first.id: first.digest})
    with caplog.at_level(logging.ERROR, "shokunin.serve"):
        assert reloader.look() == (("two@1",), ())
        reloader.look()
    assert len(caplog.records) == 1
    assert "one stays as it is" in caplog.text
    assert set(shelf.served) == {"one@1", "two@1"}
    path.write_bytes(whole)
    assert reloader.look() == ((), ())


def test_names_that_rest_are_not_read_again(folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder, "one")
    publish(folder, "two")
    reloader = Reloader(folder, Shelf({}), opened)
    reloader.look(now=time.time() + LATER)
    read: list[str] = []
    whole = registry.find

    def find(folder: Path, reference: str | Path) -> Path:
        read.append(str(reference))
        return whole(folder, reference)

    monkeypatch.setattr(registry, "find", find)
    reloader.look(now=time.time() + LATER)
    assert read == []
    registry.set_alias(folder, "two", "stable", 1)
    read.clear()
    reloader.look(now=time.time())  # just changed: it may change again within the same tick of the clock
    reloader.look(now=time.time() + LATER)
    reloader.look(now=time.time() + LATER)
    assert read == ["two", "two"]


def test_a_look_that_fails_is_not_the_last(
    folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(folder, "one")
    shelf = Shelf({})
    reloader = Reloader(folder, shelf, opened)
    look, asked = reloader.look, threading.Event()

    def first_fails() -> object:
        if not asked.is_set():
            asked.set()
            raise PermissionError("not now")
        return look()

    monkeypatch.setattr(reloader, "look", first_fails)
    with reloader.following(0.01):
        until(lambda: shelf.names)
    assert "could not be looked at" in caplog.text


def test_no_request_is_lost_or_mixed_up_while_versions_come_and_go(folder: Path, opened: Opened) -> None:
    """Eight threads ask a real server; meanwhile: promote, roll back, a new name, a broken version, a removed one."""
    for _ in range(2):
        publish(folder, "one")
    wrong: list[object] = []
    seen: Counter[str] = Counter()
    over = threading.Event()
    shelf = Shelf({}, limits=Limits(batch=4))
    reloader = Reloader(folder, shelf, opened)
    reloader.look()
    with running(shelf) as url, reloader.following(0.005):

        def ask(number: int) -> None:
            body = {"model": "one", "messages": [{"role": "user", "content": "hello"}]}
            with httpx.Client(base_url=url, timeout=30) as client:
                while not over.is_set():
                    if number % 2:
                        reply = client.post("/v1/chat/completions", json=body)
                        said = reply.json()["choices"][0]["message"]["content"] if reply.is_success else reply.text
                        system = reply.json().get("system_fingerprint") if reply.is_success else None
                    else:
                        reply = client.post("/v1/specialists/one/predict", json={"inputs": ["a", "b"]})
                        values = {a["value"] for a in reply.json()["answers"]} if reply.is_success else {reply.text}
                        said = " and ".join(values)
                        system = reply.json().get("specialist") if reply.is_success else None
                    answered = reply.headers.get("x-shokunin-specialist", "nobody")
                    seen[answered] += 1
                    if reply.status_code != 200 or system != answered or said.replace(" ", "@") != answered:
                        wrong.append((reply.status_code, answered, system, said))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        try:

            def served(version: int) -> None:
                until(lambda: f"one@{version}" in shelf.served)
                before = seen[f"one@{version}"]
                until(lambda: seen[f"one@{version}"] > before + 8)

            for _ in range(3):
                registry.promote(folder, "one", 1)
                served(1)
                registry.rollback(folder, "one")
                served(2)
            publish(folder, "one", broken=True)
            until(lambda: "one@3" in opened.ids)
            publish(folder, "two")
            until(lambda: "two@1" in shelf.served)
            served(2)
            publish(folder, "one")
            served(4)
            registry.remove(folder, "two@1", force=True)
            until(lambda: "two@1" not in shelf.served)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert wrong == []
    assert set(seen) == {"one@1", "one@2", "one@4"}


@contextmanager
def running(shelf: Shelf) -> Iterator[str]:
    """A real server of this shelf in a thread; gives its base URL."""
    listener = bind("127.0.0.1", 0)
    app = create_app(Parts(shelf))
    server = uvicorn.Server(uvicorn.Config(app, http=Connection, log_config=None, access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def until(true: object) -> None:
    """Wait until it is so, 20 seconds at most."""
    for _ in range(4000):
        if true():  # type: ignore[operator]
            return
        time.sleep(0.005)
    raise AssertionError("it never came to be")
