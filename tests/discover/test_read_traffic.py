"""Traffic from files: every form of file gives the same calls, every record is counted, memory stays bounded."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import logged
from shokunin.discover import documents as documents_module
from shokunin.discover import window as window_module
from shokunin.discover.documents import documents
from shokunin.discover.lines import NOT_AN_OBJECT, NOT_JSON, NOT_UTF8, TOO_LONG, lines
from shokunin.discover.read_traffic import Traffic, read_traffic
from shokunin.discover.recorded_exchange import call_of_exchange
from shokunin.discover.tables import NEVER_CLOSED, WIDTH, table_rows
from shokunin.errors import DataError
from shokunin.exchange import Exchange
from shokunin.recorded.call import Call
from shokunin.recorded.record import ERROR, NO_REPLY, NOT_ASKED, UNKNOWN

SYSTEM = "You sort messages of our shop."


def exchange(number: int, reply: str = "delivery", **more: Any) -> dict[str, Any]:
    value = logged.gateway(SYSTEM, f"Where is my parcel {number}?", reply)
    return {**value, "response": {**value["response"], "id": f"r{number}"}, **more}


EXCHANGES = [exchange(i) for i in range(7)]


def write(path: Path, values: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in values), encoding="utf-8")
    return path


def ids(traffic: Iterable[Call]) -> list[str]:
    return [call.id for call in traffic]


def told(traffic: Traffic) -> dict[str, list[str]]:
    """The reasons and their places after a pass whose sums are right."""
    counts = traffic.counts
    assert counts.read == counts.used + sum(a.count for a in counts.set_aside.values())
    assert traffic.done == traffic.total
    return {reason: aside.places for reason, aside in counts.set_aside.items()}


def as_table(values: list[dict[str, Any]], separator: str = ",") -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator)
    writer.writerow(values[0])
    for value in values:
        writer.writerow(json.dumps(v, indent=1) if isinstance(v, (dict, list)) else v for v in value.values())
    return file.getvalue()


FORMS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "lines": lambda v: "\n".join(map(json.dumps, v)),
    "lines with blank ones": lambda v: "\r\n\n".join(map(json.dumps, v)) + "\n\n",
    "array": json.dumps,
    "array laid out": lambda v: json.dumps(v, indent=2),
    "array of a line each": lambda v: "[\n" + ",\n".join(map(json.dumps, v)) + "\n]\n",
    "page": lambda v: json.dumps({"object": "list", "data": v, "meta": {"page": 1}}),
    "page laid out": lambda v: json.dumps({"meta": {"page": 1}, "data": v}, indent=4),
    "objects laid out": lambda v: "\n".join(json.dumps(one, indent=4) for one in v),
    "pages": lambda v: json.dumps({"data": v[:3]}) + "\n" + json.dumps({"data": v[3:]}) + "\n",
    "csv": as_table,
    "tsv": lambda v: as_table(v, "\t"),
}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_what_form_a_file_has_its_content_tells(form: str, packed: bool, mark: str, tmp_path: Path) -> None:
    data = (mark + FORMS[form](EXCHANGES)).encode()
    path = tmp_path / "odd.name"
    path.write_bytes(gzip.compress(data) if packed else data)
    traffic = read_traffic([path])
    first = list(traffic)
    assert ids(first) == [f"r{i}" for i in range(7)] and told(traffic) == {}
    assert [call.messages[1][1] for call in first] == [f"Where is my parcel {i}?" for i in range(7)]
    assert list(traffic) == first, "a second pass gives the same"
    assert traffic.total == path.stat().st_size


def test_every_shape_can_be_mixed_in_one_folder(tmp_path: Path) -> None:
    for name, shape in logged.WRITERS.items():
        write(tmp_path / "logs" / f"{name}.jsonl", [shape(SYSTEM, f"{name} {i}", "delivery") for i in range(3)])
    spans = [logged.otlp(SYSTEM, f"otlp {i}", "delivery") for i in range(4)]
    write(tmp_path / "logs" / "deep" / "er" / "trace.json", [logged.resource_spans(*spans)])
    write(tmp_path / "logs" / ".hidden.jsonl", EXCHANGES)
    write(tmp_path / "logs" / ".git" / "x.jsonl", EXCHANGES)
    write(tmp_path / "logs" / "notes.md", ["# Notes"])
    traffic = read_traffic([tmp_path / "logs"])
    calls = list(traffic)
    assert len(calls) == 3 * len(logged.WRITERS) + 4 and told(traffic) == {}
    assert [source.name for source in traffic.sources] == sorted(s.name for s in traffic.sources)
    assert [path.name for path in traffic.passed_over] == ["notes.md"]
    assert list(traffic) == calls


def test_records_without_an_id_are_called_by_their_place(tmp_path: Path) -> None:
    rows = [logged.fine_tuning(SYSTEM, f"{i}", "delivery") for i in range(3)]
    write(tmp_path / "a" / "x.jsonl", rows)
    write(tmp_path / "b" / "x.jsonl", rows[:1])
    assert ids(read_traffic([tmp_path / "a"])) == ["x.jsonl:1", "x.jsonl:2", "x.jsonl:3"]
    both = ids(read_traffic([tmp_path / "a" / "x.jsonl", tmp_path / "b"]))
    assert both == [*(f"{tmp_path}/a/x.jsonl:{i}" for i in (1, 2, 3)), f"{tmp_path}/b/x.jsonl:1"]
    page = write(tmp_path / "page.json", [{"data": rows}, {"data": rows[:1]}])
    assert ids(read_traffic([page])) == ["page.json:1", "page.json:1.1", "page.json:1.2", "page.json:2"]
    table = tmp_path / "t.csv"
    table.write_text(as_table(rows))
    assert ids(read_traffic([table])) == ["t.csv:2", "t.csv:3", "t.csv:4"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", EXCHANGES)
    (tmp_path / "again.jsonl").symlink_to(path)
    assert len(list(read_traffic([path, tmp_path, path]))) == 7


def test_what_is_appended_after_the_first_look_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", EXCHANGES)
    traffic = read_traffic([path])
    with path.open("a") as file:
        file.write(json.dumps(exchange(8)) + "\n")
    assert len(list(traffic)) == len(list(traffic)) == 7 and told(traffic) == {}


def test_broken_records_are_counted_with_their_reasons_and_places(tmp_path: Path) -> None:
    values: list[Any] = [exchange(i) for i in range(40)]
    values[1] = '{"timestamp": 1,'
    values[3] = "[1, 2]"
    values[5] = {"level": "info", "text": "started"}
    values[7] = exchange(7, response={"error": {"message": "busy"}})
    values[9] = exchange(9, response=None)
    values[11] = exchange(11, route="audit")
    for place in range(20, 30):
        values[place] = "nonsense"
    path = write(tmp_path / "x.jsonl", values)
    raw = path.read_bytes().split(b"\n")
    raw[13] = raw[13].replace(b"parcel", b"par\xffcel")
    path.write_bytes(b"\n".join(raw))
    traffic = read_traffic([path])
    assert len(list(traffic)) == 40 - 17 == traffic.counts.used and traffic.counts.read == 40
    assert told(traffic) == {
        NOT_JSON: ["x.jsonl:2", "x.jsonl:21", "x.jsonl:22", "x.jsonl:23", "x.jsonl:24"],
        NOT_AN_OBJECT: ["x.jsonl:4"],
        UNKNOWN: ["x.jsonl:6"],
        ERROR: ["x.jsonl:8"],
        NO_REPLY: ["x.jsonl:10"],
        NOT_ASKED: ["x.jsonl:12"],
        NOT_UTF8: ["x.jsonl:14"],
    }
    summary = traffic.counts.to_dict()
    assert (summary["in"], summary["used"]) == (40, 23)
    assert summary["set_aside"][0] == {"reason": NOT_JSON, "records": 11, "first": told(traffic)[NOT_JSON]}


def test_line_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    text = "one\u2028two\u2029three\x85four\x0bfive"
    rows = [logged.fine_tuning(SYSTEM, text, "delivery"), logged.fine_tuning(SYSTEM, "x", "refund")]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    assert [call.messages[1][1] for call in read_traffic([path])] == [text, "x"]


# -- large and broken documents ---------------------------------------------------------------------------------------

LIMIT = 3000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text comes in pieces of a few characters, so that every token is cut somewhere."""
    monkeypatch.setattr(window_module, "CHUNK", 7)


