"""Rebuild: from the events of a stream the one body that the same request would have got without streaming.

Reads chat completions, completions and responses, told apart by what their events say. Bytes may come in any pieces. What
is kept is bounded: beyond `limit` bytes the stream is given up, which `problem` says, and the stream itself is not touched.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic_core import from_json

from shokunin.serve.rebuild_response import ResponseParts

Problem = Literal["too_large", "malformed", "error_event"]

LIMIT = 16 << 20
"""Bytes of a stream, decoded; some fifty thousand chunks of one token."""
_ONCE = frozenset({"role", "id", "type", "name", "index", "object", "finish_reason", "format", "expires_at"})
"""Texts that a delta states; all other texts of a delta are pieces to be put together."""
_TRANSPORT = frozenset({"choices", "usage", "object", "obfuscation", "error"})
"""Fields of a chunk that are of the stream itself, or are put together apart."""
_WHOLE = {"chat.completion.chunk": "chat.completion"}


class StreamRebuilder:
    """Takes a stream's bytes as they pass by.

    Args:
        limit: bytes of the stream that are looked at.
        encoding: its content encoding: "", `gzip` or `deflate`; a stream in another one cannot be read.
    """

    def __init__(self, limit: int = LIMIT, *, encoding: str = "") -> None:
        self.complete = False
        """The stream has said that it is over."""
        self.problem: Problem | None = None
        """Why the result is not, or not all, that was meant; the first reason that was found."""
        self._room = limit
        self._decoder = _decoder(encoding)
        self._part: list[bytes] = []
        self._after_cr = False
        self._started = False
        self._data: list[bytes] = []
        self._chunks: _Chunks | None = None
        self._response: ResponseParts | None = None
        self._error: dict[str, Any] | None = None
        if encoding and self._decoder is None:
            self._give_up("malformed")

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if self._room >= 0 and data:
            if self._decoder is not None:
                try:
                    data = self._decoder.decompress(data, self._room + 1)
                except zlib.error:
                    return self._give_up("malformed")
            self._room -= len(data)
            if self._room < 0:
                return self._give_up("too_large")
            for line in self._lines(data):
                self._read(line)
        return None

    def result(self) -> dict[str, Any] | None:
        """The body; to be asked for at the stream's end. None: there is none, or the stream was given up.

        Where the stream broke off it is what had come until then. If that is only an error, the error is the body.
        """
        if self._room < 0:
            return None
        rest, self._part = b"".join(self._part), []
        found = self.problem
        self._read(rest)  # some upstreams leave out the last line breaks
        self._read(b"")
        if self.problem == "malformed":
            self.problem = found  # half an event is how a stream breaks off
        try:
            body = self._chunks.body() if self._chunks else self._response.body() if self._response else None
        except RecursionError:
            self._give_up("malformed")
            return None
        return body if body is not None else self._error

    @property
    def finished(self) -> bool:
        """Every choice has said why it ends, even if the stream has not said that it is over."""
        return self.complete or (self._chunks is not None and self._chunks.finished)

    def _lines(self, data: bytes) -> list[bytes]:
        """The lines that have come to their end: at CR, LF or both. What follows is kept."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data:
            self._part.append(data)
            return []
        lines = data.split(b"\n")
        if self._part:
            lines[0] = b"".join([*self._part, lines[0]])
        if not self._started:
            self._started = True
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        self._part = [lines.pop()]
        return lines

    def _read(self, line: bytes) -> None:
        """One line: a piece of an event's data, its end, or what does not matter here."""
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif not line and self._data:
            data, self._data = b"\n".join(self._data), []
            if data.strip() == b"[DONE]":
                self.complete = True
                return
            try:
                self._take(json.loads(data))
            except (ValueError, RecursionError, TypeError, AttributeError, LookupError, ArithmeticError):
                self._found("malformed")

    def _take(self, event: Any) -> None:
        if not isinstance(event, dict):
            raise TypeError("an event is an object")
        if str(event.get("type", "")).startswith("response."):
            self._response = self._response or ResponseParts()
            self.complete = self._response.add(event) or self.complete
        elif event.get("error") or event.get("type") == "error":
            self._error = self._error or {"error": event.get("error") or event}
            self._found("error_event")
        else:
            self._chunks = self._chunks or _Chunks()
            self._chunks.add(event)

    def _give_up(self, problem: Problem) -> None:
        self._room = -1
        self._part, self._data, self._chunks, self._response = [], [], None, None
        self._found(problem)

    def _found(self, problem: Problem) -> None:
        self.problem = self.problem or problem


