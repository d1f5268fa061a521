"""The characters of a PDF page and their places, and the pieces of text that they make up."""

from __future__ import annotations

import ctypes
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shokunin.curate.documents.pieces import Box, Piece

GAP = 1.0
"""Heights between characters of one piece at most."""
BLANK = 0.25
FINE = 100.0
"""PDFium gives device places as whole numbers; a page that is so many times larger makes them hundredths of a point."""
UNREADABLE = 0.3
"""A page on which more of the characters mean nothing is read by OCR: its fonts do not say which letters they draw."""


@dataclass(frozen=True, slots=True)
class Character:
    """One character.

    Attributes:
        text: one or a few letters (a ligature is taken apart).
        box: where it stands on the page, in points from its top left corner.
        turn: which way its text runs: 0 to the right, 1 down, 2 to the left, upside down, 3 up.
        blank: whether there is a blank before it.
    """

    text: str
    box: Box
    turn: int
    blank: bool


def characters_of(page: Any, width: float, height: float, limit: int) -> list[Character] | None:
    """The characters of a page in the order in which the file has them; None: more than `limit`."""
    import pypdfium2.raw as raw

    text = page.get_textpage()
    try:
        count = text.count_chars()
        if count > 2 * limit:
            return None
        to_page = _affine(page, width, height)
        found: list[Character] = []
        rect = ctypes.byref(box := raw.FS_RECTF())
        handle, blank = text.raw, False
        for i in range(count):
            code = raw.FPDFText_GetUnicode(handle, i)
            letters = _letters(code)
            if letters is None:
                blank = True
                continue
            if not letters or not raw.FPDFText_GetLooseCharBox(handle, i, rect):
                continue
            place = _mapped(to_page, box.left, box.top, box.right, box.bottom)
            turn = _turn(to_page, raw.FPDFText_GetCharAngle(handle, i))
            if (
                all(map(math.isfinite, place))
                and place[2] > 0
                and place[0] < width
                and place[3] > 0
                and place[1] < height
            ):
                found.append(Character(letters, place, turn, blank))
                blank = False
        return found
    finally:
        text.close()


def readable(characters: Sequence[Character]) -> bool:
    """Whether the characters mean something."""
    strange = sum(unicodedata.category(c.text[0]) in ("Co", "Cn", "Cc") or c.text == "\ufffd" for c in characters)
    return bool(characters) and strange <= UNREADABLE * len(characters)


def pieces_of(characters: Sequence[Character], width: float, height: float) -> list[list[Piece]]:
    """The pieces of text, those of each direction apart, that of most of the text first.

    Boxes are those of the page turned so that most of its text is upright.
    """
    turns = Counter(c.turn for c in characters)
    groups: list[list[Piece]] = []
    main = turns.most_common(1)[0][0]

    def upright(box: Box) -> Box:
        return _turned(box, main, width, height)

    for turn, _ in turns.most_common():
        runs: list[list[tuple[Character, Box]]] = []
        for one in characters:
            if one.turn != turn:
                continue
            here = (one, _turned(one.box, turn, width, height))
            if runs and _follows(runs[-1][-1], here):
                runs[-1].append(here)
            else:
                runs.append([here])
        groups.append([piece for run in runs if (piece := _piece(run, upright)) is not None])
    return groups


def _follows(before: tuple[Character, Box], here: tuple[Character, Box]) -> bool:
    """Whether a character goes on where the one before it ended."""
    (left, top, right, bottom), (x0, y0, x1, y1) = before[1], here[1]
    height = max(min(bottom - top, y1 - y0), 1e-3)
    if abs((top + bottom) - (y0 + y1)) > height or max(bottom - top, y1 - y0) > 2 * height:
        return False
    if -0.5 * height <= x0 - right <= GAP * height:
        return True
    leftwards = unicodedata.bidirectional(here[0].text[0]) in ("R", "AL")
    return leftwards and -0.5 * height <= left - x1 <= GAP * height


def _piece(run: Sequence[tuple[Character, Box]], upright: Callable[[Box], Box]) -> Piece | None:
    text = ""
    for i, (one, box) in enumerate(run):
        height = box[3] - box[1]
        if i and (one.blank or box[0] - run[i - 1][1][2] > BLANK * height):
            text += " "
        text += one.text
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        return None
    return Piece(text, upright(_around([one.box for one, _ in run])), _around([box for _, box in run]))


def _letters(code: int) -> str | None:
    """What a character stands for; None: a blank; "": nothing that is seen."""
    if code in (0x2, 0xAD):
        return "-" if code == 0x2 else ""  # PDFium's mark of a hyphen at the end of a line; a hyphen that is not shown
    if code == 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000 or code in (0xFFFE, 0xFFFF):
        return "\ufffd"
    letter = chr(code)
    if letter.isspace() or code in (0x200B, 0xFEFF):
        return None
    if 0xFB00 <= code <= 0xFB06:
        return unicodedata.normalize("NFKC", letter)
    return letter


Affine = tuple[float, float, float, float, float, float]


def _affine(page: Any, width: float, height: float) -> Affine:
    """From the page's own axes to points from its top left corner, as it is seen: rotated and cut."""
    import pypdfium2.raw as raw

    def seen(x: float, y: float) -> tuple[float, float]:
        across, down = ctypes.c_int(), ctypes.c_int()
        size = max(1, round(width * FINE)), max(1, round(height * FINE))
        raw.FPDF_PageToDevice(page.raw, 0, 0, *size, 0, x, y, across, down)
        return across.value / FINE, down.value / FINE

    (x0, y0), (x1, y1), (x2, y2) = seen(0, 0), seen(1000, 0), seen(0, 1000)
    return ((x1 - x0) / 1000, (x2 - x0) / 1000, x0, (y1 - y0) / 1000, (y2 - y0) / 1000, y0)


def _mapped(affine: Affine, *corners: float) -> Box:
    a, b, c, d, e, f = affine
    x0, y0, x1, y1 = corners
    across = (a * x0 + b * y0 + c, a * x1 + b * y1 + c)
    down = (d * x0 + e * y0 + f, d * x1 + e * y1 + f)
    return min(across), min(down), max(across), max(down)


def _turn(affine: Affine, angle: float) -> int:
    """Which way text runs on the page as it is seen, given its angle against the page's own axes."""
    a, b, _, d, e, _ = affine
    x, y = math.cos(angle), -math.sin(angle)  # PDFium counts it clockwise
    return round(math.atan2(d * x + e * y, a * x + b * y) / (math.pi / 2)) % 4


def _turned(box: Box, turn: int, width: float, height: float) -> Box:
    """The box after turning the page so that the text runs to the right."""
    left, top, right, bottom = box
    if turn == 1:
        return top, width - right, bottom, width - left
    if turn == 2:
        return width - right, height - bottom, width - left, height - top
    if turn == 3:
        return height - bottom, left, height - top, right
    return box


def _around(boxes: Sequence[Box]) -> Box:
    return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)