def read(text: str | bytes) -> list[Any]:
    data = text if isinstance(text, bytes) else text.encode()
    return [value for _, value in documents(io.BytesIO(data), longest=LIMIT)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text(min_size=1, max_size=3), VALUES, max_size=4), max_size=6)


@given(OBJECTS, st.sampled_from([None, 1]), st.booleans(), st.sampled_from([1, 2, 3, 5, 64]))
@settings(max_examples=200, deadline=None)
def test_a_document_gives_its_objects_wherever_it_is_cut(
    values: list[Any], indent: int | None, ascii: bool, chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_module, "CHUNK", chunk)
        assert read(json.dumps(values, indent=indent, ensure_ascii=ascii)) == values
        apart = "\n".join(json.dumps(value, indent=indent, ensure_ascii=ascii) for value in values)
        assert read(apart) == values


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_in_an_object_that_is_too_long_to_be_held(indent: int | None) -> None:
    rows = [{"id": i, "text": "x" * 200} for i in range(40)]
    page = {"object": "list", "first": {"data": [1, '"]}\\']}, "n": 1.5, "data": rows, "last": [{"a": "]"}]}
    assert read(json.dumps(page, indent=indent)) == rows
    spans = [logged.otlp(SYSTEM, f"{i}", "delivery") for i in range(30)]
    assert read(json.dumps(logged.resource_spans(*spans), indent=indent)) == [
        {"scope": {"name": "openai"}, "spans": [one]} for one in spans
    ]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "giant",
    [
        {"id": 0, "text": "y" * LIMIT},
        {"id": 0, "text": '\\"' * LIMIT},
        {"id": 0, "of": [["]", '"}']] * LIMIT},
        {"data": {"x": "y" * LIMIT}},
        {"data": [], "more": list(range(LIMIT))},
        ["y" * LIMIT],
        {"k" * LIMIT: 1},
    ],
)
def test_one_giant_record_is_set_aside_and_the_others_are_read(giant: Any, indent: int | None) -> None:
    before, after = {"id": 1, "text": "a"}, {"id": 2, "text": "b"}
    expected = [before, TOO_LONG, after]
    assert read(json.dumps([before, giant, after], indent=indent)) == expected
    assert read("\n".join(json.dumps(one, indent=indent) for one in (before, giant, after))) == expected


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("layout", ["one line", "a line each", "laid out"])
def test_reading_goes_on_behind_a_broken_record(layout: str) -> None:
    rows = [{"id": i, "parts": [{"id": "inner"}, {"text": "x"}]} for i in range(6)]
    text = {
        "one line": json.dumps(rows),
        "a line each": "[" + ",\n".join(map(json.dumps, rows)) + "]",
        "laid out": json.dumps(rows, indent=2),
    }[layout]
    place = text.index('"id": 3')
    found = read(text[:place] + text[place:].replace('"text": "x"', '"text": x"', 1))
    assert [v["id"] for v in found if isinstance(v, dict) and "parts" in v] == [0, 1, 2, 4, 5]
    assert found.count(NOT_JSON) == 1
    cut = read(text[: text.index('"id": 5') + 9])
    assert cut == [*rows[:5], NOT_JSON]