def whole_body(data: bytes, *, encoding: str = "", limit: int = LIMIT) -> dict[str, Any] | None:
    """The body of a reply that is no stream, for the record; None if it is no JSON object or cannot be read."""
    if encoding:
        decoder = _decoder(encoding)
        if decoder is None:
            return None
        try:
            data = decoder.decompress(data, limit + 1)
        except zlib.error:
            return None
    if len(data) > limit:
        return None
    try:
        try:
            body = from_json(data)  # three times as quick, which tells in replies of many megabytes
        except ValueError:
            body = json.loads(data)  # takes halves of surrogate pairs too
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


class _Chunks:
    """The chunks of a chat completion or a completion, put together."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._object = ""
        self._usage: Any = None
        self._choices: dict[int, dict[str, Any]] = {}

    @property
    def finished(self) -> bool:
        """Every choice has said why it ends."""
        return bool(self._choices) and all(choice.get("finish_reason") for choice in self._choices.values())

    def add(self, chunk: Mapping[str, Any]) -> None:
        """One more."""
        self._object = str(chunk.get("object") or self._object)
        for name, value in chunk.items():
            if name not in _TRANSPORT and (value or name not in self._head):
                self._head[name] = value
        self._usage = chunk.get("usage") or self._usage
        for part in chunk.get("choices") or ():
            choice = self._choices.setdefault(int(part.get("index") or 0), {})
            for name, value in part.items():
                if name == "delta":
                    _merge(choice.setdefault("message", {}), value or {})
                elif name == "text":
                    _merge(choice, {"text": value})
                elif name == "logprobs":
                    _merge(choice, {"logprobs": value})
                elif value is not None or name not in choice:
                    choice[name] = value

    def body(self) -> dict[str, Any]:
        """The whole."""
        choices = [self._choice(index, self._choices[index]) for index in sorted(self._choices)]
        body = {**self._head, "object": _WHOLE.get(self._object, self._object), "choices": choices}
        return {**body, "usage": self._usage} if self._usage is not None else body

    def _choice(self, index: int, parts: Mapping[str, Any]) -> dict[str, Any]:
        choice = {"index": index, "logprobs": None, "finish_reason": None, **_joined(parts)}
        if "message" in choice:
            message = {"role": "assistant", "content": None, "refusal": None, **choice["message"]}
            if message.get("tool_calls") or message.get("function_call"):
                message["content"] = message["content"] or None
            choice["message"] = message
        return choice


class _Pieces(list[str]):
    """A text that is still growing."""


class _Indexed(dict[Any, Any]):
    """A list whose entries come in pieces, each with its place."""


def _merge(whole: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add what a delta says to what is there."""
    for name, value in delta.items():
        before = whole.get(name)
        if value is None:
            whole.setdefault(name, None)
        elif isinstance(value, str) and name not in _ONCE:
            if before is None:
                whole[name] = before = _Pieces()
            before.append(value)
        elif isinstance(value, str):
            whole[name] = before or value
        elif isinstance(value, dict):
            if before is None:
                whole[name] = before = {}
            _merge(before, value)
        elif isinstance(value, list) and (name == "tool_calls" or _has_places(value)):
            if before is None:
                whole[name] = before = _Indexed()
            for part in value:
                _merge(before.setdefault(_place(before, part), {}), part)
        elif isinstance(value, list) and before is not None:
            before.extend(value)
        else:
            whole[name] = value


def _has_places(parts: list[Any]) -> bool:
    return bool(parts) and all(isinstance(part, dict) and isinstance(part.get("index"), int) for part in parts)


def _place(there: _Indexed, part: Mapping[str, Any]) -> Any:
    """Where a piece of a tool call belongs. Some upstreams give no index: then a new id is a new call."""
    if isinstance(part.get("index"), int):
        return part["index"]
    if part.get("id"):
        known = [place for place, call in there.items() if call.get("id") == part["id"]]
        return known[0] if known else len(there)
    return max(0, len(there) - 1)


def _joined(value: Any) -> Any:
    """The pieces joined, places turned into order."""
    if isinstance(value, _Pieces):
        return _text(value)
    if isinstance(value, _Indexed):
        return [{k: _joined(v) for k, v in value[at].items() if k != "index"} for at in sorted(value)]
    if isinstance(value, dict):
        return {name: _joined(one) for name, one in value.items()}
    return value  # lists are as they came


def _text(pieces: list[str]) -> str:
    """The pieces as one text; a character that was cut into its two UTF-16 halves is whole again."""
    text = "".join(pieces)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def _decoder(encoding: str) -> Any:
    if encoding in ("gzip", "x-gzip"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    return zlib.decompressobj() if encoding == "deflate" else None
