"""A document to text that knows where it stands: PDF, picture or plain text, told by its bytes."""

from __future__ import annotations

import codecs
from pathlib import Path

from shokunin.curate.documents.content import HEAD, content_of
from shokunin.curate.documents.limits import DocumentLimits
from shokunin.curate.documents.ocr import read_picture
from shokunin.curate.documents.pdf import read_pdf, too_long
from shokunin.curate.documents.pictures import read_pictures
from shokunin.curate.encoding import BOMS
from shokunin.curate.legacy import legacy_encodings
from shokunin.errors import DocumentError
from shokunin.forms import Document, Line
from shokunin.progress import Progress, silent

DEFAULTS = DocumentLimits()


def read_document(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    limits: DocumentLimits = DEFAULTS,
    progress: Progress = silent,
) -> Document:
    """The document in a file, or in the bytes of one.

    Boxes are in points of 1/72 inch for PDF and in pixels for pictures, with the page's top left corner at 0, 0; lines of
    plain text have none. Nothing is fetched from anywhere.

    Args:
        source: the file, or what is in it.
        name: for messages; by default the file's.
        limits: what is read.
        progress: told after every page.

    Raises:
        DocumentError: it is missing, empty, damaged, encrypted, too large, of a kind that is not read, or without text.
        MissingExtraError: a library of the extra `documents` is needed and not installed.
    """
    name = name or ("document" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else bytes_of(Path(source), name, limits)
    if len(data) > limits.file_bytes:
        raise _too_large(name, limits)
    content = content_of(data[:HEAD], name)
    if content == "pdf":
        lines = read_pdf(data, name, limits, read_picture, progress)
    elif content == "picture":
        lines = read_pictures(data, name, limits, read_picture, progress)
    else:
        lines = [Line(line) for line in _decoded(data, name).replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    if not any(line.text.strip() for line in lines):
        raise DocumentError(name, "there is no text in it", "scan it again, or leave it out")
    if sum(len(line.text) + 1 for line in lines) > limits.characters:
        raise too_long(name, limits)
    return Document(tuple(lines))


def bytes_of(path: Path, name: str, limits: DocumentLimits) -> bytes:
    """What is in a file, unless it is larger than is read.

    Raises:
        DocumentError: it is missing, too large or not readable.
    """
    try:
        if not path.is_file():
            raise DocumentError(name, "the file is not there", "check the name")
        if path.stat().st_size > limits.file_bytes:
            raise _too_large(name, limits)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise DocumentError(name, "the file cannot be read", f"{error}; check its name and permissions") from error


def _too_large(name: str, limits: DocumentLimits) -> DocumentError:
    return DocumentError(name, f"a file of more than {limits.file_bytes >> 20:,} MiB", "cut out the pages that matter")


def _decoded(data: bytes, name: str) -> str:
    mark = next((encoding for mark, encoding in BOMS if data.startswith(mark)), None)
    strange = b"\n".join(line for line in data.split(b"\n") if not line.isascii())[: 1 << 18]
    for encoding in [mark] if mark else ["utf-8", *legacy_encodings(strange)]:
        try:
            return codecs.decode(data, encoding)
        except UnicodeDecodeError:
            continue
    raise DocumentError(name, "its bytes are in no encoding that is known", "save it as UTF-8")
