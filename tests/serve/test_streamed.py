"""Answers sent while they are written, read by the official client: of a writer that is held at will, and of a real model."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from gateway_fakes import BIG, MODEL, Kept, asks
from serve_fakes import SHAPED, running_app, until

from shokunin.answer import Answer, Inputs
from shokunin.calibration import Calibration
from shokunin.engines.language_model import load
from shokunin.language.base_models import DEFAULT_LANGUAGE_MODEL, resolve
from shokunin.pipeline.answering import SpecialistPredictor
from shokunin.serve.app import create_app
from shokunin.serve.parts import Parts
from shokunin.serve.routing import Routes, TaskPolicy
from shokunin.serve.scripted_upstream import ScriptedUpstream, by_model
from shokunin.serve.served import Served
from shokunin.serve.shelf import Shelf
from shokunin.serve.upstream import UpstreamClient, UpstreamSettings
from shokunin.task import Task
from shokunin.tasks.generate_text import WritingCodec
from shokunin.template import Template, TemplateMessage
from shokunin.weights import Weights

ASK: list[Any] = [{"role": "user", "content": "Where is my order?"}]
WORDS = ["Dear ", "Ms Ito,", " it is on", " its way."]
WHOLE = "".join(WORDS)
TEMPLATE = Template((TemplateMessage("system", SHAPED), TemplateMessage("user", "Text: {{text}}")), (MODEL,))


class Writer:
    """Writes `WORDS`, each as soon as it may; then how it ends."""

    streams = True

    def __init__(self, last: Answer | Exception | None = None, words: Sequence[str] = WORDS) -> None:
        self.last = last or Answer(WHOLE, 0.25, "replies@1", sure=False, tokens=9)
        self.words = words
        self.may = threading.Semaphore(0)
        self.written: list[str] = []
        self.stopped = threading.Event()

    def free(self) -> Writer:
        self.may.release(1000)
        return self

    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        assert isinstance(self.last, Answer)
        return [self.last for _ in batch]

    def stream(self, inputs: Inputs) -> Generator[str | Answer, None, None]:
        try:
            for word in self.words:
                assert self.may.acquire(timeout=20)
                self.written.append(word)
                yield word
            assert self.may.acquire(timeout=20)
            if isinstance(self.last, Exception):
                raise self.last
            yield self.last
        finally:
            self.stopped.set()


def served(predictor: Any, options: dict[str, Any] | None = None) -> dict[str, Served]:
    codec = WritingCodec(Task("replies", "generate_text", metric="exact_match", options=options or {}), Calibration())
    one = Served("replies@1", "replies", 1, ("champion",), "generate_text", predictor, codec, templates=(TEMPLATE,))
    return {one.id: one}


@contextmanager
def house(predictor: Any, policy: TaskPolicy | None = None, **options: Any) -> Iterator[tuple[openai.OpenAI, Kept]]:
    kept = Kept()
    with ScriptedUpstream(by_model("the large one's words")) as upstream:
        parts = Parts(
            Shelf(served(predictor, options)),
            upstreams={"big": UpstreamClient(UpstreamSettings(name="big", base_url=upstream.base_url))},
            routes=Routes({"big": (MODEL, ())}),
            policy_of=lambda task: policy or TaskPolicy(),
            recorder=kept,
        )
        with (
            running_app(create_app(parts)) as url,
            openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as c,
        ):
            yield c, kept


def chat(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": "replies", "messages": ASK, "stream": True, **more})


def words_of(events: Any) -> list[str]:
    return [e.choices[0].delta.content for e in events if e.choices and e.choices[0].delta.content]


def test_each_word_is_sent_before_the_next_is_written() -> None:
    writer = Writer()
    with house(writer) as (client, kept):
        writer.may.release()
        raw = client.chat.completions.with_raw_response.create(
            model="replies", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        assert raw.headers["x-shokunin-specialist"] == "replies@1"
        assert "x-shokunin-confidence" not in raw.headers  # nobody knows it yet
        events = iter(raw.parse())
        assert next(events).choices[0].delta.role == "assistant"
        for count, word in enumerate(WORDS, 1):
            assert next(events).choices[0].delta.content == word
            assert len(writer.written) == count
            writer.may.release()
        end, usage = list(events)
        assert end.choices[0].finish_reason == "stop"
        assert (end.shokunin["confidence"], end.shokunin["sure"]) == (0.25, False)
        assert (usage.usage.prompt_tokens, usage.usage.completion_tokens) == (5, 9)
        (exchange,) = kept.exchanges
    assert (exchange.route, exchange.value, exchange.confidence, exchange.completion_tokens) == (
        "local",
        WHOLE,
        0.25,
        9,
    )
    assert exchange.response["choices"][0]["message"]["content"] == WHOLE  # type: ignore[index]
    assert exchange.status == 200 and exchange.problem is None


def test_when_the_client_leaves_the_writing_stops() -> None:
    writer = Writer(words=WORDS * 100)
    with house(writer) as (client, kept):
        writer.may.release(2)
        events = chat(client)
        assert next(events).choices[0].delta.role == "assistant"
        events.close()

        def stopped() -> bool:
            writer.may.release()  # it would write a word a look
            return writer.stopped.is_set()

        until(stopped)
        until(lambda: kept.exchanges)
    assert len(writer.written) < len(writer.words)
    (exchange,) = kept.exchanges
    assert (exchange.status, exchange.problem, exchange.value) == (499, "client_closed_request", None)


@pytest.mark.parametrize(
    "asked",
    [
        {"policy": TaskPolicy(BIG)},  # it is known at the end whether the upstream is asked instead
        {"stop": [" way"]},
        {"logprobs": True},
        {"n": 2},
        {"language": "sql"},
    ],
)
def test_what_is_not_certain_comes_at_once(asked: dict[str, Any]) -> None:
    policy, language = asked.pop("policy", None), asked.pop("language", "text")
    writer = Writer(Answer("SELECT 1" if language == "sql" else WHOLE, 0.9, "replies@1"))
    writer.streams = language == "text"
    with house(writer, policy, language=language) as (client, _):
        assert len(set(words_of(chat(client, **asked)))) == 1
    assert writer.written == []


def test_a_fixed_version_answers_itself_even_where_there_is_an_upstream() -> None:
    with house(Writer().free(), TaskPolicy(BIG)) as (client, kept):
        assert words_of(chat(client, model="replies@1")) == WORDS
    assert kept.exchanges[-1].route == "local"


def test_a_recognised_request_of_a_task_that_stays_in_the_house() -> None:
    with house(Writer().free(), TaskPolicy(BIG, "never")) as (client, kept):
        assert words_of(chat(client, **asks("hello"))) == WORDS
    assert kept.exchanges[-1].route == "fallback"  # as without a stream: it was not sure, and nobody else was asked


def test_a_response_has_its_events_in_their_order() -> None:
    with house(Writer().free()) as (client, kept):
        with client.responses.stream(model="replies", input="Where is my order?") as stream:
            events = list(stream)
            final = stream.get_final_response()
        assert [e.delta for e in events if e.type == "response.output_text.delta"] == WORDS
        assert [e.sequence_number for e in events] == list(range(len(events)))
        assert (final.output_text, final.status, final.usage.output_tokens) == (WHOLE, "completed", 9)  # type: ignore[union-attr]
        plain = client.responses.create(model="replies", input="Where is my order?")
    assert plain.output_text == WHOLE
    assert kept.exchanges[0].response["usage"]["output_tokens"] == 9  # type: ignore[index]
    assert kept.exchanges[0].response["usage"] == kept.exchanges[1].response["usage"]  # type: ignore[index]


def test_a_completion_streams_too() -> None:
    with house(Writer().free()) as (client, _):
        events = list(client.completions.create(model="replies", prompt="Where is my order?", stream=True))
    assert [e.choices[0].text for e in events] == [*WORDS, ""]
    assert events[-1].choices[0].finish_reason == "stop"


def test_an_answer_that_is_cut_says_so() -> None:
    cut = Answer(None, 0.0, "replies@1", problem="did not end", sure=False, tokens=256, cut=True)
    with house(Writer(cut).free()) as (client, kept):
        events = list(chat(client))
        response = list(client.responses.create(model="replies", input="x", stream=True))[-1]
    assert events[-1].choices[0].finish_reason == "length"
    assert response.type == "response.incomplete"
    assert response.response.incomplete_details.reason == "max_output_tokens"  # type: ignore[union-attr]
    assert [(e.value, e.problem) for e in kept.exchanges] == [(None, "answer_cut")] * 2


@pytest.mark.parametrize("last", [Answer(None, 0.0, "replies@1", problem="the engine failed"), ValueError("secret")])
def test_a_failure_is_an_error_before_the_first_word_and_an_event_after_it(last: Answer | Exception) -> None:
    with house(Writer(last, words=()).free()) as (client, kept):
        with pytest.raises(openai.InternalServerError) as failed:
            chat(client)
        assert "secret" not in str(failed.value)
    assert kept.exchanges[-1].status == 500
    with house(Writer(last).free()) as (client, kept), pytest.raises(openai.APIError, match="fail"):
        list(chat(client))
    assert kept.exchanges[-1].problem == "no_answer"


def test_a_stream_may_not_take_longer_to_begin_than_an_answer_may() -> None:
    from shokunin.serve.limits import Limits

    writer = Writer()
    parts = Parts(Shelf(served(writer)), limits=Limits(seconds=0.2))
    with (
        running_app(create_app(parts)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError, match="no answer within"):
            chat(client)
        assert not writer.stopped.is_set()  # the refusal did not wait for a first word
        writer.free()
        until(writer.stopped.is_set)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpecialistPredictor]:
    pytest.importorskip("openvino_genai")
    folder: Path = tmp_path_factory.mktemp("weights")
    shutil.copyfile(resolve(DEFAULT_LANGUAGE_MODEL).path, folder / "model.gguf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOKUNIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        session = load(Weights(folder, "conversation", "gguf"), threads=2)
    codec = WritingCodec(Task("replies", "generate_text", options={"longest": 64}), Calibration())
    yield SpecialistPredictor(codec, session, "replies@1", "conversation")


@pytest.fixture(scope="module")
def ask(predictor: SpecialistPredictor) -> Iterator[Callable[..., Any]]:
    with house(predictor, longest=64) as (client, _):
        yield lambda text, **more: chat(client, messages=[{"role": "user", "content": text}], **more)


def test_a_real_models_stream_is_the_answer_in_many_pieces_with_its_tokens(ask: Callable[..., Any]) -> None:
    whole = ask("What is the capital of France?", stream=False)
    assert whole.choices[0].message.content == "The capital of France is Paris."
    assert whole.usage.completion_tokens == 8  # seven words and the end
    events = list(ask("What is the capital of France?", stream_options={"include_usage": True}))
    assert len(words_of(events)) >= 5
    assert "".join(words_of(events)) == "The capital of France is Paris."
    assert events[-1].usage == whole.usage
    assert events[-2].shokunin["confidence"] == pytest.approx(whole.shokunin["confidence"], abs=0.02)


def test_a_client_that_leaves_ends_a_real_models_work(predictor: SpecialistPredictor) -> None:
    with house(predictor, longest=64) as (client, kept):
        events = chat(client, messages=[{"role": "user", "content": "Write a long story about a ship."}])
        assert words_of([next(events), next(events)])
        events.close()
        until(lambda: kept.exchanges)
    session: Any = predictor._session
    until(lambda: not session._runner._work.running and not session._runner._unfinished())
    assert kept.exchanges[-1].status == 499
    assert kept.exchanges[-1].completion_tokens < 64


def test_a_real_models_longest_answer_ends_as_such(ask: Callable[..., Any]) -> None:
    events = list(ask("Write a long story about a ship in a storm, with a captain and a cat."))
    assert events[-1].choices[0].finish_reason == "length"
