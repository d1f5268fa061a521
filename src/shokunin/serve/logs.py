"""Logs: one line for each finished exchange, for programs or for people; names and figures, never bodies or keys.

Lines leave in a thread of their own, since whoever reads them may be slow; when too many wait, lines are dropped and
the next one that gets through says how many.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener, WatchedFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO

from shokunin.errors import UsageError
from shokunin.exchange import Exchange

Style = Literal["json", "text", "off"]
STYLES: tuple[Style, ...] = ("json", "text", "off")
WAITING = 10_000
"""Lines that may wait to be written."""
FIELDS = (
    "id", "endpoint", "model", "workload_id", "client_id", "route", "specialist", "upstream", "status", "confidence",
    "seconds", "first_byte_seconds", "prompt_tokens", "completion_tokens", "cost", "problem", "audit_rate", "parent",
    "agrees",
)  # fmt: skip
"""What a line says of an exchange; the request, the response and the answer's value are not among them."""
_LONGEST = 100
_log = logging.getLogger("shokunin.exchange")


def setup_logging(style: Style, *, file: Path | None = None, stream: TextIO | None = None) -> Logs:
    """Write this process's log: problems in every style, a line for each exchange unless the style is `off`.

    Args:
        style: `json`, one object a line; `text`, for people; `off`, problems only, as text.
        file: where to write, created for its owner's eyes only and opened anew when it was moved away; by default
            `stream`.
        stream: by default the standard error.

    Raises:
        UsageError: there is no such style, or the file cannot be written.
    """
    if style not in STYLES:
        raise UsageError(f"there is no log style {style!r}; known: {', '.join(STYLES)}")
    target: logging.Handler = _Stream(stream or sys.stderr) if file is None else _open_file(file)
    target.setFormatter(_Json() if style == "json" else _Text())
    return Logs(style, target)


class Logs:
    """The log of a running server."""

    def __init__(self, style: Style, target: logging.Handler) -> None:
        self._on = style != "off"
        self._target = target
        self._closed = False
        waiting: queue.Queue[Any] = queue.Queue(WAITING)
        self._handler = _Bounded(waiting)
        self._writer = _Writer(waiting, target)
        self._level = logging.getLogger("shokunin").level
        logging.getLogger().addHandler(self._handler)
        logging.getLogger("shokunin").setLevel(logging.INFO)
        self._writer.start()

    def observe(self, exchange: Exchange) -> None:
        """Write a line for one finished exchange."""
        if self._on:
            # The bodies must not wait with the line: they are large.
            _log.info("exchange", extra={"facts": {"timestamp": exchange.timestamp, **_facts(exchange)}})

    def close(self, seconds: float = 2.0) -> None:
        """Write what waits, and stop; a reader that takes longer than `seconds` loses the rest."""
        if self._closed:
            return
        self._closed = True
        logging.getLogger().removeHandler(self._handler)
        logging.getLogger("shokunin").setLevel(self._level)
        # The writer finishes what it has, however long that takes; the reader may have stopped reading.
        thread = threading.Thread(target=self._writer.stop, name="log end", daemon=True)
        thread.start()
        thread.join(seconds)
        if not thread.is_alive():
            self._target.close()


class _Bounded(QueueHandler):
    """Hands records over as they are (they stay in this process), and drops them when too many wait."""

    def __init__(self, waiting: queue.Queue[Any]) -> None:
        super().__init__(waiting)
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """No formatting in the thread that serves."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put it in the queue, with the number of those before it that found no place."""
        record.dropped = self._dropped
        try:
            self.queue.put_nowait(record)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1


class _Writer(QueueListener):
    """The thread that writes; a target that fails costs lines, and the error output hears of it once."""

    def __init__(self, waiting: queue.Queue[Any], target: logging.Handler) -> None:
        super().__init__(waiting, target)
        self._waiting = waiting
        self._failing = False

    def enqueue_sentinel(self) -> None:
        """The last word, for which there may be no place yet."""
        self._waiting.put(None)

    def handle(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            super().handle(record)
            self._failing = False
        except (OSError, ValueError) as error:
            if not self._failing:
                self._failing = True
                with suppress(OSError, ValueError):
                    sys.stderr.write(f"warning: the log cannot be written, lines are lost: {error}\n")


class _Stream(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Leave it to the writer."""
        raise


class _File(WatchedFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Leave it to the writer."""
        raise


class _Json(logging.Formatter):
    """One object a line, ASCII only: no text in it can end the line or drive a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {"time": _utc(record.created), "level": record.levelname.lower()}
        facts: dict[str, Any] | None = getattr(record, "facts", None)
        if facts is not None:
            line |= {"event": "exchange", **facts, "time": _utc(facts["timestamp"])}
            del line["timestamp"]
        else:
            line |= {"event": "log", "logger": record.name, "message": record.getMessage()}
            if record.exc_info:
                line["traceback"] = self.formatException(record.exc_info)
        if dropped := getattr(record, "dropped", 0):
            line["lines_dropped_before"] = dropped
        return json.dumps(line)


class _Text(logging.Formatter):
    """For people who watch."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or a traceback's lines."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        facts: dict[str, Any] | None = getattr(record, "facts", None)
        if facts is not None:
            text = _sentence(**facts)
        else:
            text = f"{record.levelname.lower()}: {record.getMessage()}"
            if record.exc_info:
                text += "\n" + self.formatException(record.exc_info)
        if dropped := getattr(record, "dropped", 0):
            text += f"  ({dropped} lines before this one were dropped)"
        return f"{clock}  {text}"


def _sentence(
    *,
    route: str,
    specialist: str,
    upstream: str,
    confidence: float | None,
    cost: float | None,
    agrees: bool | None,
    **more: Any,
) -> str:
    who = specialist if route in ("local", "fallback") else upstream or specialist
    outcome = "no answer" if agrees is None else "agrees" if agrees else "differs"
    parts = [
        f"{more['status']}  {route:<9}",
        _printable(more["workload_id"] or more["model"]) or "-",
        f"by {_printable(who)}" if who else "",
        f"{1000 * more['seconds']:.0f} ms",
        f"confidence {confidence:.2f}" if confidence is not None else "",
        f"${cost:.6f}" if cost is not None else "",
        outcome if route == "audit" else "",
        _printable(more["problem"] or ""),
        f"for {_printable(more['client_id'])}",
        more["id"],
    ]
    return "  ".join(part for part in parts if part)


def _facts(exchange: Exchange) -> dict[str, Any]:
    return {name: _short(getattr(exchange, name)) for name in FIELDS}


def _open_file(file: Path) -> logging.Handler:
    try:
        os.close(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        return _File(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"cannot write the log to {str(file)!r}: {error.strerror}; name another file") from error


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"


def _short(value: object) -> object:
    return value[:_LONGEST] if isinstance(value, str) else value


def _printable(text: str) -> str:
    """A name as it may be shown in a terminal: what a client sent can neither break the line nor colour it."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:_LONGEST])
