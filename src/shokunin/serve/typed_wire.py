"""The typed endpoint: rows of input fields or documents in, answers with everything known about them out."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from shokunin.answer import Answer, Inputs
from shokunin.errors import TaskError
from shokunin.fields.inputs import LAYOUT, TEXT
from shokunin.serve.body import parse
from shokunin.serve.refusal import Refusal
from shokunin.serve.served import Served

MOST_DOCUMENTS = 16
"""Documents in one request; each may take seconds."""


class DocumentContent(BaseModel):
    """A document: what is in its file (PDF, PNG, JPEG, TIFF, WebP, plain text; told by its bytes), in base64."""

    model_config = ConfigDict(extra="forbid", strict=True)

    filename: Annotated[str, Field(max_length=255)] = "document"
    base64: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class DocumentRow:
    """A row that is a document.

    Attributes:
        filename: what the client calls it.
        data: what is in the file.
        param: where it stands in the request.
    """

    filename: str
    data: bytes
    param: str


Cell = str | int | float | bool | None


class UnitReadings(BaseModel):
    """A unit of a fleet and its newest readings: rows as in the table, or one list a column, oldest first.

    `{"unit": "pump 3", "readings": [{"date": "2026-03-01", "vibration": 1.2}]}`; where the server knows the unit, only what
    is new, or the unit alone.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    unit: Annotated[str, Field(max_length=1000)]
    readings: list[dict[str, Cell]] | dict[str, Cell | list[Cell]]


Row = str | dict[str, str] | DocumentRow


def _sort(asked: object) -> str:
    """Which sort of input it is meant to be, so that what is wrong is said of that one; in the spelling of pydantic's own."""
    if not isinstance(asked, dict):
        return "str"
    return "dict[str,readings]" if isinstance(asked.get("readings"), (list, dict)) else "dict[str,any]"


Asked = Annotated[
    Annotated[str, Tag("str")]
    | Annotated[UnitReadings, Tag("dict[str,readings]")]
    | Annotated[dict[str, str | DocumentContent], Tag("dict[str,any]")],
    Discriminator(_sort),
]


class PredictRequest(BaseModel):
    """The body of `POST /v1/specialists/{name}/predict`: one input or a list.

    An input is a text, an object of text fields, a document, or a unit with its readings.

    A document is `{"document": {"filename": "invoice.pdf", "base64": "JVBERi0xLjQ…"}}`.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: Asked | Annotated[list[Asked], Field(min_length=1)]

    def rows(self) -> list[Row]:
        """The inputs as a list.

        Raises:
            Refusal: 400, a document is not base64, or stands beside other fields.
        """
        if isinstance(self.inputs, list):
            return [_row(asked, f"inputs[{n}]") for n, asked in enumerate(self.inputs)]
        return [_row(self.inputs, "inputs")]


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
    documents = sum(isinstance(row, DocumentRow) for row in asked)
    if documents > MOST_DOCUMENTS:
        message = f"{documents} documents in one request; send at most {MOST_DOCUMENTS} at a time"
        raise Refusal(400, message, "invalid_value", "inputs")
    return asked


async def read_row(served: Served, row: str | dict[str, str], *, chars: int) -> tuple[Inputs, str | None]:
    """The input fields of a row with what is known put in, and why they cannot be answered or None; a bad row is no error.

    Raises:
        Refusal: 503, what the row brought could not be kept.
    """
    if sum(map(len, row.values())) > chars if isinstance(row, dict) else len(row) > chars:
        return {}, f"the input is longer than {chars} characters"
    if isinstance(row, dict):
        return await served.completed(row)
    try:
        inputs = served.codec.read_chat([{"role": "user", "content": row}])
    except TaskError as error:
        return {}, str(error)
    return await served.completed(inputs)


async def read_document_row(served: Served, document: Mapping[str, str], *, chars: int) -> tuple[Inputs, str | None]:
    """The input fields of a document, given its text and layout, and why they cannot be answered or None.

    A specialist that reads one text, whatever it calls it, reads the document's.
    """
    if served.codec.problem(document) is None or not document[TEXT].strip():
        return await read_row(served, dict(document), chars=chars)
    inputs, problem = await read_row(served, document[TEXT], chars=chars)
    return {**inputs, LAYOUT: document[LAYOUT]}, problem


def recorded(row: Row, inputs: Inputs) -> object:
    """What the record keeps of a row: of a document what it says, not the file."""
    return {"document": {"filename": row.filename}, **inputs} if isinstance(row, DocumentRow) else row


def predictions(served: Served, answers: Sequence[Answer]) -> bytes:
    """The body of the reply: one entry a row, in the order asked."""
    head = {"object": "shokunin.predictions", "specialist": served.id, "name": served.name, "version": served.version}
    return json.dumps({**head, "answers": [_entry(a) for a in answers]}, ensure_ascii=False, allow_nan=False).encode()


def _row(asked: Asked, param: str) -> Row:
    if isinstance(asked, str):
        return asked
    if isinstance(asked, UnitReadings):
        return {"unit": asked.unit, "readings": json.dumps(asked.readings)}
    for name, value in asked.items():
        if isinstance(value, DocumentContent):
            if len(asked) > 1 or name != "document":
                message = "a document is the only field of its input, and called `document`"
                raise Refusal(400, message, "invalid_value", f"{param}.{name[:100]}")
            try:
                data = base64.b64decode(value.base64, validate=True)
            except (binascii.Error, ValueError) as error:
                param = f"{param}.document.base64"
                raise Refusal(400, f"`{param}` is not base64", "invalid_value", param) from error
            return DocumentRow(value.filename, data, f"{param}.document")
    return {name: value for name, value in asked.items() if isinstance(value, str)}


def _entry(answer: Answer) -> dict[str, object]:
    more = {"details": dict(answer.details)} if answer.details else {}
    return {
        "value": answer.value,
        "confidence": answer.confidence,
        "answered_by": answer.answered_by,
        "sure": answer.sure,
        "scores": dict(answer.scores),
        "problem": answer.problem,
        "seconds": answer.seconds,
        "cost": answer.cost,
        **more,
    }
