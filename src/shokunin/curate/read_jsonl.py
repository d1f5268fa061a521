"""JSONL, OpenAI fine-tuning files and recorded traffic: one JSON object a line, split on line feed only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from shokunin.curate.conversations import CHAT, columns_of, recorded, row_of, wordings_of
from shokunin.curate.encoding import sniff_encoding
from shokunin.curate.table import LONGEST_CELL, SET_ASIDE_BYTES, SET_ASIDE_LONG, Broken, Row, Table, as_text, fault
from shokunin.errors import DataError
from shokunin.recorded import LISTS, conversation_of, record_of, records_in
from shokunin.recorded.record import NO_MODEL_CALL, UNKNOWN
from shokunin.template import Template
from shokunin.template.found import Conversation

LONGEST_LINE = 8 * LONGEST_CELL
SAMPLE_LINES = 1000
MOST_COLUMNS = 1000
"""A file with more different keys is no table; every row would carry all of them."""
TOO_LONG = b"\x00"
SAMPLE_CHATS = 20_000
FEW = 200


def read_jsonl(path: Path, templates: Sequence[Template] = (), *, find_template: bool = False) -> Table:
    """A JSONL file as a Table.

    A fine-tuning file (`messages`), or traffic in any of the shapes that `recorded` reads, gives the columns `text`, `label`,
    `system`: the last user message, the last assistant message after it, the system or developer messages. By templates
    it gives their inputs instead of `text`, and as `label` the answer in the reply. Values that are no strings are written
    as JSON; a missing key or null is an empty cell. A line that is not a JSON object is set aside. What kind of file it
    is, its first lines say; a key may turn up anywhere, so the whole file is read for the columns.

    Args:
        path: the file.
        templates: how the conversations in it are phrased; if none of the first is, they are read without.
        find_template: look for the templates in the file.

    Raises:
        DataError: the file is empty or binary, none of its first lines is a JSON object, or it has too many keys.
    """
    encoding = sniff_encoding(path)
    chats = exchanges = plain = 0
    problem = ""
    for _, value in islice(_values(path, encoding), SAMPLE_LINES):
        if isinstance(value, str):
            problem = problem or value
        elif (record := recorded(value)) is not None and (record.messages or record.fault == NO_MODEL_CALL):
            chats, exchanges = chats + 1, exchanges + (not record.is_example)
        else:
            plain += 1
    if not chats and not plain:
        raise DataError(f"{str(path)!r} has no JSON object in its first lines ({problem}); expected one object a line")
    about: dict[str, Any] = {"name": path.name, "format": "jsonl", "encoding": encoding}
    if chats <= plain:
        columns = _columns(path, encoding, None)
        return Table(columns, about, lambda broken: _rows(path, encoding, columns, None, broken))
    traffic = 2 * exchanges > chats
    about["format"] = "traffic" if traffic else "openai_chat"
    first = list(islice(_conversations(path, encoding), FEW))
    used = tuple(templates) if any(t.match(c.messages) is not None for t in templates for c in first) else ()
    if find_template and not used:
        used = wordings_of(islice(_conversations(path, encoding), SAMPLE_CHATS), traffic=traffic)
    if used:
        about["template"] = used[0].fingerprint
    columns = _columns(path, encoding, used)
    return Table(columns, about, lambda broken: _rows(path, encoding, columns, used, broken), templates=used)


def objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(origin, object) for every line that holds one, with the values as the file has them; origins as in the Table."""
    encoding = sniff_encoding(path)
    for origin, value in _values(path, encoding):
        if not isinstance(value, str):
            yield origin, value


def _conversations(path: Path, encoding: str) -> Iterator[Conversation]:
    for _, value in _values(path, encoding):
        record = None if isinstance(value, str) else recorded(value)
        if record is not None and record.messages:
            yield conversation_of(record)


def _columns(path: Path, encoding: str, templates: Sequence[Template] | None) -> tuple[str, ...]:
    """The columns, of conversations if `templates` are given, be they none."""
    chat = templates is not None
    columns = dict.fromkeys((*(templates[0].inputs if templates else ("text",)), *CHAT) if chat else ())
    for _, value in _values(path, encoding):
        if isinstance(value, str) or (chat and recorded(value) is None):
            continue
        columns.update(dict.fromkeys(columns_of(value) if chat else value))
        if len(columns) > MOST_COLUMNS:
            raise DataError(
                f"{str(path)!r} has more than {MOST_COLUMNS:,} different keys; expected rows with the same few keys"
            )
    return tuple(columns)


def _rows(
    path: Path, encoding: str, columns: tuple[str, ...], templates: Sequence[Template] | None, broken: Broken
) -> Iterator[tuple[str, Row]]:
    for origin, value in _values(path, encoding):
        if templates is not None and not isinstance(value, str):
            record = recorded(value)
            value = UNKNOWN if record is None else row_of(value, record, templates)
        if isinstance(value, str):
            broken.append((origin, value))
            continue
        row = {name: as_text(value.get(name)) for name in columns}
        if problem := fault(row):
            broken.append((origin, problem))
            continue
        yield origin, row


def _values(path: Path, encoding: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """(origin, object or reason) for every line; of one that holds a list of recorded conversations each of them."""
    for number, line in _lines(path, encoding):
        value, origin = _parse(line, encoding), f"{path.name}:{number}"
        if isinstance(value, str) or LISTS.isdisjoint(value):
            yield origin, value
            continue
        parts = [dict(part) for part in records_in(value)]
        if record_of(parts[0]) is None:
            parts = [value]
        for place, part in enumerate(parts):
            yield f"{origin}.{place}" if place else origin, part


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, bytes]]:
    """(line number, line) for the lines that are not blank; an oversized line comes as TOO_LONG."""
    if encoding.startswith(("utf-16", "utf-32")):
        raise DataError(f"{str(path)!r} is {encoding}; JSONL is UTF-8: save it as UTF-8")
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) >= LONGEST_LINE and not line.endswith(b"\n"):
                _skip_line(file)
                line = TOO_LONG
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip(b" \t\r\n"):
                yield number, line


def _skip_line(file: BinaryIO) -> None:
    while (more := file.readline(LONGEST_LINE)) and not more.endswith(b"\n"):
        pass


def _parse(line: bytes, encoding: str) -> dict[str, Any] | str:
    """The object on a line, or why there is none."""
    if line == TOO_LONG:
        return SET_ASIDE_LONG
    try:
        value = json.loads(line.decode("utf-8" if encoding == "utf-8-sig" else encoding))
    except UnicodeDecodeError:
        return SET_ASIDE_BYTES
    except RecursionError:
        return "JSON nested too deeply"
    except ValueError:  # also a number with more digits than Python converts
        return "not JSON"
    return value if isinstance(value, dict) else "JSON, but not an object"
