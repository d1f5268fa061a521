"""The log: what a line says and never says, that a slow or broken reader harms nobody, and that it can be turned off."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from serve_fakes import until

from shokunin.errors import UsageError
from shokunin.exchange import Exchange
from shokunin.serve import logs
from shokunin.serve.logs import FIELDS, Logs, Style, setup_logging

EXCHANGE = Exchange(
    id="4f00000001", timestamp=1_764_000_000.25, workload_id="inquiries", client_id="shop", model="auto", route="local",
    request={"messages": [{"role": "user", "content": "SECRET QUESTION"}]}, response={"choices": "SECRET REPLY"},
    value="SECRET VALUE", specialist="inquiries@3", confidence=0.971, seconds=0.0042, first_byte_seconds=0.004,
    prompt_tokens=30, completion_tokens=3, audit_rate=0.1,
)  # fmt: skip


@contextmanager
def log(style: Style, **options: Any) -> Iterator[tuple[Logs, io.StringIO]]:
    stream = io.StringIO()
    one = setup_logging(style, stream=stream, **options)
    try:
        yield one, stream
    finally:
        one.close()


def written(style: Style, *exchanges: Exchange) -> list[str]:
    with log(style) as (one, stream):
        for exchange in exchanges:
            one.observe(exchange)
        one.close()
        text = stream.getvalue()
    assert "SECRET" not in text
    return text.splitlines()


def test_json_is_one_object_an_exchange_with_every_field_but_the_contents() -> None:
    first, second = written(
        "json", EXCHANGE, replace(EXCHANGE, id="2", route="refused", status=404, problem="not_found")
    )
    line = json.loads(first)
    assert set(line) == {"time", "level", "event", *FIELDS}
    assert line["time"] == "2025-11-24T16:00:00.250Z"
    assert (line["event"], line["id"], line["route"], line["workload_id"]) == (
        "exchange", "4f00000001", "local", "inquiries",
    )  # fmt: skip
    assert (line["seconds"], line["confidence"], line["cost"]) == (0.0042, 0.971, None)
    assert json.loads(second)["problem"] == "not_found"


def test_text_is_a_line_for_people() -> None:
    lines = written(
        "text",
        EXCHANGE,
        replace(EXCHANGE, route="escalated", upstream="openai", seconds=0.8, cost=0.0012),
        replace(EXCHANGE, route="audit", upstream="openai", agrees=False),
        replace(EXCHANGE, route="refused", workload_id="", specialist="", confidence=None, status=404, problem="nope"),
    )
    assert [line[10:] for line in lines] == [
        "200  local      inquiries  by inquiries@3  4 ms  confidence 0.97  for shop  4f00000001",
        "200  escalated  inquiries  by openai  800 ms  confidence 0.97  $0.001200  for shop  4f00000001",
        "200  audit      inquiries  by openai  4 ms  confidence 0.97  differs  for shop  4f00000001",
        "404  refused    auto  4 ms  nope  for shop  4f00000001",
    ]


@pytest.mark.parametrize("style", ["json", "text"])
def test_names_that_clients_send_stay_in_their_line(style: Style) -> None:
    evil = "a\n\r\x1b[31mred\u2028b\ud800" + "x" * 10_000
    (line,) = written(style, replace(EXCHANGE, model=evil, workload_id=evil, problem=evil))
    assert "\x1b" not in line
    assert len(line) < 2_000
    line.encode("utf-8")


def test_off_is_silent_about_exchanges_but_not_about_failures() -> None:
    with log("off") as (one, stream):
        one.observe(EXCHANGE)
        logging.getLogger("shokunin.serve").error("it %s", "broke")
        one.close()
        assert stream.getvalue()[10:] == "error: it broke\n"


def test_failures_are_json_too_with_their_traceback_in_the_same_line() -> None:
    with log("json") as (one, stream):
        try:
            raise RuntimeError("no\nluck")
        except RuntimeError:
            logging.getLogger("uvicorn.error").exception("request %s failed", "4f")
        one.close()
        line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("log", "error", "uvicorn.error")
    assert line["message"] == "request 4f failed"
    assert "RuntimeError: no\nluck" in line["traceback"]
    assert stream.getvalue().count("\n") == 1


def test_after_the_end_logging_is_as_before() -> None:
    before = (list(logging.getLogger().handlers), logging.getLogger("shokunin").level, threading.active_count())
    with log("json") as (one, _):
        one.observe(EXCHANGE)
    one.close()
    assert (list(logging.getLogger().handlers), logging.getLogger("shokunin").level, threading.active_count()) == before


def test_a_file_is_for_its_owner_and_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    for _ in range(2):
        one = setup_logging("json", file=file)
        one.observe(EXCHANGE)
        one.close()
    assert len(file.read_text().splitlines()) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    one = setup_logging("json", file=file)
    one.observe(EXCHANGE)
    while not file.read_text():
        pass
    file.rename(tmp_path / "server.log.1")
    one.observe(EXCHANGE)
    one.close()
    assert len(file.read_text().splitlines()) == 1


def test_a_file_that_cannot_be_had_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the log to"):
        setup_logging("json", file=tmp_path / "no" / "where")
    with pytest.raises(UsageError, match="no log style 'xml'"):
        setup_logging("xml")  # type: ignore[arg-type]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_once_and_costs_lines_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("w") as full:
        one = setup_logging("json", stream=full)
        for _ in range(50):
            one.observe(EXCHANGE)
        one.close()
        with pytest.raises(OSError):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert capsys.readouterr().err.count("the log cannot be written") == 1


def test_a_reader_that_stops_reading_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "WAITING", 10)
    go, lines = threading.Event(), []

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            go.wait(20)
            lines.append(text)
            return len(text)

    one = setup_logging("json", stream=Stuck())
    for n in range(40):
        one.observe(replace(EXCHANGE, id=str(n)))
    one.close(seconds=0.05)  # gives up, the answers do not wait
    go.set()
    until(lambda: not any(thread.name == "log end" for thread in threading.enumerate()))
    ids = [int(json.loads(line)["id"]) for line in lines]
    assert ids == sorted(set(ids))
    assert len(ids) in (10, 11)  # ten that waited, and the one being written if it was taken in time


def test_the_next_line_says_how_many_found_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "WAITING", 5)
    go, taken, lines = threading.Event(), threading.Semaphore(0), []

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            taken.release()
            go.wait(20)
            lines.append(text)
            return len(text)

    one = setup_logging("json", stream=Slow())
    one.observe(EXCHANGE)
    assert taken.acquire(timeout=10)  # the first is being written, five more can wait
    for _ in range(12):
        one.observe(EXCHANGE)
    go.set()
    for _ in range(5):
        assert taken.acquire(timeout=10)
    one.observe(replace(EXCHANGE, id="after"))
    one.close()
    assert [json.loads(line).get("lines_dropped_before") for line in lines] == [None] * 6 + [7]
