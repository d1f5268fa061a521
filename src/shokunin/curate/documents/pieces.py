"""Pieces of text and their places to lines in reading order; the same for what a PDF says and what OCR has read.

A *piece* is text without a wide gap. Pieces on one height are one line, with as many blanks between them as would fill
the gap, so that `Total          9.00` stays one line and a character's place in the line tells its place on paper. Two
pieces of words that are far apart are two lines, one after the other: they belong to different columns. And where such
columns of words stand side by side for three lines or more (two addresses), the left one is read to its end first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shokunin.forms import Line

Box = tuple[float, float, float, float]
"""Left, top, right, bottom; the top left corner of the page is 0, 0."""

SAME_HEIGHT = 0.4
"""Centres that differ by less than this share of the smaller piece's height are on one line."""
BLANK = 0.2
"""A gap of this many heights is a blank."""
APART = 3.0
"""A gap of this many heights between words parts two columns."""
GUTTER = 2.0
BLOCK_ROWS = 3
LONGEST_GAP = 80


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that stands together.

    Attributes:
        text: what it says, without blanks at its ends.
        box: where it stands on the page.
        place: where it would stand if the text ran straight from left to right; for most pieces the same as `box`.
    """

    text: str
    box: Box
    place: Box

    @property
    def height(self) -> float:
        """Of the text."""
        return self.place[3] - self.place[1]

    @property
    def middle(self) -> float:
        """The height on which it stands."""
        return (self.place[1] + self.place[3]) / 2

    @property
    def words(self) -> bool:
        """Whether it is made of words rather than of numbers."""
        letters = sum(c.isalpha() for c in self.text)
        return letters >= 2 and 2 * letters >= sum(c.isalnum() for c in self.text)


Row = list[Piece]


def lines_of(pieces: Sequence[Piece], page: int) -> list[Line]:
    """The lines of a page in the order in which they are read."""
    return [_line(part, page) for block in _blocks(_rows(pieces)) for row in block for part in _parts(row)]


def _rows(pieces: Sequence[Piece]) -> list[Row]:
    """Pieces of one height, from the top; in each row from the left."""
    rows: list[Row] = []
    for piece in sorted(pieces, key=lambda p: (p.middle, p.place[0])):
        row = rows[-1] if rows else []
        # The last piece is the nearest in height: a slanted row is followed down.
        if row and piece.middle - row[-1].middle < SAME_HEIGHT * min(piece.height, row[-1].height):
            row.append(piece)
        else:
            rows.append([piece])
    return [_without_doubles(sorted(row, key=lambda p: p.place[0])) for row in rows]


def _without_doubles(row: Row) -> Row:
    """Without what is printed twice at one place to look bold."""
    kept: Row = []
    for piece in row:
        twin = any(piece.text == k.text and abs(piece.place[0] - k.place[0]) < 0.3 * piece.height for k in kept[-3:])
        if not twin:
            kept.append(piece)
    return kept


def _blocks(rows: list[Row]) -> list[list[Row]]:
    """The rows in pieces that are read one after the other: side by side for a while, or all rows below each other."""
    blocks: list[list[Row]] = []
    plain: list[Row] = []
    start = 0
    while start < len(rows):
        found = _side_by_side(rows, start)
        if found is None:
            plain.append(rows[start])
            start += 1
            continue
        end, at = found
        sides = [[[p for p in row if (p.place[0] < at) is left] for row in rows[start:end]] for left in (True, False)]
        blocks += [plain, *([row for row in side if row] for side in sides)]
        plain, start = [], end
    return [*blocks, plain]


def _side_by_side(rows: list[Row], start: int) -> tuple[int, float] | None:
    """Where the columns of words that begin at row `start` end, and a place between them; None: there are none."""
    if len(rows[start]) < 2:
        return None
    for left, right in pairwise(rows[start]):
        low, high, end = left.place[2], right.place[0], start
        while end < len(rows):
            row = rows[end]
            if end > start and row[0].middle - rows[end - 1][0].middle > 2.5 * row[0].height:
                break
            a = max([low, *(p.place[2] for p in row if (p.place[0] + p.place[2]) / 2 < (low + high) / 2)])
            b = min([high, *(p.place[0] for p in row if (p.place[0] + p.place[2]) / 2 >= (low + high) / 2)])
            if b - a < GUTTER * row[0].height:
                break
            low, high, end = a, b, end + 1
        if _two_texts(rows[start:end], (low + high) / 2):
            return end, (low + high) / 2
    return None


def _two_texts(rows: list[Row], at: float) -> bool:
    """Whether these are two texts beside each other, and no table and no list of names with values."""
    left = [p for row in rows for p in row if p.place[0] < at]
    right = [p for row in rows for p in row if p.place[0] >= at]
    both = sum(any(p.place[0] < at for p in row) and any(p.place[0] >= at for p in row) for row in rows)
    if both < BLOCK_ROWS or max(map(len, rows)) > 2:
        return False
    if any(10 * sum(p.words for p in side) < 7 * len(side) for side in (left, right)):
        return False
    return 3 * sum(p.text.endswith((":", "：")) for p in left) < len(left)


def _parts(row: Row) -> list[Row]:
    """A row, parted where two columns of words are far from each other."""
    parts = [[row[0]]]
    for before, piece in pairwise(row):
        gap = piece.place[0] - before.place[2]
        # What begins with a digit is a value to what stands before it: `12 pieces` in a table, `3 May` beside `Date`.
        apart = before.words and piece.words and not piece.text[0].isdigit()
        if apart and gap > APART * min(before.height, piece.height):
            parts.append([])
        parts[-1].append(piece)
    return parts


def _line(part: Row, page: int) -> Line:
    width = sum(p.place[2] - p.place[0] for p in part) / max(1, sum(len(p.text) for p in part))
    text = part[0].text
    for before, piece in pairwise(part):
        gap, height = piece.place[0] - before.place[2], min(before.height, piece.height)
        blanks = 0 if gap < BLANK * height else max(1 if gap < height else 2, round(gap / max(width, 0.1 * height)))
        text += " " * min(blanks, LONGEST_GAP) + piece.text
    boxes = [p.box for p in part]
    box = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
    left, top, right, bottom = (round(x, 1) for x in box)
    return Line(text, (left, top, right, bottom), page)