@pytest.mark.usefixtures("small")
def test_bytes_that_are_no_utf8_in_a_document() -> None:
    rows = [{"id": 1, "text": "a"}, {"id": 2, "text": "QQ"}, {"id": 3, "text": "日本"}, {"id": 4, "text": "\udc80"}]
    text = json.dumps(rows[:3], ensure_ascii=False).encode().replace(b"QQ", b"\xff")
    assert read(text) == [rows[0], NOT_UTF8, rows[2]]
    assert read(json.dumps(rows)) == rows, "a surrogate that is escaped is no wrong byte"


@given(st.binary(max_size=60) | st.text(alphabet='[]{},:"\\ \n1ax', max_size=60).map(str.encode))
@settings(max_examples=500, deadline=None)
def test_no_text_makes_a_reader_raise_or_hang(data: bytes) -> None:
    for reader in (documents, lines):
        for number, value in reader(io.BytesIO(data)):
            assert number > 0 and isinstance(value, (dict, str))
    try:
        for number, value in table_rows(io.BytesIO(data)):
            assert number > 1 and isinstance(value, (dict, str))
    except DataError as error:
        assert "header" in str(error)


def test_lists_within_lists_without_end() -> None:
    assert read("[" * 100_000) == [NOT_JSON]
    assert set(read('{"data":' * 100_000 + "1" + "}" * 100_000)) <= {NOT_JSON, TOO_LONG}


