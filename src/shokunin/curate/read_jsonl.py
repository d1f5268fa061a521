"""JSONL and OpenAI fine-tuning files: one JSON object a line, split on line feed only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from shokunin.curate.encoding import sniff_encoding
from shokunin.curate.table import LONGEST_CELL, SET_ASIDE_BYTES, SET_ASIDE_LONG, Broken, Row, Table, as_text, fault
from shokunin.errors import DataError

LONGEST_LINE = 8 * LONGEST_CELL
SAMPLE_LINES = 1000
MOST_COLUMNS = 1000
"""A file with more different keys is no table; every row would carry all of them."""
TOO_LONG = b"\x00"
CHAT = ("text", "label", "system")


def read_jsonl(path: Path) -> Table:
    """A JSONL file as a Table; an OpenAI fine-tuning file (`messages`) gives the columns `text`, `label`, `system`.

    Of a conversation, the last user message is the text, the last assistant message after it the label (one with
    `weight` 0 does not count), the system or developer messages are kept aside. Values that are no strings are written
    as JSON; a missing key or null is an empty cell. A line that is not a JSON object is set aside. What kind of file it
    is, its first lines say; a key may turn up anywhere, so the whole file is read for the columns.

    Raises:
        DataError: the file is empty or binary, none of its first lines is a JSON object, or it has too many keys.
    """
    encoding = sniff_encoding(path)
    chats = plain = 0
    problem = ""
    for _, line in islice(_lines(path, encoding), SAMPLE_LINES):
        value = _parse(line, encoding)
        if isinstance(value, str):
            problem = problem or value
            continue
        chats, plain = (chats + 1, plain) if _is_chat(value) else (chats, plain + 1)
    if not chats and not plain:
        raise DataError(f"{str(path)!r} has no JSON object in its first lines ({problem}); expected one object a line")
    chat = chats > plain
    columns = _columns(path, encoding, chat)
    about = {"name": path.name, "format": "openai_chat" if chat else "jsonl", "encoding": encoding}

    def start(broken: Broken) -> Iterator[tuple[str, Row]]:
        return _rows(path, encoding, columns, chat, broken)

    return Table(columns, about, start)


def objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(origin, object) for every line that holds one, with the values as the file has them; origins as in the Table."""
    encoding = sniff_encoding(path)
    for number, line in _lines(path, encoding):
        value = _parse(line, encoding)
        if not isinstance(value, str):
            yield f"{path.name}:{number}", value


def _columns(path: Path, encoding: str, chat: bool) -> tuple[str, ...]:
    columns = dict.fromkeys(CHAT if chat else ())
    for _, line in _lines(path, encoding):
        value = _parse(line, encoding)
        if isinstance(value, str) or (chat and not _is_chat(value)):
            continue
        columns.update(dict.fromkeys(key for key in value if not chat or key != "messages"))
        if len(columns) > MOST_COLUMNS:
            raise DataError(
                f"{str(path)!r} has more than {MOST_COLUMNS:,} different keys; expected rows with the same few keys"
            )
    return tuple(columns)


def _rows(path: Path, encoding: str, columns: tuple[str, ...], chat: bool, broken: Broken) -> Iterator[tuple[str, Row]]:
    for number, line in _lines(path, encoding):
        origin = f"{path.name}:{number}"
        value = _parse(line, encoding)
        if isinstance(value, str):
            broken.append((origin, value))
            continue
        if chat:
            if not _is_chat(value):
                broken.append((origin, "no list of `messages`"))
                continue
            value = _conversation(value)
        row = {name: as_text(value.get(name)) for name in columns}
        if problem := fault(row):
            broken.append((origin, problem))
            continue
        yield origin, row


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


def _is_chat(value: Mapping[str, Any]) -> bool:
    messages = value.get("messages")
    return isinstance(messages, list) and all(isinstance(m, dict) for m in messages)


def _conversation(value: Mapping[str, Any]) -> dict[str, Any]:
    text, label, system = "", "", []
    for message in value["messages"]:
        role, content = message.get("role"), _content(message.get("content"))
        if role in ("system", "developer"):
            system.append(content)
        elif role == "user":
            text, label = content, ""
        elif role == "assistant" and message.get("weight", 1) != 0:
            label = content
    others = {k: v for k, v in value.items() if k != "messages" and k not in CHAT}
    return {"text": text, "label": label, "system": "\n".join(system), **others}


def _content(content: Any) -> str:
    if isinstance(content, list):  # content parts: only the texts can be read
        parts = [p.get("text") for p in content if isinstance(p, dict) and p.get("type") in ("text", "input_text")]
        return "".join(p for p in parts if isinstance(p, str))
    return content if isinstance(content, str) else ""
