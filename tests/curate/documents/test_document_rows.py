"""Rows that name documents, folders of documents, and documents alone, as rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_documents import ENCRYPT, pdf

from shokunin.curate.documents import rows as rows_module
from shokunin.curate.documents.rows import inputs_of, layout_of
from shokunin.curate.read import read_rows
from shokunin.curate.read_documents import read_document
from shokunin.errors import DataError
from shokunin.fields.inputs import document_of
from shokunin.forms import Document, Line

INVOICE = [(50, 100, "Invoice 4711"), (50, 140, "Total"), (500, 140, "9.00")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "invoices"
    (place / "more").mkdir(parents=True)
    (place / "a.pdf").write_bytes(pdf([INVOICE]))
    (place / "more" / "b.pdf").write_bytes(pdf([[(50, 100, "Invoice 4712")]]))
    (place / "c.txt").write_text("Invoice 4713\nplain", encoding="utf-8")
    (place / "secret.pdf").write_bytes(pdf([INVOICE], trailer=ENCRYPT))
    (place / ".hidden.pdf").write_bytes(pdf([INVOICE]))
    (place / "notes.docx").write_bytes(b"PK\x03\x04")
    (tmp_path / "outside.pdf").write_bytes(pdf([INVOICE]))
    return place


def test_a_column_of_file_names_adds_text_and_layout(folder: Path) -> None:
    table_file = folder / "rows.csv"
    names = [
        "a.pdf",
        "more/b.pdf",
        "secret.pdf",
        "gone.pdf",
        "../outside.pdf",
        "https://example.org/a.pdf",
        "",
        "a.pdf",
    ]
    table_file.write_text(
        "file,total\n" + "".join(f"{name},{n}.00\n" for n, name in enumerate(names)), encoding="utf-8"
    )
    table = read_rows(table_file)
    assert table.columns == ("file", "total", "text", "layout")
    found = list(table.rows())
    assert [(row["file"], row["total"]) for _, row in found] == [
        ("a.pdf", "0.00"),
        ("more/b.pdf", "1.00"),
        ("a.pdf", "7.00"),
    ]
    assert document_of(found[0][1]) == read_document(folder / "a.pdf")
    assert table.broken == [
        ("rows.csv:4", "the PDF is encrypted"),
        ("rows.csv:5", "the file is not there"),
        ("rows.csv:6", "a file outside the folder of the rows; put it inside"),
        ("rows.csv:7", "an address instead of a file; documents are not fetched: save it beside the rows"),
        ("rows.csv:8", "no document is named"),
    ]
    assert table.given == 3


def test_a_link_that_leads_outside_is_not_followed(folder: Path) -> None:
    (folder / "link.pdf").symlink_to(folder.parent / "outside.pdf")
    (folder / "rows.csv").write_text(f"file\nlink.pdf\n{folder.parent / 'outside.pdf'}\na.pdf\n", encoding="utf-8")
    table = read_rows(folder / "rows.csv")
    assert len(list(table.rows())) == 1
    assert {reason for _, reason in table.broken} == {"a file outside the folder of the rows; put it inside"}


def test_documents_are_read_once_however_often_the_rows_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    reading = rows_module.ApartReader.read

    def counted(self: Any, source: Path, **about: Any) -> Document:
        read.append(source.name)
        return reading(self, source, **about)

    monkeypatch.setattr(rows_module.ApartReader, "read", counted)
    table = read_rows(folder)
    first = next(iter(table.rows()))
    passes = [list(table.rows()) for _ in range(3)]
    assert passes[0] == passes[1] == passes[2] and passes[0][0] == first
    assert len(table.broken) == 1
    assert sorted(read) == ["a.pdf", "b.pdf", "c.txt", "secret.pdf"]
    both = list(zip(table.rows(), table.rows(), strict=True))  # two passes at once
    assert all(one == other for one, other in both)


def test_a_folder_of_documents_is_a_row_each(folder: Path) -> None:
    told: list[float] = []
    table = read_rows(folder, progress=lambda what, done, total: told.append(done))
    found = dict(table.rows())
    assert list(found) == ["a.pdf", "c.txt", "more/b.pdf"]
    assert found["c.txt"] == {"file": "c.txt", "text": "Invoice 4713\nplain", "layout": ""}
    assert table.broken == [("secret.pdf", "the PDF is encrypted")]
    assert table.about["documents"] == "file" and told == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_folder_with_answers(folder: Path, kind: str) -> None:
    answers = [{"number": "4711", "document": "a.pdf"}, {"number": "4712", "document": "more/b.pdf"}]
    lines = (
        [json.dumps(a) for a in answers] if kind == "jsonl" else ["number,document", "4711,a.pdf", "4712,more/b.pdf"]
    )
    (folder / f"answers.{kind}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = read_rows(folder)
    assert table.columns == ("number", "document", "text", "layout")
    found = [(row["number"], row["document"], row["text"].split("\n")[0]) for _, row in table.rows()]
    assert found == [
        ("4711", "a.pdf", "Invoice 4711"),
        ("4712", "more/b.pdf", "Invoice 4712"),
        ("", "c.txt", "Invoice 4713"),
    ]
    assert [reason for _, reason in table.broken] == ["the PDF is encrypted"]


def test_a_document_alone_is_a_row(folder: Path) -> None:
    ((origin, row),) = read_rows(folder / "a.pdf").rows()
    assert (origin, row["file"]) == ("a.pdf", "a.pdf") and row["text"].startswith("Invoice 4711\nTotal")


def test_the_rows_own_text_is_left_alone(folder: Path) -> None:
    (folder / "rows.csv").write_text("file,text\na.pdf,my own words\n", encoding="utf-8")
    assert [row for _, row in read_rows(folder / "rows.csv").rows()] == [{"file": "a.pdf", "text": "my own words"}]
    (folder / "rows.csv").write_text("body,attachment\nmy own words,nowhere.pdf\n", encoding="utf-8")
    assert read_rows(folder / "rows.csv").columns == ("body", "attachment")
    (folder / "rows.csv").write_text("file,label\na.pdf,x\n", encoding="utf-8")
    assert read_rows(folder / "rows.csv", documents=False).columns == ("file", "label")


@pytest.mark.parametrize(
    ("files", "asked", "message"),
    [
        ({"answers.csv": "file\na.pdf\n", "answers.jsonl": '{"file": "a.pdf"}\n'}, ".", "leave one of them"),
        ({"answers.csv": "number,total\n4711,9.00\n"}, ".", "has no column that names documents of this folder"),
        ({"answers.csv": "file,text\na.pdf,x\n"}, ".", "has a column 'text' and names documents in 'file'"),
        (
            {"rows.csv": "file,total\nnope.pdf,9.00\n"},
            "rows.csv",
            "none of the first is there, for instance 'nope.pdf'",
        ),
        ({"empty/x.docx": "x"}, "empty", "is a folder without documents"),
    ],
)
def test_what_cannot_be_meant(folder: Path, files: dict[str, str], asked: str, message: str) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_rows(folder / asked)


def test_the_layout_has_an_entry_for_each_line() -> None:
    document = Document((Line("one", (1.0, 2.5, 3.0, 4.04), 0), Line("two"), Line("three", (1, 2, 3, 4), 2)))
    assert layout_of(document) == "[[1,2.5,3,4,0],null,[1,2,3,4,2]]"
    assert inputs_of(Document((Line("one"), Line("two")))) == {"text": "one\ntwo", "layout": ""}