class Endless(io.RawIOBase):
    """A log of any size that is never held."""

    def __init__(self, head: bytes, row: bytes, count: int, tail: bytes = b"") -> None:
        self._pieces = iter([head, *([row] * count), tail])
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._rest or next(self._pieces, b"")
        size = min(len(piece), len(buffer))
        buffer[:size], self._rest = piece[:size], piece[size:]
        return size


@pytest.mark.parametrize(
    ("head", "row", "tail", "expected"),
    [
        (b"[", json.dumps(EXCHANGES[0]).encode() + b",", b"]", dict),
        (b'{"data":[', json.dumps(EXCHANGES[0]).encode() + b",", b"]}", dict),
        (b'{"text":"', b"x" * 1000, b'"}', TOO_LONG),
        (b'{"rows":{"a":[', b'"x",' * 250, b'"x"]}}', TOO_LONG),
        (b'["', b"x" * 1000, b'"]', TOO_LONG),
        (b"x", b"x" * 1000, b"x", NOT_JSON),
        (b"[", b"[" * 1000, b"", NOT_JSON),
    ],
)
def test_memory_is_bounded_however_large_a_document_is(head: bytes, row: bytes, tail: bytes, expected: Any) -> None:
    stream = io.BufferedReader(Endless(head, row, 8_000, tail), 1 << 16)
    tracemalloc.start()
    try:
        found = {v if isinstance(v, str) else type(v) for _, v in documents(stream, longest=200_000)}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == {expected} and peak < 3e6, f"{peak:,} bytes for 8 million"


def test_memory_is_bounded_however_long_a_line_is() -> None:
    stream = io.BufferedReader(Endless(b'{"a":"', b"x" * 1000, 40_000), 1 << 16)
    tracemalloc.start()
    try:
        found = list(lines(stream))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [(1, TOO_LONG)] and peak < 20e6, f"{peak:,} bytes for 40 million"


def test_a_giant_line_is_set_aside_and_the_others_are_read(tmp_path: Path) -> None:
    giant = exchange(3, reply="x" * (9 << 20))
    path = write(tmp_path / "x.jsonl", [*EXCHANGES, giant, exchange(8)])
    traffic = read_traffic([path])
    assert ids(traffic) == [*(f"r{i}" for i in range(7)), "r8"] and told(traffic) == {TOO_LONG: ["x.jsonl:8"]}


# -- tables -----------------------------------------------------------------------------------------------------------


def test_a_table_of_observations_with_line_feeds_in_cells(tmp_path: Path) -> None:
    rows = [logged.langfuse(f"Line one\n\nline {i}", 'He said "ok", twice', '{"a": 1}') for i in range(5)]
    path = tmp_path / "export.csv"
    path.write_text(as_table(rows))
    calls = list(read_traffic([path]))
    assert [c.messages[0][1] for c in calls] == [f"Line one\n\nline {i}" for i in range(5)]
    assert {c.messages[1][1] for c in calls} == {'He said "ok", twice'} and {c.reply for c in calls} == {'{"a": 1}'}
    assert calls[0].prompt_tokens == logged.READ and calls[0].cost == logged.COST


def test_broken_lines_of_a_table() -> None:
    table = 'input,output\n"a",b\n"a",b,c\n\n"a ""x""\nb",c\n\xff,b\n"never, closed\n'.encode("latin-1")
    assert list(table_rows(io.BytesIO(table))) == [
        (2, {"input": "a", "output": "b"}),
        (3, WIDTH),
        (4, {"input": 'a "x"\nb', "output": "c"}),
        (5, NOT_UTF8),
        (6, NEVER_CLOSED),
    ]


