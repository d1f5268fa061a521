"""The typed endpoint: rows of input fields in, answers with everything known about them out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shokunin.answer import Answer, Inputs
from shokunin.errors import TaskError
from shokunin.serve.body import parse
from shokunin.serve.refusal import Refusal
from shokunin.serve.served import Served

Row = str | dict[str, str]


class PredictRequest(BaseModel):
    """The body of `POST /v1/specialists/{name}/predict`: one input or a list; texts or objects of text fields."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: Row | Annotated[list[Row], Field(min_length=1)]

    def rows(self) -> list[Row]:
        """The inputs as a list."""
        return self.inputs if isinstance(self.inputs, list) else [self.inputs]


def parse_predict(body: bytes, *, rows: int) -> list[Row]:
    """The rows in a body of JSON.

    Raises:
        Refusal: 400, naming what is wrong.
    """
    asked = parse(PredictRequest, body).rows()
    if len(asked) > rows:
        raise Refusal(
            400, f"{len(asked)} inputs in one request; send at most {rows} at a time", "invalid_value", "inputs"
        )
    return asked


def read_row(served: Served, row: Row, *, chars: int) -> tuple[Inputs, str | None]:
    """The input fields of a row, and why they cannot be answered or None; a bad row is data, not an error."""
    if sum(map(len, row.values())) > chars if isinstance(row, dict) else len(row) > chars:
        return {}, f"the input is longer than {chars} characters"
    if isinstance(row, dict):
        return row, served.codec.problem(row)
    try:
        inputs = served.codec.read_chat([{"role": "user", "content": row}])
    except TaskError as error:
        return {}, str(error)
    return inputs, served.codec.problem(inputs)


def predictions(served: Served, answers: Sequence[Answer]) -> bytes:
    """The body of the reply: one entry a row, in the order asked."""
    head = {"object": "shokunin.predictions", "specialist": served.id, "name": served.name, "version": served.version}
    return json.dumps({**head, "answers": [_entry(a) for a in answers]}, ensure_ascii=False, allow_nan=False).encode()


def _entry(answer: Answer) -> dict[str, object]:
    return {
        "value": answer.value,
        "confidence": answer.confidence,
        "answered_by": answer.answered_by,
        "sure": answer.sure,
        "scores": dict(answer.scores),
        "problem": answer.problem,
        "seconds": answer.seconds,
        "cost": answer.cost,
    }
