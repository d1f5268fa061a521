"""What a file is, told by its first bytes and never by its name."""

from __future__ import annotations

from typing import Literal

from shokunin.errors import DocumentError

Content = Literal["pdf", "picture", "text"]
HEAD = 1024
"""So many bytes are looked at: a PDF may begin with a little of something else."""

SUFFIXES = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
"""How the names of documents end that are told from rows by it; what is in them is told by their bytes."""

PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")
OTHERS = (
    (b"PK\x03\x04", "an Office file or another ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Office file"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"{\\rtf", "an RTF document"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
READ = "PDF, PNG, JPEG, TIFF, WebP and plain text are read"


def is_document(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a PDF or a picture."""
    picture = head.startswith(PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
    return picture or b"%PDF-" in head[:HEAD]


def content_of(head: bytes, name: str) -> Content:
    """What a file is that begins with these bytes.

    Raises:
        DocumentError: it is empty, or none of what is read.
    """
    if not head:
        raise DocumentError(name, "the file is empty", "copy it again")
    if b"%PDF-" in head[:HEAD]:
        return "pdf"
    if is_document(head):
        return "picture"
    if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        raise DocumentError(name, "it is a HEIC or AVIF picture", f"save it as JPEG; {READ}")
    for magic, what in OTHERS:
        if head.startswith(magic) and (len(magic) > 2 or _binary(head)):
            raise DocumentError(name, f"it is {what}", f"print it as PDF; {READ}")
    if _binary(head) and not head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16 has zero bytes
        raise DocumentError(name, "it is of a kind that is not read", READ)
    return "text"


def _binary(head: bytes) -> bool:
    odd = sum(head.count(bytes([b])) for b in range(32) if b not in b"\t\n\r\x0c\x1b")
    return odd > max(0, len(head) // 50)