def test_a_giant_cell_of_a_table_is_passed_over() -> None:
    cell = b'"' + (b"x" * 999 + b"\n") * 9000 + b'"'
    table = b"input,output\na,b\n" + cell + b",b\nc,d\n"
    assert list(table_rows(io.BytesIO(table))) == [
        (2, {"input": "a", "output": "b"}),
        (3, TOO_LONG),
        (4, {"input": "c", "output": "d"}),
    ]


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty: there is no record"),
        (b"\n \n\n", "has no record"),
        (b"text,label\nhello,greeting\n", "is not a log of a language model"),
        (b'{"text": "hello", "label": "greeting"}\n' * 2000, "read are .*Langfuse"),
        (b"2024-05-01 INFO started\n" * 20, "20 times not JSON"),
        (b"[1, 2, 3]", "3 times JSON, but not an object"),
        (b"PK\x03\x04" + bytes(99), "a ZIP archive; unpack it first"),
        (b"\xff\xfe" + "{}".encode("utf-16-le"), "UTF-16; save it as UTF-8"),
        (b"{\x00}", "zero bytes"),
        (b"\x1f\x8b" + bytes(99), "cannot be read to its end"),
        (gzip.compress(json.dumps(exchange(1)).encode() * 99)[:-9], "cannot be read to its end"),
    ],
)
def test_what_is_no_log_is_refused_at_once(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_traffic([path])
    assert "x.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"response": {"error": {"message": "busy"}}}, "of 3 records, all of them are error replies"),
        ({"response": None}, "of 3 records, none of them has a reply"),
        ({"request": None, "response": None}, "let the tool keep prompts and replies"),
    ],
)
def test_a_log_without_anything_to_learn_from(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [exchange(i, **more) for i in range(3)])
    traffic = read_traffic([path])
    for _ in range(2):
        with pytest.raises(DataError, match=message):
            list(traffic)
    assert traffic.counts.read == 3


def test_several_reasons_why_there_is_no_call(tmp_path: Path) -> None:
    values = [exchange(1, response=None), exchange(2, response=None), exchange(3, response={"error": "x"})]
    with pytest.raises(
        DataError, match=r"3 records none can be used: 2 times no reply \(x.jsonl:1\); 1 times an error"
    ):
        list(read_traffic([write(tmp_path / "x.jsonl", values)]))


def test_a_log_behind_a_file_that_is_none(tmp_path: Path) -> None:
    write(tmp_path / "access.log", ["GET / 200"] * 2000)
    write(tmp_path / "calls.jsonl", EXCHANGES)
    traffic = read_traffic([tmp_path])
    assert len(list(traffic)) == 7
    assert traffic.counts.read == 2007 and list(told(traffic)) == [NOT_JSON]


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'nowhere\.jsonl' does not exist"):
        read_traffic([Path("nowhere.jsonl")])
    with pytest.raises(DataError, match=r"there is no log in .*expected files that end in \.jsonl"):
        read_traffic([tmp_path])
    write(tmp_path / "notes.md", ["# Notes"])
    with pytest.raises(DataError, match="there is no log in"):
        read_traffic([tmp_path])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read_traffic([tmp_path / "pipe"])


def test_files_in_a_folder_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", EXCHANGES)
    for name in ("b.jsonl", "c.jsonl"):
        (tmp_path / name).symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"cannot read .*b.jsonl' \(No such file.*c.jsonl"):
        read_traffic([tmp_path])


# -- our own record ---------------------------------------------------------------------------------------------------


def test_an_exchange_is_the_call_that_its_export_is() -> None:
    value = exchange(1)
    kept = Exchange(**{**value, "route": "local", "endpoint": "/v1/chat/completions"})
    call = call_of_exchange(kept)
    assert isinstance(call, Call)
    assert (call.id, call.local, call.client, call.workload) == ("r1", True, "shop", "inquiries")
    assert (call.timestamp, call.seconds, call.cost) == (logged.START, logged.SECONDS, logged.COST)
    assert call_of_exchange(Exchange(id="a", timestamp=1.0, route="audit", request=value["request"])) == NOT_ASKED
    embedded = Exchange(id="e", timestamp=1.0, endpoint="/v1/embeddings", request={"input": "x"}, response={"data": []})
    assert call_of_exchange(embedded) == "not a call of a language model"


def test_limits_fit_together() -> None:
    assert documents_module.LONGEST > window_module.CHUNK
