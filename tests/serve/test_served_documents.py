"""Documents in the typed endpoint: read by their bytes, refused with reasons, and never kept as files."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from serve_fakes import LengthPredictor, lengths, running_app, until

from shokunin.answer import Inputs
from shokunin.curate.documents.apart import ApartReader
from shokunin.curate.documents.limits import DocumentLimits
from shokunin.curate.documents.rows import inputs_of
from shokunin.errors import MissingExtraError
from shokunin.exchange import Exchange
from shokunin.serve.app import create_app
from shokunin.serve.documents import Documents
from shokunin.serve.parts import Parts
from shokunin.serve.shelf import Shelf

PREDICT = "/v1/specialists/lengths/predict"


def pdf() -> bytes:
    """A PDF that says "odd"."""
    import pypdfium2
    import pypdfium2.raw as raw

    made = pypdfium2.PdfDocument.new()
    page = made.new_page(300, 300)
    text = raw.FPDFPageObj_NewTextObj(made, b"Helvetica", 20.0)
    written = ("odd".encode("utf-16-le") + b"\0\0").ljust(8, b"\0")
    raw.FPDFText_SetText(text, (raw.FPDF_WCHAR * (len(written) // 2)).from_buffer_copy(written))
    raw.FPDFPageObj_Transform(text, 1, 0, 0, 1, 50, 200)
    raw.FPDFPage_InsertObject(page, text)
    page.gen_content()
    out = io.BytesIO()
    made.save(out)
    page.close()
    made.close()
    return out.getvalue()


def document(data: bytes, **others: Any) -> dict[str, Any]:
    return {"document": {"filename": "a.pdf", "base64": base64.b64encode(data).decode()}, **others}


@pytest.fixture(scope="module")
def kept() -> list[Exchange]:
    return []


@pytest.fixture(scope="module")
def server(kept: list[Exchange]) -> Iterator[httpx.Client]:
    reader = ApartReader(DocumentLimits(pages=3))
    documents = Documents(lambda data: inputs_of(reader.read(data)), reader.close)
    parts = Parts(Shelf(lengths()), documents=documents, observers=(kept.append,))
    with running_app(create_app(parts)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
def other() -> Iterator[Callable[..., httpx.Client]]:
    """Servers whose documents are read by a function of the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def started(read: Callable[[bytes], Inputs] | None, **options: Any) -> httpx.Client:
            parts = Parts(Shelf(lengths(LengthPredictor())), documents=Documents(read, **options))
            url = stack.enter_context(running_app(create_app(parts)))
            return stack.enter_context(httpx.Client(base_url=url, timeout=60))

        yield started


def test_documents_and_texts_are_answered_in_their_order(server: httpx.Client) -> None:
    sent = [document(pdf()), "even", document(b"plain text"), {"text": "odd"}]
    answers = server.post(PREDICT, json={"inputs": sent}).raise_for_status().json()["answers"]
    assert [answer["value"] for answer in answers] == ["odd", "even", "even", "odd"]


def test_the_record_has_what_a_document_says_and_not_the_file(server: httpx.Client, kept: list[Exchange]) -> None:
    kept.clear()
    server.post(PREDICT, json={"inputs": document(pdf())}).raise_for_status()
    until(lambda: kept)
    (row,) = kept[0].request["inputs"]
    assert (row["document"], row["text"]) == ({"filename": "a.pdf"}, "odd")
    assert "base64" not in str(kept[0].request) and kept[0].prompt_tokens < 100


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "inputs[0].document.base64"),
        (b"%PDF-1.7 cut off", "the PDF is damaged; export it again"),
        (b"PK\x03\x04", "it is an Office file or another ZIP archive"),
        (b" \n", "there is no text in it"),
    ],
)
def test_a_document_that_cannot_be_read_says_so_in_its_place(server: httpx.Client, data: bytes, problem: str) -> None:
    reply = server.post(PREDICT, json={"inputs": [document(data), "even"]})
    if not data:
        assert reply.status_code == 400 and reply.json()["error"]["param"] == problem
        return
    broken, fine = reply.raise_for_status().json()["answers"]
    assert broken["value"] is None and broken["problem"].startswith(problem) and fine["value"] == "even"


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        ({"document": {"filename": "a.pdf", "base64": "not base64!"}}, "inputs.document.base64"),
        ([{"document": {"filename": "a.pdf"}}], "inputs[0].document.base64"),
        ([{"document": {"base64": "QQ==", "url": "http://127.0.0.1/a.pdf"}}], "inputs[0].document.url"),
        ([document(b"a", text="b")], "inputs[0].document"),
        ([{"file": {"base64": "QQ=="}}], "inputs[0].file"),
        ([{"text": 5}], "inputs[0].text"),
        ([document(b"a")] * 17, "inputs"),
    ],
)
def test_what_is_no_document(server: httpx.Client, inputs: Any, param: str) -> None:
    reply = server.post(PREDICT, json={"inputs": inputs})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text


def test_where_the_extra_is_missing_documents_are_refused(other: Callable[..., httpx.Client]) -> None:
    reply = other(None).post(PREDICT, json={"inputs": ["even", document(b"a")]})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, "inputs[1].document", "documents_not_read")
    assert "pip install 'shokunin[documents]'" in error["message"]

    def no_ocr(data: bytes) -> Inputs:
        raise MissingExtraError("rapidocr", "documents")

    reply = other(no_ocr).post(PREDICT, json={"inputs": document(b"a")})
    assert reply.status_code == 400 and "'rapidocr' is not installed on this server" in reply.json()["error"]["message"]


def test_no_more_wait_than_may(other: Callable[..., httpx.Client]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(data: bytes) -> Inputs:
        begun.set()
        assert go_on.wait(20)
        return {"text": data.decode(), "layout": ""}

    client = other(slow, waiting=1)
    first: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: first.append(client.post(PREDICT, json={"inputs": document(b"odd")})))
    asking.start()
    assert begun.wait(20)
    reply = client.post(PREDICT, json={"inputs": document(b"even")})
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    go_on.set()
    asking.join(20)
    assert first[0].json()["answers"][0]["value"] == "odd"
