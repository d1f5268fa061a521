"""The examples of docs/serve.md, run against a server; what they print is what the page says."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from serve_fakes import PlainCodec, running

from shokunin.answer import Answer, Inputs
from shokunin.serve.limits import Limits
from shokunin.serve.served import Served

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


class ShopPredictor:
    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        return [Answer("parcel_status" if "parcel" in row["text"] else "damaged", 0.97, "inquiries@3") for row in batch]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    served = Served("inquiries@3", "inquiries", 3, ("champion",), "classify_text", ShopPredictor(), PlainCodec())
    with running({served.id: served}) as url:
        yield url


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_it_says(url: str, capsys: pytest.CaptureFixture[str], number: int) -> None:
    code = EXAMPLES[number]
    names: dict[str, object] = {}
    exec(compile(code.replace("http://127.0.0.1:8321", url), str(PAGE), "exec"), names)
    promised = re.findall(r"(?:^|  )# (.*)$", code, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == promised
    if "client" in names:
        names["client"].close()  # type: ignore[attr-defined]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2


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
    ):
        assert words in said
