"""Where the lines of a document stand: visual rows, neighbours, and places relative to the page."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from shokunin.fields.dates import DateAt, find_dates
from shokunin.fields.spelling import fold
from shokunin.forms import Document

Geometry = npt.NDArray[np.float32]


class Places:
    """A document's lines in space. Without boxes every line is a row of its own, and its place is its number."""

    def __init__(self, document: Document) -> None:
        self.lines = tuple(line.text.replace("\n", " ") for line in document.lines)
        self.text = "\n".join(self.lines)
        self.plain = fold(self.text)
        starts, at = [], 0
        for line in self.lines:
            starts.append(at)
            at += len(line) + 1
        self.starts = starts
        self.has_boxes = bool(document.lines) and all(line.box is not None for line in document.lines)
        self.boxes = _relative(document) if self.has_boxes else _by_number(self.lines)
        self.rows = _rows(self.boxes) if self.has_boxes else [[i] for i in range(len(self.lines))]
        self.row_of = [0] * len(self.lines)
        self.place_in_row = [0] * len(self.lines)
        for number, row in enumerate(self.rows):
            for place, which in enumerate(row):
                self.row_of[which], self.place_in_row[which] = number, place

    def line_at(self, place: int) -> int:
        """The number of the line that a character of `text` is on."""
        return bisect_right(self.starts, place) - 1

    @cached_property
    def dates(self) -> list[DateAt]:
        """All dates of the text."""
        return find_dates(self.plain)

    @cached_property
    def digits_before(self) -> list[int]:
        """For each place in the text the number of digits before it; one entry more than characters."""
        return [0, *accumulate(map(str.isdigit, self.text))]

    @cached_property
    def row_texts(self) -> list[str]:
        """The rows' texts, upper case."""
        return [" ".join(self.lines[i] for i in row).upper() for row in self.rows]

    @cached_property
    def above(self) -> list[int]:
        """For each line the line of the row above that stands over it, or -1."""
        return [self._over(i, -1) for i in range(len(self.lines))]

    @cached_property
    def below(self) -> list[int]:
        """For each line the line of the row below that stands under it, or -1."""
        return [self._over(i, 1) for i in range(len(self.lines))]

    def left_of(self, line: int) -> str:
        """What stands left of a line on its row."""
        row = self.rows[self.row_of[line]]
        return " ".join(self.lines[i] for i in row[: self.place_in_row[line]])

    def right_of(self, line: int) -> str:
        """What stands right of a line on its row."""
        row = self.rows[self.row_of[line]]
        return " ".join(self.lines[i] for i in row[self.place_in_row[line] + 1 :])

    def _over(self, line: int, step: int) -> int:
        number = self.row_of[line] + step
        if not 0 <= number < len(self.rows):
            return -1
        left, _, right, _ = self._box(line)
        best, most = -1, 0.0
        for other in self.rows[number]:
            box = self._box(other)
            shared = min(right, box[2]) - max(left, box[0])
            if shared > most:
                best, most = other, shared
        return best

    def _box(self, line: int) -> list[float]:
        return self._plain_boxes[line]

    @cached_property
    def _plain_boxes(self) -> list[list[float]]:
        boxes: list[list[float]] = self.boxes.tolist()
        return boxes


def _relative(document: Document) -> Geometry:
    """Boxes (n, 4) with each page's text reaching from 0 to 1 both ways; pages stand under each other."""
    told = np.nan_to_num(np.asarray([line.box for line in document.lines], np.float64), posinf=0.0, neginf=0.0)
    boxes = np.clip(told, -1e9, 1e9).astype(np.float32)
    boxes = np.stack(
        [boxes[:, [0, 2]].min(1), boxes[:, [1, 3]].min(1), boxes[:, [0, 2]].max(1), boxes[:, [1, 3]].max(1)], axis=1
    )
    pages = np.asarray([line.page for line in document.lines])
    for number, page in enumerate(np.unique(pages)):
        mine = boxes[pages == page]
        low, high = mine[:, :2].min(0), mine[:, 2:].max(0)
        size = np.maximum(high - low, 1e-6)
        shift = np.asarray([0, number, 0, number], np.float32)
        boxes[pages == page] = (mine - np.tile(low, 2)) / np.tile(size, 2) + shift
    return boxes


def _by_number(lines: tuple[str, ...]) -> Geometry:
    """Places from line numbers and characters, as if every letter were as wide as every other."""
    n = max(len(lines), 1)
    widest = max((len(line) for line in lines), default=1) or 1
    out = np.zeros((len(lines), 4), np.float32)
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        out[i] = indent / widest, i / n, max(len(line.rstrip()), indent) / widest, (i + 1) / n
    return out


def _rows(boxes: Geometry) -> list[list[int]]:
    """Lines side by side: those that share at least half of the lower one's height with the row, and no width with its lines."""
    middle = (boxes[:, 1] + boxes[:, 3]) / 2
    plain: list[list[float]] = boxes.tolist()
    rows: list[list[int]] = []
    for line in np.lexsort((boxes[:, 0], middle)).tolist():
        for row in rows[-2:][::-1]:
            if all(_beside(plain[line], plain[other]) for other in row):
                row.append(line)
                break
        else:
            rows.append([line])
    for row in rows:
        row.sort(key=lambda i: plain[i][0])
    return rows


def _beside(a: list[float], b: list[float]) -> bool:
    height = min(a[3] - a[1], b[3] - b[1])
    shared = min(a[3], b[3]) - max(a[1], b[1])
    width = min(a[2], b[2]) - max(a[0], b[0])
    return shared >= 0.5 * height and width <= 0.3 * min(a[2] - a[0], b[2] - b[0])
