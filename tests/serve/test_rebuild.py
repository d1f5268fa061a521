"""A stream, cut anywhere, gives the body that the same request would have got without streaming."""

import gzip
import itertools
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.serve.rebuild import StreamRebuilder, whole_body
from shokunin.serve.scripted_reply import events, whole

HEAD = {"id": "chatcmpl-1", "created": 1700000000, "model": "large-1", "system_fingerprint": "fp"}


def rebuilt(*pieces: bytes, **how: Any) -> StreamRebuilder:
    copy = StreamRebuilder(**how)
    for piece in pieces:
        copy.feed(piece)
    return copy


def event(value: Any) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**HEAD, "object": "chat.completion.chunk", "choices": list(choices), **more}


def part(delta: dict[str, Any], index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": None, **more}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
@pytest.mark.parametrize("count", [1, 3])
def test_the_shapes_of_each_endpoint(path: str, count: int) -> None:
    asked = {"model": "large", "messages": [], "n": count, "stream_options": {"include_usage": True}}
    copy = rebuilt(*events(path, asked, "two words,\nand more"))
    assert copy.result() == json.loads(whole(path, asked, "two words,\nand more"))
    assert copy.complete
    assert copy.problem is None


# Any body, cut into any deltas, in any bytes.

TEXT = st.text(max_size=12)
LOGPROBS = st.lists(st.fixed_dictionaries({"token": TEXT, "logprob": st.floats(-9, 0), "top_logprobs": st.just([])}))
CALL = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.just("look_up"), "arguments": TEXT}),
    }
)
CHOICE = st.fixed_dictionaries(
    {
        "content": TEXT,
        "refusal": st.none() | TEXT,
        "reasoning_content": st.none() | TEXT,
        "calls": st.lists(CALL, max_size=3),
        "logprobs": st.none() | LOGPROBS,
        "reason": st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
    }
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A body, and a stream of it."""
    choices = draw(st.lists(CHOICE, min_size=1, max_size=3))
    queues = [_deltas(draw, i, choice) for i, choice in enumerate(choices)]
    order = draw(
        st.permutations([i for i, queue in enumerate(queues) for _ in queue])
    )  # choices take turns as they like
    parts = [queues[i].pop(0) for i in order]
    chunks = [chunk(p) for p in parts]
    body = {**HEAD, "object": "chat.completion", "choices": [_choice(i, c) for i, c in enumerate(choices)]}
    if draw(st.booleans()):
        body["usage"] = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        chunks = [{**c, "usage": None} for c in chunks] + [chunk(usage=body["usage"])]
    return body, _wire(draw, [json.dumps(c, indent=draw(st.sampled_from([None, 1]))) for c in chunks] + ["[DONE]"])


def _choice(index: int, choice: Mapping[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": choice["content"], "refusal": choice["refusal"]}
    if choice["reasoning_content"] is not None:
        message["reasoning_content"] = choice["reasoning_content"]
    if choice["calls"]:
        message["tool_calls"] = choice["calls"]
        message["content"] = message["content"] or None
    logprobs = None if choice["logprobs"] is None else {"content": choice["logprobs"], "refusal": None}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice["reason"]}


def _deltas(draw: st.DrawFn, index: int, choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts = [part({"role": "assistant", "content": ""}, index)]
    for name in ("reasoning_content", "content", "refusal"):
        if choice[name] is not None:
            parts += [part({name: piece}, index) for piece in _cut(draw, choice[name]) or [""]]
    for at, call in enumerate(choice["calls"]):
        head = {**call, "index": at, "function": {"name": call["function"]["name"], "arguments": ""}}
        parts.append(part({"tool_calls": [head]}, index))
        for piece in _cut(draw, call["function"]["arguments"]):
            parts.append(part({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}, index))
    if choice["logprobs"] is not None:
        for piece in _cut(draw, choice["logprobs"]) or [[]]:
            parts.append(part({}, index, logprobs={"content": piece, "refusal": None}))
    return [*parts, part({}, index, finish_reason=choice["reason"])]


def _cut(draw: st.DrawFn, value: Any) -> list[Any]:
    if not value:
        return []
    at = sorted(draw(st.sets(st.integers(1, len(value)), max_size=3)) | {0, len(value)})
    return [value[a:b] for a, b in itertools.pairwise(at)]


def _wire(draw: st.DrawFn, texts: Sequence[str]) -> bytes:
    """Events with line ends, comments, fields and cut data as the standard allows them."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    space = draw(st.sampled_from(["", " "]))
    out = draw(st.sampled_from(["", "\ufeff"]))
    for text in texts:
        out += draw(st.sampled_from(["", f": ping{end}{end}", f"event: message{end}", f"id: 1{end}retry: 5{end}", end]))
        out += "".join(f"data:{space}{line}{end}" for line in text.split("\n")) + end
    return out.encode()


def _pieces(data: bytes, at: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(a % (len(data) + 1) for a in at)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@settings(max_examples=150, deadline=None)
@given(streams(), st.lists(st.integers(0, 1 << 20), max_size=40))
def test_any_body_in_any_deltas_in_any_bytes(stream: tuple[dict[str, Any], bytes], at: list[int]) -> None:
    body, data = stream
    copy = rebuilt(*_pieces(data, at))
    assert copy.result() == body
    assert copy.complete
    assert copy.problem is None


@settings(max_examples=25, deadline=None)
@given(streams())
def test_byte_by_byte(stream: tuple[dict[str, Any], bytes]) -> None:
    body, data = stream
    assert rebuilt(*(data[i : i + 1] for i in range(len(data)))).result() == body


WORDS = st.sampled_from(
    [b"data:", b"data: ", b"\n", b"\r", b"\r\n", b"{", b"}", b"[DONE]", b'{"choices":[', b'{"index":', b'"delta":{"content":',
     b'"tool_calls":[', b'"id":"a"', b"null", b"1e999", b"-1", b'"x"', b",", b"]", b":", b'{"type":"response.created",',
     b'"response":', b'{"type":"response.output_item.added","output_index":', b'"item":', b'"error":', b"\xff", b"Infinity"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS | st.binary(max_size=5), max_size=30))
def test_no_bytes_are_too_strange(words: list[bytes]) -> None:
    data = b"".join(words)
    at_once, piecewise = rebuilt(data), rebuilt(*words)
    assert at_once.result() == piecewise.result()
    assert (at_once.complete, at_once.problem) == (piecewise.complete, piecewise.problem)


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "delta", "content", "tool_calls", "id", "role", "function", "logprobs", "name"]),
            inner,
        )
    ),
    max_leaves=6,
)
EVENT = st.dictionaries(
    st.sampled_from(["choices", "object", "usage", "error", "id", "type", "response", "output_index", "item", "delta"]),
    VALUE | st.sampled_from(["response.created", "response.output_text.delta", "response.output_item.added"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENT | st.builds(lambda parts: chunk(*parts), st.lists(VALUE, max_size=2)), max_size=4))
def test_no_event_is_too_strange(given_events: list[Any]) -> None:
    copy = rebuilt(*map(event, given_events))
    body = copy.result()
    assert body is None or isinstance(body, dict)


# What upstreams do.


def test_tool_calls_without_an_index() -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{"}},
    ]
    copy = rebuilt(
        event(chunk(part({"role": "assistant", "tool_calls": calls}))),
        event(chunk(part({"tool_calls": [{"function": {"arguments": "}"}}]}))),
    )
    calls[1]["function"]["arguments"] = "{}"
    body = copy.result()
    assert body is not None
    assert body["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}


def test_a_repeated_role_and_name_are_said_once() -> None:
    def call(pieces: str) -> bytes:
        one = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": pieces}}
        return event(chunk(part({"role": "assistant", "tool_calls": [one]})))

    body = rebuilt(call('{"a"'), call(":1}")).result()
    assert body is not None
    message = body["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert message["tool_calls"] == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]


def test_a_stream_without_its_end() -> None:
    said = [event(chunk(part({"content": "half an "}))), event(chunk(part({"content": "answer"})))]
    copy = rebuilt(*said, b'data: {"id": "chatcm')
    body = copy.result()
    assert body is not None
    assert body["choices"][0]["message"]["content"] == "half an answer"
    assert body["choices"][0]["finish_reason"] is None
    assert not copy.complete
    assert not copy.finished
    assert copy.problem is None


def test_an_end_that_is_not_said() -> None:
    copy = rebuilt(event(chunk(part({"content": "all"}, finish_reason="stop"))).rstrip())
    body = copy.result()
    assert body is not None
    assert body["choices"][0]["finish_reason"] == "stop"
    assert copy.finished
    assert not copy.complete


def test_an_error_in_the_middle() -> None:
    error = {"message": "overloaded", "type": "server_error", "param": None, "code": None}
    copy = rebuilt(event(chunk(part({"content": "half"}))), event({"error": error}))
    body = copy.result()
    assert body is not None
    assert body["choices"][0]["message"]["content"] == "half"
    assert (copy.problem, copy.complete) == ("error_event", False)
    assert rebuilt(event({"error": error})).result() == {"error": error}


def test_what_is_no_json_is_left_out() -> None:
    copy = rebuilt(event(b"{oops"), event(chunk(part({"content": "fine"}))), event(b"[DONE]"))
    body = copy.result()
    assert body is not None
    assert body["choices"][0]["message"]["content"] == "fine"
    assert copy.problem == "malformed"


def test_a_response_that_breaks_off() -> None:
    asked = {"model": "large", "input": "hello there"}
    said = list(events("/v1/responses", asked, "one two three"))
    copy = rebuilt(*said[:5])
    body = copy.result()
    assert body is not None
    assert body["status"] == "in_progress"
    assert body["output"][0]["content"] == [{"type": "output_text", "text": "one two"}]
    assert not copy.complete
    almost = rebuilt(*said[:-1]).result()
    assert almost is not None
    assert almost["output"] == json.loads(whole("/v1/responses", asked, "one two three"))["output"]


def test_a_stream_that_is_too_long_is_given_up_and_lets_go_of_everything() -> None:
    copy = StreamRebuilder(limit=1000)
    for _ in range(100):
        copy.feed(event(chunk(part({"content": "x"}))))
    assert copy.result() is None
    assert copy.problem == "too_large"
    assert not copy._part
    assert copy._chunks is None


def test_a_line_without_end_is_bounded_too() -> None:
    copy = StreamRebuilder(limit=1000)
    for _ in range(100):
        copy.feed(b"data: " + b"x" * 20)
    assert (copy.result(), copy.problem) == (None, "too_large")


DEFLATED = [("gzip", gzip.compress), ("deflate", zlib.compress)]


@pytest.mark.parametrize(("encoding", "compress"), DEFLATED)
def test_an_encoded_stream_is_read(encoding: str, compress: Any) -> None:
    data = compress(event(chunk(part({"content": "read"}))) + event(b"[DONE]"))
    copy = rebuilt(*(data[i : i + 7] for i in range(0, len(data), 7)), encoding=encoding)
    body = copy.result()
    assert body is not None
    assert body["choices"][0]["message"]["content"] == "read"
    assert copy.complete


def test_a_bomb_does_not_unfold() -> None:
    copy = rebuilt(gzip.compress(b"data: " + bytes(50 << 20)), encoding="gzip", limit=1 << 20)
    assert (copy.result(), copy.problem) == (None, "too_large")


@pytest.mark.parametrize(("encoding", "data"), [("br", b"x"), ("gzip", b"no gzip")])
def test_an_encoding_that_cannot_be_read(encoding: str, data: bytes) -> None:
    copy = rebuilt(data, encoding=encoding)
    assert (copy.result(), copy.problem) == (None, "malformed")


def test_a_character_cut_in_two() -> None:
    copy = rebuilt(
        event(rb'{"choices":[{"delta":{"content":"a\ud83d"}}]}'),
        event(rb'{"choices":[{"delta":{"content":"\ude00"}}]}'),
    )
    body = copy.result()
    assert body is not None
    assert body["choices"][0]["message"]["content"] == "a\U0001f600"


@pytest.mark.parametrize("depth", [400, 900, 5000])
def test_an_event_nested_deep_does_no_harm(depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    copy = rebuilt(event(b'{"choices":[{"delta":%b}]}' % deep), event(b"[DONE]"))
    assert (copy.result() is None) == (copy.problem == "malformed")
    assert copy.complete


def test_a_body_that_is_no_stream() -> None:
    body = {"choices": [], "text": "é"}
    data = json.dumps(body).encode()
    assert whole_body(data) == body
    assert whole_body(gzip.compress(data), encoding="gzip") == body
    assert whole_body(zlib.compress(data), encoding="deflate") == body


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"<html>", ""),
        (b"[1]", ""),
        (b"\xff{}", ""),
        (b"[" * 100_000, ""),
        (b"{}", "br"),
        (b"{}", "gzip"),
        (gzip.compress(b" " * 2000), "gzip"),
        (b" " * 2000, ""),
    ],
)
def test_a_body_that_the_record_cannot_hold(data: bytes, encoding: str) -> None:
    assert whole_body(data, encoding=encoding, limit=1000) is None
