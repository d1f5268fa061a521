"""A task that is asked for in several wordings: each request gets the replies that its own version of the prompt got."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from gateway_fakes import Kept
from serve_fakes import LABELS, lengths, running_app, until

from shokunin.calibration import Calibration
from shokunin.serve.app import create_app
from shokunin.serve.parts import Parts
from shokunin.serve.routing import Routes, Target, TaskPolicy
from shokunin.serve.scripted_upstream import ScriptedUpstream, by_model
from shokunin.serve.shelf import Shelf
from shokunin.serve.upstream import UpstreamClient, UpstreamSettings
from shokunin.serve.watching import Watches
from shokunin.task import Task
from shokunin.tasks.classify_text import TextCodec
from shokunin.template import Template, TemplateMessage

NEW, OLD = "Is the length of the text even or odd? Answer in JSON.", "Even or odd length? E or O, nothing else."
IN_JSON = Template(
    (TemplateMessage("system", NEW), TemplateMessage("user", "Text: {{text}}")),
    ("big-1",),
    '{"length": "{{answer}}"}',
)
LETTERS = Template(
    (TemplateMessage("system", OLD), TemplateMessage("user", "{{text}}")),
    ("big-0",),
    "-{{answer}}-",
    {"even": "E", "odd": "O"},
)
PLAIN = Template(
    (TemplateMessage("user", "Write whether this has an even or odd length: {{text}}\n"),), reply="<{{answer}}>"
)
TASK = Task("lengths", template=IN_JSON, wordings=(LETTERS, PLAIN))


def says(messages: Any) -> str:
    """The upstream's reply in the shape that the prompt asks for, always right."""
    wording, values = next((t, found) for t in TASK.templates if (found := t.match(messages)) is not None)
    return wording.write(LABELS[len(values["text"]) % 2])


class Watch:
    """Gives what reaches 0.85 and audits all of it; remembers what it is told."""

    status: Any = None

    def __init__(self) -> None:
        self.told: list[tuple[str, bool | None]] = []

    def decide(self, confidence: float, *, auditable: bool = True) -> Any:
        give = confidence >= 0.85
        return SimpleNamespace(give=give, audit=give, rate=1.0, reason="unsure", term=0)

    def audited(self, rate: float, agrees: bool | None, confidence: float, *, term: int | None = None) -> None:
        self.told.append(("audited", agrees))

    def compared(self, confidence: float, agrees: bool | None) -> None:
        self.told.append(("compared", agrees))

    def take_events(self) -> tuple[Any, ...]:
        return ()

    def to_dict(self) -> dict[str, Any]:
        return {}


class House:
    """The gateway and what stands around it."""

    def __init__(self, url: str, upstream: ScriptedUpstream, watch: Watch, kept: Kept) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
        self.upstream, self.watch, self.kept = upstream, watch, kept


