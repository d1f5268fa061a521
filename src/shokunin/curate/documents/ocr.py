"""OCR of a picture: text and places, by models that come with their package, so that nothing is ever fetched."""

from __future__ import annotations

import logging
import math
import threading
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from shokunin.curate.documents.pdf import DRAWN
from shokunin.curate.documents.pieces import Box, Piece, lines_of
from shokunin.errors import DocumentError, MissingExtraError
from shokunin.forms import Line

_ONE_AT_A_TIME = threading.Lock()
MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}


def read_picture(picture: Any, name: str, page: int) -> list[Line]:
    """The lines in a picture; none where it shows no text.

    Args:
        picture: array of shape (height, width, 3), uint8, blue first.
        name: the document's, for messages.
        page: its number, from 0.

    Raises:
        MissingExtraError: the OCR library is not installed; the page is named.
        DocumentError: the library fails on this picture.
    """
    try:
        reader = _reader()
    except ModuleNotFoundError as error:
        raise NoOcrError(name, page) from error
    try:
        with _ONE_AT_A_TIME:  # it keeps what it does in itself
            found = reader(picture)
    except Exception as error:  # whatever its libraries raise is about this picture
        raise DocumentError(name, "OCR fails on a page", f"page {page + 1}: {error}; scan it again") from error
    if found.boxes is None or not found.txts:
        return []
    quads = [[(float(x), float(y)) for x, y in quad] for quad in found.boxes]
    slant = _slant(quads)
    pieces = [
        Piece(text.strip(), _around(quad), _around([_straight(point, slant) for point in quad]))
        for quad, text in zip(quads, found.txts, strict=True)
        if text.strip()
    ]
    return lines_of(pieces, page)


class NoOcrError(MissingExtraError):
    """A page has no text of its own, and what would read it is not installed."""

    def __init__(self, name: str, page: int) -> None:
        super().__init__("rapidocr", "documents")
        self.args = (f"{name!r}, page {page + 1}, carries no text and must be read by OCR: {self.args[0]}",)


@cache
def _reader() -> Any:
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    import rapidocr

    models = Path(rapidocr.__file__).parent / "models"
    missing = [file for file in MODELS.values() if not (models / file).is_file()]
    if missing:
        raise ModuleNotFoundError(f"rapidocr comes without {missing[0]}", name="rapidocr")
    params: dict[str, Any] = {f"{part}.model_path": str(models / file) for part, file in MODELS.items()}
    return rapidocr.RapidOCR(params={**params, "Global.log_level": "error", "Global.max_side_len": DRAWN})


def _slant(quads: list[list[tuple[float, float]]]) -> float:
    """The angle by which the page lies askew, in radians: the middle one of those of the long lines."""
    angles = [
        math.atan2(quad[1][1] - quad[0][1], quad[1][0] - quad[0][0])
        for quad in quads
        if math.dist(quad[0], quad[1]) > 3 * math.dist(quad[0], quad[3])
    ]
    angle = median(angles) if len(angles) >= 3 else 0.0
    return angle if abs(angle) < math.pi / 6 else 0.0


def _straight(point: tuple[float, float], slant: float) -> tuple[float, float]:
    x, y = point
    return x * math.cos(slant) + y * math.sin(slant), y * math.cos(slant) - x * math.sin(slant)


def _around(points: list[tuple[float, float]]) -> Box:
    return min(x for x, _ in points), min(y for _, y in points), max(x for x, _ in points), max(y for _, y in points)
