"""PDF: the text that its pages carry, with places; a page that carries none is drawn for OCR.

The library (PDFium) is not made for threads: whoever uses it holds `ONE_AT_A_TIME`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from shokunin.curate.documents.characters import characters_of, pieces_of, readable
from shokunin.curate.documents.limits import DocumentLimits
from shokunin.curate.documents.pieces import lines_of
from shokunin.errors import DocumentError, MissingExtraError
from shokunin.forms import Line
from shokunin.progress import Progress

ONE_AT_A_TIME = threading.RLock()
ENCRYPTED, FORMAT, SECURITY = 4, 3, 5
"""PDFium's reasons for not opening a file: a password is asked for, it is damaged, it is protected in an unknown way."""
LITTLE = 40
"""A page with fewer characters, most of which a picture covers, is a scan with a stamp on it."""
DRAWN = 2400
"""Pixels of the longer side of a drawn page at most: about 200 dots per inch of A4."""
FINEST = 300
"""Dots per inch at most; a small page gains nothing by more."""

Ocr = Callable[[Any, str, int], list[Line]]
"""Reads a picture (an array), of a document of this name, as the page of this number."""


def read_pdf(data: bytes, name: str, limits: DocumentLimits, ocr: Ocr, progress: Progress) -> list[Line]:
    """The lines of all pages.

    Args:
        data: the file.
        name: for messages.
        limits: what is read.
        ocr: reads the pages that carry no text.
        progress: told after every page.

    Raises:
        DocumentError: the file is encrypted, damaged or too large, or a page is.
        MissingExtraError: PDFium is not installed.
    """
    with ONE_AT_A_TIME, _opened(data, name) as pdf:
        count = len(pdf)
        if count > limits.pages:
            raise DocumentError(
                name, f"a PDF of more than {limits.pages:,} pages", f"it has {count:,}: cut out those that matter"
            )
        lines: list[Line] = []
        for number in range(count):
            lines += _read_page(pdf, number, name, limits, ocr)
            if sum(len(line.text) for line in lines) > limits.characters:
                raise too_long(name, limits)
            progress("reading pages", number + 1, count)
        return lines


def too_long(name: str, limits: DocumentLimits) -> DocumentError:
    """The error for a document with more text than is read."""
    return DocumentError(
        name, f"a document of more than {limits.characters:,} characters", "cut out the pages that matter"
    )


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Any]:
    try:
        import pypdfium2
    except ModuleNotFoundError as error:
        raise MissingExtraError("pypdfium2", "documents") from error
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code in (ENCRYPTED, SECURITY):
            raise DocumentError(name, "the PDF is encrypted", "save it without a password") from error
        raise DocumentError(name, "the PDF is damaged", "export it again") from error
    try:
        if not len(pdf):
            raise DocumentError(name, "the PDF is damaged", "it has no page; export it again")
        with suppress(pypdfium2.PdfiumError):  # of a damaged form; the pages may still be read
            pdf.init_forms()  # what was typed into a form is text like the rest
        yield pdf
    finally:
        pdf.close()


def _read_page(pdf: Any, number: int, name: str, limits: DocumentLimits, ocr: Ocr) -> list[Line]:
    import pypdfium2

    try:
        page = pdf[number]
    except pypdfium2.PdfiumError as error:
        raise DocumentError(name, "a page of the PDF is damaged", f"page {number + 1}; export it again") from error
    try:
        if page.formenv:
            page.flatten()
            page.close()
            page = pdf[number]
        width, height = page.get_size()
        characters = characters_of(page, width, height, limits.characters)
        if characters is None:
            raise too_long(name, limits)
        pictures = _pictures(page)
        if readable(characters) and not (len(characters) < LITTLE and _covers(pictures, width, height)):
            return [line for group in pieces_of(characters, width, height) for line in lines_of(group, number)]
        if not characters and not pictures and not _drawn_on(page):
            return []  # an empty page, as the back of a sheet
        if max(width, height) > limits.page_points:
            reason = f"a page of more than {limits.page_points / 72 * 2.54:,.0f} cm without text"
            raise DocumentError(name, reason, f"page {number + 1}; it would be unreadable when drawn: cut it up")
        if sum(w * h for w, h, _ in pictures) > limits.pixels:
            reason = f"a page with pictures of more than {limits.pixels / 1e6:,.0f} million pixels"
            raise DocumentError(name, reason, f"page {number + 1}; scan it at 300 dots per inch")
        scale = min(DRAWN / max(width, height, 1.0), FINEST / 72)
        drawn = page.render(scale=scale).to_numpy()
        return [_scaled(line, 1 / scale) for line in ocr(drawn, name, number)]
    except pypdfium2.PdfiumError as error:
        raise DocumentError(name, "a page of the PDF is damaged", f"page {number + 1}; export it again") from error
    finally:
        page.close()


def _pictures(page: Any) -> list[tuple[int, int, float]]:
    """Of each picture on a page: width and height in pixels, and the area that it covers."""
    import ctypes

    import pypdfium2.raw as raw

    found = []
    for one in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=4):
        wide, high = ctypes.c_uint(), ctypes.c_uint()
        if raw.FPDFImageObj_GetImagePixelSize(one, wide, high):
            left, bottom, right, top = one.get_bounds()
            found.append((wide.value, high.value, abs((right - left) * (top - bottom))))
    return found


def _covers(pictures: list[tuple[int, int, float]], width: float, height: float) -> bool:
    return any(area > 0.5 * width * height for _, _, area in pictures)


def _drawn_on(page: Any) -> bool:
    """Whether anything but text and pictures is on a page: some programs draw letters as curves."""
    return any(True for _ in page.get_objects(max_depth=2))


def _scaled(line: Line, scale: float) -> Line:
    assert line.box is not None
    left, top, right, bottom = (round(scale * x, 1) for x in line.box)
    return Line(line.text, (left, top, right, bottom), line.page)
