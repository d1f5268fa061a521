"""What is written of an exchange: one ASCII line for the journal, one row for the database, and back again.

A line is `checksum TAB head TAB request TAB response LF`, each part JSON that holds no tab or line break. The bodies
are parts of their own, so that they go from the request path into the database and into an export without being parsed
again. The checksum tells a line that a power cut or a bad disk has changed.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

from shokunin.exchange import Exchange

BODY_BYTES = 1 << 20
"""A body that takes more as JSON is replaced by a note of its size."""
NAME_CHARS = 256
"""Names are cut here: a client may write anything into `model` or `metadata.workload_id`, and indexes have a limit."""
NAMES = ("id", "workload_id", "client_id", "endpoint", "model", "route", "specialist", "upstream")
OPTIONAL_NAMES = ("problem", "parent")
NUMBERS = ("timestamp", "seconds")
OPTIONAL_NUMBERS = ("confidence", "first_byte_seconds", "cost", "audit_rate")
COUNTS = ("status", "prompt_tokens", "completion_tokens")
BODIES = ("request", "response")
HEAD = (*NAMES, *OPTIONAL_NAMES, *NUMBERS, *OPTIONAL_NUMBERS, *COUNTS, "value", "audited", "agrees")
LARGEST = 10**12
"""An upstream may count any number of tokens; sums of these stay within what databases count with."""

_write = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode


def line_of(exchange: Exchange, *, bodies: bool = True, body_bytes: int = BODY_BYTES) -> bytes:
    """The journal's line.

    Args:
        exchange: what happened.
        bodies: whether request and reply are kept.
        body_bytes: the size from which a body is replaced by a note of its size.
    """
    head = {name: value for name in HEAD if (value := getattr(exchange, name)) is not None}
    try:
        parts = _write(head)
    except ValueError:
        parts = _write(_without_nan(head))
    for body in (exchange.request, exchange.response):
        parts += "\t" + (_body(body, body_bytes) if bodies else "null")
    data = parts.encode("ascii")
    return b"%08x\t%b\n" % (zlib.crc32(data), data)


def row_of(line: bytes) -> dict[str, Any]:
    """The database's row of a journal line (without its line break); it can be stored whatever the client sent.

    Raises:
        ValueError: the line is not as it was written.
    """
    checksum, _, data = line.partition(b"\t")
    if checksum != b"%08x" % zlib.crc32(data):
        raise ValueError("the checksum is not that of the line")
    head, request, response = data.decode("ascii").split("\t")
    values = json.loads(head)
    row: dict[str, Any] = {name: _name(values.get(name, "")) for name in NAMES}
    row |= {name: None if values.get(name) is None else _name(values[name]) for name in OPTIONAL_NAMES}
    row |= {name: _number(values.get(name)) or 0.0 for name in NUMBERS}
    row |= {name: _number(values.get(name)) for name in OPTIONAL_NUMBERS}
    row |= {name: _count(values.get(name)) for name in COUNTS}
    value = values.get("value")
    row["value"] = None if value is None else storable(str(value))
    for name in ("audited", "agrees"):
        row[name] = None if values.get(name) is None else bool(values[name])
    row["request"] = None if request == "null" else request
    row["response"] = None if response == "null" else response
    return row


def exchange_of(row: Mapping[str, Any]) -> Exchange:
    """The exchange of a row; bodies that the row lacks are None."""
    values = {name: row[name] for name in HEAD}
    for name in BODIES:
        text = row.get(name)
        values[name] = None if text is None else json.loads(text)
    return Exchange(**values)


def storable(text: str) -> str:
    """`text` with what no database keeps (NUL, half of a surrogate pair) replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def name_of(text: str) -> str:
    """A name as it is stored, for comparing with stored ones."""
    return storable(text[:NAME_CHARS])


def _name(value: Any) -> str:
    return name_of(str(value))


def _body(body: Mapping[str, Any] | None, limit: int) -> str:
    if body is None:
        return "null"
    plain = body if isinstance(body, dict) else dict(body)
    try:
        try:
            text = _write(plain)
        except ValueError:
            text = _write(_without_nan(plain))
    except (TypeError, ValueError, RecursionError):
        return _write({"shokunin_omitted": "not_json"})
    return text if len(text) <= limit else _write({"shokunin_omitted": "too_large", "bytes": len(text)})


def _without_nan(value: dict[str, Any]) -> Any:
    """The same with null for NaN and infinities, which Python's JSON has and JSON has not."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and abs(value) < 1e300 and math.isfinite(value) else None


def _count(value: Any) -> int:
    return int(max(-LARGEST, min(LARGEST, value))) if isinstance(value, (int, float)) and value == value else 0