@pytest.fixture
def house() -> Iterator[House]:
    codec = TextCodec(TASK, LABELS, Calibration())
    served = {key: replace(one, codec=codec, templates=TASK.templates) for key, one in lengths().items()}
    watch, kept = Watch(), Kept()
    with ScriptedUpstream(by_model(says)) as upstream:
        parts = Parts(
            Shelf(served),
            upstreams={"big": UpstreamClient(UpstreamSettings(name="big", base_url=upstream.base_url))},
            routes=Routes({"big": ("big-1", ("big-*",))}, "big"),
            policy_of=lambda task: TaskPolicy(Target("big", "big-1")),
            watches=Watches(lambda one: watch),  # type: ignore[arg-type, return-value]
            recorder=kept,
        )
        with running_app(create_app(parts)) as url:
            house = House(url, upstream, watch, kept)
            with house.client:
                yield house


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("wording", "model", "text", "said"),
    [
        (IN_JSON, "big-1", "fourteen", '{"length": "even"}'),
        (IN_JSON, "auto", "eleven.", '{"length": "odd"}'),
        (LETTERS, "big-0", "fourteen", "E"),
        (LETTERS, "auto", "eleven.", "O"),
        (IN_JSON, "lengths", "fourteen", '{"length": "even"}'),
        (LETTERS, "lengths", "fourteen", "E"),
        (PLAIN, "lengths", "fourteen", "<even>"),
    ],
)
def test_each_wording_is_answered_in_its_own_shape(
    house: House, wording: Template, model: str, text: str, said: str, stream: bool
) -> None:
    messages: Any = wording.render({"text": text})
    if stream:
        chunks = house.client.chat.completions.create(model=model, messages=messages, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == said
    else:
        raw = house.client.chat.completions.with_raw_response.create(model=model, messages=messages)
        assert raw.parse().choices[0].message.content == said
        assert raw.headers["x-shokunin-route"] == "local"
    (local,) = house.kept.of("local")
    assert local.value in LABELS and local.workload_id == "lengths"
    until(lambda: house.watch.told)
    assert house.watch.told == [("audited", True)], "the upstream's reply is read by the wording that it was asked in"
    (audit,) = house.upstream.requests
    assert audit.json["messages"] == messages


def test_a_model_s_name_goes_with_its_own_wording_alone(house: House) -> None:
    raw = house.client.chat.completions.with_raw_response.create(
        model="big-1",
        messages=LETTERS.render({"text": "fourteen"}),  # type: ignore[arg-type]
    )
    assert raw.headers["x-shokunin-route"] == "passed"


@pytest.mark.parametrize(("wording", "said"), [(IN_JSON, '{"length": "even"}'), (LETTERS, "E")])
@pytest.mark.parametrize("model", ["auto", "lengths"])
def test_responses_too(house: House, model: str, wording: Template, said: str) -> None:
    system, user = wording.render({"text": "fourteen"})
    reply = house.client.responses.create(model=model, instructions=system["content"], input=user["content"])
    assert reply.output_text == said


def test_a_batch_of_completions_may_mix_wordings(house: House) -> None:
    prompts = [
        PLAIN.render({"text": "fourteen"})[0]["content"],
        "eleven.",
        PLAIN.render({"text": "eleven."})[0]["content"],
    ]
    reply = house.client.completions.create(model="lengths@2", prompt=prompts)
    assert [choice.text for choice in reply.choices] == ["<even>", "odd", "<odd>"]


@pytest.mark.parametrize(("wording", "model"), [(IN_JSON, "big-1"), (LETTERS, "big-0"), (LETTERS, "auto")])
def test_an_escalated_request_keeps_its_reply_and_is_compared_by_its_wording(
    house: House, wording: Template, model: str
) -> None:
    messages: Any = wording.render({"text": "odd"})  # too short for the specialist to be sure
    raw = house.client.chat.completions.with_raw_response.create(model=model, messages=messages)
    assert raw.headers["x-shokunin-route"] == "escalated"
    assert raw.parse().choices[0].message.content == wording.write("odd")
    (seen,) = house.upstream.requests
    assert seen.json == {"model": "big-1" if model == "auto" else model, "messages": messages}
    until(lambda: house.watch.told)
    assert house.watch.told == [("compared", True)], "the specialist would have said the same"


@pytest.mark.parametrize(("wording", "said"), [(IN_JSON, '{"length": "odd"}'), (LETTERS, "O")])
def test_asked_by_name_an_unsure_answer_is_asked_for_and_told_in_the_request_s_wording(
    house: House, wording: Template, said: str
) -> None:
    messages: Any = wording.render({"text": "odd"})
    raw = house.client.chat.completions.with_raw_response.create(model="lengths", messages=messages)
    assert raw.headers["x-shokunin-route"] == "escalated"
    assert raw.parse().choices[0].message.content == said
    (seen,) = house.upstream.requests
    assert seen.json["messages"] == messages
    assert json.loads(raw.text)["shokunin"]["answered_by"] == "big/big-1"
