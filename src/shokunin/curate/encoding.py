"""What kind of bytes a file holds: its text encoding, or that it is no text at all."""

from __future__ import annotations

import codecs
from pathlib import Path

from shokunin.curate.legacy import legacy_encodings
from shokunin.errors import DataError

SAMPLE = 1 << 18
CHUNK = 1 << 20

BOMS = (  # the longer mark first: UTF-32-LE begins like UTF-16-LE
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

BINARIES = (
    (b"PK\x03\x04", "a ZIP archive, perhaps an Excel workbook; rename it to .xlsx if it is one, or unpack it"),
    (b"PAR1", "a Parquet file; rename it to .parquet"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file; save it as .xlsx or as CSV"),
    (b"\x1f\x8b", "compressed by gzip; unpack it first"),
    (b"%PDF", "a PDF document; export its rows as CSV"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x7fELF", "a program"),
)

MOSTLY = 0.9
"""Share of the non-ASCII lines that must be valid UTF-8 for the file to count as UTF-8 with a few damaged rows."""


def sniff_encoding(path: Path) -> str:
    """The encoding of a text file: its mark, else UTF-8, else UTF-16 without a mark, else a legacy encoding that fits.

    A file is UTF-8 if at least nine in ten of its lines with non-ASCII bytes are; the reader sets the others aside.

    Raises:
        DataError: the file is empty or binary, or no single encoding fits; then a line is named.
    """
    head = _head(path)
    for mark, name in BOMS:
        if head.startswith(mark):
            return name
    for magic, what in BINARIES:
        if head.startswith(magic):
            raise DataError(f"{str(path)!r} is not a text file: it is {what}")
    if b"\x00" in head:
        return _utf16_without_mark(head, path)
    # Text has line ends and tabs; other control bytes are rare (ISO-2022-JP uses ESC).
    odd = sum(head.count(bytes([b])) for b in range(32) if b not in b"\t\n\r\x0b\x0c\x1b\x1c\x1d\x1e\x1f")
    if odd > max(64, len(head) // 10):
        raise DataError(f"{str(path)!r} is not a text file: it is full of control bytes; expected CSV, TSV or JSONL")
    valid, invalid, first, strange = _utf8_lines(path)
    if not invalid:
        return _iso2022(head)
    if valid >= MOSTLY * (valid + invalid):
        return "utf-8"
    return _legacy(path, strange, first, mixed=valid > 0.1 * (valid + invalid))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(SAMPLE)
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}; expected a file with rows") from error
    if not head.strip():
        raise DataError(f"{str(path)!r} is empty; expected a header line and at least one row")
    return head


def _utf16_without_mark(head: bytes, path: Path) -> str:
    head = head[: len(head) & ~1]
    for name, line_end in (("utf-16-le", b"\n\x00"), ("utf-16-be", b"\x00\n")):
        if line_end in head:
            try:
                text = codecs.getincrementaldecoder(name)().decode(head)
            except UnicodeDecodeError:
                continue
            if sum(c.isprintable() or c in "\r\n\t" for c in text) >= 0.99 * len(text):
                return name
    raise DataError(f"{str(path)!r} is not a text file: it has zero bytes; expected CSV, TSV or JSONL (UTF-8 is best)")


def _iso2022(head: bytes) -> str:
    # ISO-2022-JP is seven-bit, so it passes for UTF-8; its escape sequences give it away.
    if b"\x1b$B" in head or b"\x1b$@" in head:
        try:
            codecs.getincrementaldecoder("iso2022_jp")().decode(head)
        except UnicodeDecodeError:
            return "utf-8"
        return "iso2022_jp"
    return "utf-8"


def _utf8_lines(path: Path) -> tuple[int, int, int, bytes]:
    """Number of non-ASCII lines that are UTF-8, of those that are not, the first of these, and some of their bytes."""
    valid = invalid = first = 0
    strange = bytearray()
    number = 1
    with path.open("rb") as file:
        rest = b""
        while True:
            block = file.read(CHUNK)
            block, rest = (rest + block, b"") if not block or len(rest) > 8 * CHUNK else _whole_lines(rest + block)
            if not block and not rest:
                break
            if not block.isascii():
                for place, line in enumerate(block.split(b"\n")):
                    if line.isascii():
                        continue
                    try:
                        line.decode("utf-8")
                        valid += 1
                    except UnicodeDecodeError:
                        invalid += 1
                        first = first or number + place
                        if len(strange) < SAMPLE:
                            strange += line[:4096] + b"\n"
            number += block.count(b"\n")
    return valid, invalid, first, bytes(strange)


def _whole_lines(block: bytes) -> tuple[bytes, bytes]:
    cut = block.rfind(b"\n") + 1
    return block[:cut], block[cut:]


def _legacy(path: Path, strange: bytes, first: int, *, mixed: bool) -> str:
    names = [] if mixed else legacy_encodings(strange)
    for name in names:
        if _decodes(path, name):
            return name
    raise DataError(
        f"{str(path)!r}, line {first}: these bytes are not UTF-8, and no single encoding fits the whole file "
        "(it seems to mix several); save it as UTF-8"
    )


def _decodes(path: Path, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)()
    try:
        with path.open("rb") as file:
            while block := file.read(CHUNK):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
