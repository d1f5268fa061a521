"""A predictor and a codec small enough to see through, and a real server around them."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from shokunin.answer import Answer, Inputs
from shokunin.calibration import Calibration
from shokunin.errors import TaskError
from shokunin.serve.app import create_app
from shokunin.serve.connection import Connection
from shokunin.serve.limits import Limits
from shokunin.serve.process import bind
from shokunin.serve.served import Served
from shokunin.template import Template, TemplateMessage

LABELS = ("even", "odd")
SHAPED = "Say in JSON whether the text's length is even or odd."
"""The system message of an application that gets its answers as `{"length": "even"}`."""
SHAPING = Template(
    (TemplateMessage("system", SHAPED), TemplateMessage("user", "{{text}}")), reply='{"length": "{{answer}}"}'
)
"""Its wording, as the codec knows it."""


class LengthPredictor:
    """Says whether a text has an even or an odd number of characters; remembers the batches it was given."""

    def __init__(self, seconds: float = 0.0, answered_by: str = "lengths@2") -> None:
        self.batches: list[list[str]] = []
        self.seconds = seconds
        self.answered_by = answered_by
        self.hold = threading.Event()
        self.hold.set()

    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        self.batches.append([row["text"] for row in batch])
        assert self.hold.wait(20)
        time.sleep(self.seconds)
        if any(row["text"] == "poison" for row in batch):
            raise ValueError("secret /etc/path in the message")
        return [self._answer(row["text"]) for row in batch]

    def _answer(self, text: str) -> Answer:
        if text == "no value":
            return Answer(None, 0.0, self.answered_by, problem="cannot say")
        best, other = LABELS if len(text) % 2 == 0 else LABELS[::-1]
        confidence = 1 - 1 / (len(text) + 2)
        scores = {best: confidence, other: 1 - confidence}
        return Answer(best, confidence, self.answered_by, sure=len(text) > 3, scores=scores)


class PlainCodec:
    """One text field, the last user message."""

    calibration = Calibration()

    def lessons(self, examples: Any) -> Any:
        raise AssertionError("a server does not teach")

    def encode(self, batch: Sequence[Inputs]) -> list[Any]:
        return [row["text"] for row in batch]

    def problem(self, inputs: Inputs) -> str | None:
        text = inputs.get("text")
        return None if text and text.strip() else "the text is empty"

    def decode(self, raw: Any, answered_by: str) -> list[Answer]:
        raise AssertionError("the fake predictor decodes itself")

    def correct(self, expected: str, value: str | None) -> bool:
        return expected == value

    def read_chat(self, messages: Sequence[Mapping[str, Any]]) -> Inputs:
        for message in reversed(messages):
            if message["role"] == "user":
                content = message["content"]
                return {"text": content if isinstance(content, str) else "".join(p["text"] for p in content or ())}
        raise TaskError("the request has no user message")

    def phrased(self, messages: Sequence[Mapping[str, Any]]) -> Template | None:
        shaped = any(message["role"] == "system" and message["content"] == SHAPED for message in messages)
        return SHAPING if shaped else None

    def write_chat(self, answer: Answer, wording: Template | None = None) -> str:
        return (answer.value or "") if wording is None else wording.write(answer.value or "")

    def ask_chat(self, inputs: Inputs, wording: Template | None = None) -> list[dict[str, str]]:
        return SHAPING.render({"text": inputs["text"]})

    def read_reply(self, reply: str, wording: Template | None = None) -> str | None:
        return next((label for label in LABELS if reply in (label, SHAPING.write(label))), None)


def lengths(predictor: Any = None, version: int = 2, aliases: tuple[str, ...] = ("champion",)) -> dict[str, Served]:
    """What `create_app` takes, with one specialist."""
    name = f"lengths@{version}"
    return {
        name: Served(
            name,
            "lengths",
            version,
            aliases,
            "classify_text",
            predictor or LengthPredictor(),
            PlainCodec(),
            1_700_000_000,
        )
    }


@contextmanager
def running(served: Mapping[str, Served], limits: Limits | None = None) -> Iterator[str]:
    """A real server of these specialists; gives its base URL."""
    with running_app(create_app(served, limits=limits)) as url:
        yield url


@contextmanager
def running_app(app: FastAPI) -> Iterator[str]:
    """A real server on a free loopback port, in a thread; gives its base URL."""
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(app, http=Connection, log_config=None, access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def until(true: Any) -> None:
    """Wait until it is so, 10 seconds at most."""
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to be")
