"""How the records stand in a file: one a line, in a JSON document, or in a table. Its content tells, not its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from shokunin.discover.documents import documents
from shokunin.discover.lines import Found, lines, object_in
from shokunin.discover.tables import separator_of, table_rows
from shokunin.errors import DataError

Reader = Callable[[IO[bytes]], Iterator[Found]]

HEAD = 1 << 20
"""Bytes that are looked at."""
_LINES = 100
_MARK = b"\xef\xbb\xbf"
_COLUMNS = frozenset(
    (
        *("input", "output", "messages", "prompt", "completion", "request", "response", "reqPayload", "respPayload"),
        *("request_body", "response_body", "startTime", "start_time", "call_type", "attributes", "inputs", "outputs"),
    )
)
_BINARIES = (
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"PAR1", "a Parquet file; export it as JSONL"),
    (b"SQLite format 3", "an SQLite database; export the table as JSONL"),
    (b"(\xb5\x2f\xfd", "compressed by zstd; unpack it first"),
    (b"BZh", "compressed by bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed by xz; unpack it first"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xfe", "UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16; save it as UTF-8"),
)


def reader_of(head: bytes, *, is_whole: bool) -> Reader:
    """What reads a file that begins so.

    Args:
        head: its first `HEAD` bytes, unpacked.
        is_whole: whether that is all of it.

    Raises:
        DataError: it is no text; the message says what it is.
    """
    for magic, what in _BINARIES:
        if head.startswith(magic):
            raise DataError(f"it is {what}")
    if b"\x00" in head:
        raise DataError("it is no text, for it has zero bytes")
    text = head.removeprefix(_MARK).lstrip()
    if text.startswith(b"["):
        return documents
    if text.startswith(b"{"):
        return lines if _is_lines(text, is_whole) else documents
    return table_rows if _is_header(text[: text.find(b"\n")] if b"\n" in text else text) else lines


def _is_lines(text: bytes, is_whole: bool) -> bool:
    """Whether there is an object on a quarter of the lines; in JSON that is laid out, there is on hardly any."""
    found = text.split(b"\n", _LINES)
    whole = found if is_whole and len(found) <= _LINES else found[:-1]
    written = [line for line in whole if line.strip()]
    return 4 * sum(isinstance(object_in(line), dict) for line in written) >= max(1, len(written))


def _is_header(line: bytes) -> bool:
    try:
        told = line.decode()
    except UnicodeDecodeError:
        return False
    names = {name.strip(' "\r') for name in told.split(separator_of(told))}
    return len(names & _COLUMNS) >= 2 or names == {"messages"}
