"""The examples of docs/serve.md, run against a server; what they print is what the page says."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from serve_fakes import PlainCodec, running_app

from shokunin.answer import Answer, Inputs
from shokunin.serve.app import create_app
from shokunin.serve.embedding import Embeddings
from shokunin.serve.limits import Limits
from shokunin.serve.parts import Parts
from shokunin.serve.served import Served
from shokunin.serve.shelf import Shelf

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
ENCODER = "all-MiniLM-L6-v2"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


class ShopPredictor:
    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        return [Answer("parcel_status" if "parcel" in row["text"] else "damaged", 0.97, "inquiries@3") for row in batch]


class Zeros:
    """As wide as the encoder of the page."""

    name = ENCODER
    dimensions = 384
    max_length = 512

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.zeros((len(texts), self.dimensions), np.float32)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    served = Served("inquiries@3", "inquiries", 3, ("champion",), "classify_text", ShopPredictor(), PlainCodec())
    encoders = Embeddings({ENCODER: Zeros()})
    with running_app(create_app(Parts(Shelf({served.id: served}), embeddings=encoders))) as url:
        yield url


def test_the_examples_print_what_they_say(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other, as one reads them: later ones use the client of the first."""
    names: dict[str, Any] = {}
    try:
        for code in EXAMPLES:
            exec(compile(code.replace("http://127.0.0.1:8321", url), str(PAGE), "exec"), names)
            promised = re.findall(r"(?:^|  )# (.*)$", code, re.MULTILINE)
            assert promised
            assert capsys.readouterr().out.splitlines() == promised
    finally:
        names["client"].close()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 4


def test_the_page_says_the_limits_as_they_are() -> None:
    limits = Limits()
    said = " ".join(PAGE.read_text(encoding="utf-8").split())
    for words in (
        f"A body of {limits.body_bytes >> 20} MiB that arrives within {limits.body_seconds:g} seconds",
        f"{limits.text_chars:,} characters of text",
        f"{limits.choices} choices",
        f"{limits.rows:,} rows in a typed request",
        f"{limits.waiting:,} rows waiting",
        f"{limits.seconds:g} seconds for an answer",
        f"at most {limits.batch} rows",
        f"{limits.nesting} levels of nesting",
        f"{limits.messages:,} messages",
        f"{limits.in_flight:,} requests at a time",
        f"{limits.held_bytes >> 20} MiB together",
    ):
        assert words in said
