"""Embeddings without a server: the wire, and the queue in which requests take turns."""

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest
from embedding_fakes import Letters
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from serve_fakes import until

from shokunin.serve.embedding import SLICE, Embeddings, encoder_card
from shokunin.serve.embeddings_wire import EmbeddingsRequest, check_dimensions, embeddings, parse_embeddings
from shokunin.serve.refusal import Refusal


def ask(**fields: Any) -> EmbeddingsRequest:
    return parse_embeddings(json.dumps({"model": "letters", "input": "here", **fields}).encode(), inputs=3, chars=20)


def test_every_field_of_the_official_client_is_known() -> None:
    from openai.types.embedding_create_params import EmbeddingCreateParams

    assert set(EmbeddingCreateParams.__annotations__) == set(EmbeddingsRequest.model_fields)


@pytest.mark.parametrize(("given_", "texts"), [("a", ["a"]), (["a"], ["a"]), (["a", "b"], ["a", "b"])])
def test_one_text_or_several(given_: Any, texts: list[str]) -> None:
    assert ask(input=given_).texts == texts


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": ""}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": None}, "input", "invalid_value"),
        ({"input": ["a", ""]}, "input", "invalid_value"),
        ({"input": ["a", 5]}, "input[1]", "invalid_value"),
        ({"input": [1, 2]}, "input", "unsupported_value"),
        ({"input": [[1, 2], [3]]}, "input", "unsupported_value"),
        ({"input": ["a"] * 4}, "input", "invalid_value"),
        ({"input": ["a" * 11] * 2}, "input", "context_length_exceeded"),
        ({"encoding_format": "int8"}, "encoding_format", "invalid_value"),
        ({"dimensions": 0}, "dimensions", "invalid_value"),
        ({"prompt": "x"}, "prompt", "unknown_parameter"),
    ],
)
def test_what_cannot_be_honoured_is_refused(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        ask(**fields)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


def test_vectors_are_not_cut() -> None:
    check_dimensions(ask(), Letters())
    check_dimensions(ask(dimensions=2), Letters())
    with pytest.raises(Refusal, match="have 2 dimensions"):
        check_dimensions(ask(dimensions=1), Letters())


@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2), min_size=1)
)
def test_both_formats_give_the_same_numbers(rows: list[list[float]]) -> None:
    vectors = np.array(rows, np.float32)
    plain, packed = (
        CreateEmbeddingResponse.model_validate_json(embeddings(ask(encoding_format=f), vectors, 7))
        for f in ("float", None)
    )
    assert np.array_equal(np.array([d.embedding for d in plain.data], np.float32), vectors)
    assert plain == packed
    body = json.loads(embeddings(ask(encoding_format="base64"), vectors, 7))
    unpacked = [np.frombuffer(base64.b64decode(d["embedding"]), "<f4") for d in body["data"]]
    assert np.array_equal(np.array(unpacked), vectors)
    assert [d["index"] for d in body["data"]] == list(range(len(rows)))
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_many_texts_in_order_with_their_tokens() -> None:
    letters = Letters()
    texts = ["e" * (i % 8 + 1) for i in range(SLICE * 2 + 5)]
    queue = Embeddings({"letters": letters})
    vectors, tokens = asyncio.run(queue.run(letters, texts))
    queue.close()
    assert [int(row[0]) for row in vectors] == [len(t) for t in texts]
    assert tokens == sum(map(len, texts))
    assert [len(part) for part in letters.seen] == [SLICE, SLICE, 5]


@pytest.mark.parametrize(("texts", "where"), [(["e" * 9], "input is"), (["e", "e" * 9], r"input\[1\] is")])
def test_a_text_that_is_too_long_is_not_cut(texts: list[str], where: str) -> None:
    letters = Letters()
    queue = Embeddings({"letters": letters})
    with pytest.raises(Refusal, match=where) as caught:
        asyncio.run(queue.run(letters, texts))
    queue.close()
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")
    assert letters.seen == []


def test_requests_take_turns() -> None:
    letters = Letters()

    async def two() -> None:
        queue = Embeddings({"letters": letters})
        letters.hold.clear()
        long = asyncio.create_task(queue.run(letters, ["long"] * SLICE * 5))
        await asyncio.to_thread(until, lambda: letters.seen)
        short = asyncio.create_task(queue.run(letters, ["short"]))
        await asyncio.sleep(0)
        letters.hold.set()
        await asyncio.gather(long, short)
        queue.close()

    asyncio.run(two())
    assert letters.seen.index(["short"]) < len(letters.seen) - 2


def test_too_many_waiting_are_turned_away_and_a_leaver_is_dropped() -> None:
    letters = Letters()

    async def crowd() -> None:
        queue = Embeddings({"letters": letters}, waiting=100)
        letters.hold.clear()
        first = asyncio.create_task(queue.run(letters, ["e"] * 90))
        await asyncio.to_thread(until, lambda: letters.seen)
        with pytest.raises(Refusal) as caught:
            await queue.run(letters, ["e"] * 11)
        assert (caught.value.status, caught.value.headers["retry-after"]) == (503, "1")
        first.cancel()
        letters.hold.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await queue.run(letters, ["e"] * 100))[0].shape == (100, 2)
        queue.close()

    asyncio.run(crowd())
    assert len([part for part in letters.seen if len(part) == SLICE]) == 1 + 3


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    letters = Letters()

    async def slow() -> None:
        queue = Embeddings({"letters": letters}, seconds=0.05)
        letters.hold.clear()
        with pytest.raises(Refusal, match="send fewer texts") as caught:
            await queue.run(letters, ["e"])
        assert caught.value.status == 503
        letters.hold.set()
        queue.close()

    asyncio.run(slow())


def test_an_unknown_encoder_is_not_found() -> None:
    queue = Embeddings({"letters": Letters()})
    assert queue.find("letters").name == "letters"
    with pytest.raises(Refusal, match="did you mean 'letters'") as caught:
        queue.find("letter")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    with pytest.raises(Refusal, match="lists what there is"):
        queue.find("text-embedding-3-small")


def test_the_card_of_an_encoder() -> None:
    card = encoder_card("alias", Letters())
    assert (card["id"], card["root"], card["max_model_len"]) == ("alias", "letters", 8)
    assert card["capabilities"]["embeddings"] is True
