"""A folder of documents as rows: with the answers in a file beside them, or without."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from shokunin.curate.documents.content import SUFFIXES
from shokunin.curate.documents.rows import FILE, PLAIN, document_column, with_documents
from shokunin.curate.read_csv import read_csv
from shokunin.curate.read_jsonl import read_jsonl
from shokunin.curate.table import Broken, Row, Table
from shokunin.errors import DataError
from shokunin.files import sha256_of
from shokunin.progress import Progress, silent

ANSWERS = ("answers.jsonl", "answers.csv", "answers.tsv")


def read_folder(folder: Path, *, progress: Progress = silent) -> Table:
    """A row for each document, in folders inside too: what `answers.csv` or `answers.jsonl` says of it, text and layout.

    A column of the answers names the documents, relative to the folder. A document that they do not name is a row without
    answers.

    Raises:
        DataError: there are no documents, or the answers are ambiguous or name none.
    """
    documents = documents_in(folder)
    given = [name for name in ANSWERS if (folder / name).is_file()]
    if len(given) > 1:
        raise DataError(f"{str(folder)!r} has {given[0]!r} and {given[1]!r}; leave one of them")
    if not documents:
        raise DataError(
            f"{str(folder)!r} is a folder without documents ({', '.join(sorted(SUFFIXES | PLAIN))}); "
            "expected documents, or a file with rows"
        )
    if given:
        table, column = _answered(folder, given[0], documents)
    else:
        table, column = of_files(documents, folder.name or "documents"), FILE
    table = with_documents(table, column, folder, progress=progress)
    table.about["bytes"] = sum((folder / name).stat().st_size for name in documents)
    digest = hashlib.sha256()
    for name in [*documents, *given]:
        digest.update(f"{name}\n{sha256_of(folder / name)}\n".encode())
    table.about["sha256"] = digest.hexdigest()
    return table


def documents_in(folder: Path) -> list[str]:
    """The names of the documents in a folder and those inside it, sorted; what is hidden is left out."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES | PLAIN)
    return sorted(
        name.as_posix()
        for name in found
        if not any(part.startswith(".") for part in name.parts) and (folder / name).is_file()
    )


def of_files(names: list[str], about: str) -> Table:
    """Rows that say nothing but which document they are of."""

    def start(broken: Broken) -> Iterator[tuple[str, Row]]:
        for name in names:
            yield name, {FILE: name}

    return Table((FILE,), {"name": about, "format": "documents"}, start)


def _answered(folder: Path, name: str, documents: list[str]) -> tuple[Table, str]:
    answers = read_jsonl(folder / name) if name == ANSWERS[0] else read_csv(folder / name)
    column = document_column(answers, folder)
    if column is None:
        raise DataError(
            f"{str(folder / name)!r} has no column that names documents of this folder, such as {documents[0]!r}; "
            f"add one and call it {FILE!r}"
        )

    def start(broken: Broken) -> Iterator[tuple[str, Row]]:
        named: set[Path] = set()
        for origin, row in answers.start(broken):
            named.add(Path(row[column].strip()))
            yield origin, row
        for document in documents:
            if Path(document) not in named:
                yield document, {**dict.fromkeys(answers.columns, ""), column: document}

    return Table(answers.columns, dict(answers.about), start), column
