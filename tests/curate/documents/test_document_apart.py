"""The process that reads documents: what it says, and what becomes of documents that it does not survive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_documents import ENCRYPT, pdf, picture

from shokunin.curate.documents.apart import ApartReader
from shokunin.curate.documents.limits import DocumentLimits
from shokunin.curate.read_documents import read_document
from shokunin.errors import DocumentError
from shokunin.forms import Document

WHOLE = pdf([[(50, 100, "Invoice 4711"), (50, 140, "Total"), (500, 140, "9.00")], [(50, 100, "second page")]])


@pytest.fixture(scope="module")
def reader() -> Iterator[ApartReader]:
    one = ApartReader()
    yield one
    one.close()


def test_it_reads_as_the_library_does(reader: ApartReader, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(WHOLE)
    told: list[tuple[str, float, float | None]] = []
    assert reader.read(tmp_path / "a.pdf", progress=lambda *what: told.append(what)) == read_document(WHOLE)
    assert told == [("reading pages", 1, 2), ("reading pages", 2, 2)]


def test_errors_come_back_as_they_are(reader: ApartReader) -> None:
    with pytest.raises(DocumentError) as there:
        reader.read(pdf([[]], trailer=ENCRYPT), name="secret.pdf")
    with pytest.raises(DocumentError) as here:
        read_document(pdf([[]], trailer=ENCRYPT), name="secret.pdf")
    assert (str(there.value), there.value.reason) == (str(here.value), here.value.reason)
    assert reader.read(b"still there").text == "still there"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=20), st.integers(0, len(WHOLE))
)
def test_any_damage_gives_text_or_a_reason(reader: ApartReader, changes: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(WHOLE)
    for place, byte in changes:
        damaged[place] = byte
    try:
        assert isinstance(reader.read(bytes(damaged[:cut])), Document)
    except DocumentError as error:
        assert error.reason


def test_a_page_that_takes_too_long_is_given_up_and_the_next_document_read() -> None:
    slow = pdf([[], []], size=(350, 150), scan=picture("Invoice 4711"))
    reader = ApartReader(DocumentLimits(page_seconds=0.001))
    with pytest.raises(DocumentError, match=r"takes longer than 0\.001 seconds"):
        reader.read(slow)
    assert reader.read(b"the next").text == "the next"
    reader.close()


def test_a_process_that_dies_is_a_reason_too() -> None:
    reader = ApartReader(DocumentLimits(memory_bytes=1 << 20))
    for _ in range(2):
        with pytest.raises(DocumentError, match="crash on it, or run out of memory"):
            reader.read(WHOLE)
    reader.close()


def test_a_page_that_needs_too_much_memory_is_a_reason_too() -> None:
    many = pdf([[]], size=(350, 150), scan=picture("x", size=(6000, 6000)))
    reader = ApartReader(DocumentLimits(memory_bytes=700 << 20))
    with pytest.raises(DocumentError):
        reader.read(many)
    reader.close()
