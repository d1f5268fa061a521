"""The values that a document proposes for a field, each with the numbers that the trees judge it by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shokunin.fields.candidates import Mention, Segment
from shokunin.fields.memory import Memory
from shokunin.fields.places import Places
from shokunin.fields.spelling import key

Numbers = npt.NDArray[np.float32]
KEPT_BLOCKS = 24
"""Blocks of a document that go on to the trees."""
REMEMBERED = 8
"""Of these, how many are compared with the values of past rows."""
NOTHING = -20.0
VALUE_NUMBERS = 33
"""What the trees know of a value. 0-6: what the linear layer says, rank and lead, how often the value stands there, among how
many. 7-18: its place. 19-29: it as an amount. 30: how often past rows had it. 31 and 32 are kept free."""
BLOCK_NUMBERS = 33
"""What they know of a block. 0-8, 20-25: what the heads say of its first, last and other pieces, and of its neighbours.
9-19, 26-27: its length and place. 28-30: how often past rows had it, how like it is to one of theirs, how often they had that.
31: it is theirs. 32 is kept free."""


@dataclass(frozen=True)
class Proposals:
    """Values that a field may have in a document.

    Attributes:
        keys: n values, so spelled that equal keys are the same value.
        spans: where each stands, (start, end); the place where it is likeliest the value.
        spelled: the spelling of past rows where they have it, else None.
        literal: whether the value stands in the document as such; False for the spelling of a past row that resembles it.
        numbers: shape (n, d).
    """

    keys: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    spelled: tuple[str | None, ...]
    literal: tuple[bool, ...]
    numbers: Numbers


def propose_values(page: Places, found: Sequence[Mention], logits: Numbers, memory: Memory) -> Proposals:
    """One proposal for each different value among the mentions; `logits` has shape (1, n)."""
    places: dict[str, list[int]] = defaultdict(list)
    for i, mention in enumerate(found):
        places[mention.value].append(i)
    keys = tuple(places)
    score = logits[0]
    groups = [np.asarray(p) for p in places.values()]
    best = np.asarray([score[g].max() for g in groups], np.float32)
    at = [int(g[score[g].argmax()]) for g in groups]
    numbers = np.zeros((len(keys), VALUE_NUMBERS), np.float32)
    if keys:
        _fill_scores(numbers, groups, score, best)
        _fill_places(numbers, page, found, groups, at)
        _fill_amounts(numbers, [found[i] for i in at])
        numbers[:, 30] = [memory.count(k) for k in keys]
    spans = tuple((found[i].start, found[i].end) for i in at)
    return Proposals(keys, spans, (None,) * len(keys), (True,) * len(keys), numbers)


def propose_blocks(
    page: Places, found: Sequence[Segment], logits: Numbers, memory: Memory, most_lines: int
) -> Proposals:
    """Runs of pieces that may be a text, and what past rows have that resembles the likeliest of them.

    `logits` has shape (3, n): a piece begins a value, ends one, is part of one.
    """
    n = len(found)
    if not n:
        return Proposals((), (), (), (), np.zeros((0, BLOCK_NUMBERS), np.float32))
    firsts, lasts, scores = _blocks(found, logits, most_lines)
    chosen = np.argsort(-scores, kind="stable")[:KEPT_BLOCKS]
    firsts, lasts, scores = firsts[chosen], lasts[chosen], scores[chosen]
    spans = [(found[i].start, found[j].end) for i, j in zip(firsts, lasts, strict=True)]
    keys = _block_keys(page, found, firsts, lasts)
    numbers = _block_numbers(page, found, logits, firsts, lasts, scores, keys)
    spelled = [memory.spellings.get(value) for value in keys]
    near = [(v, 1.0) if memory.count(v) else memory.nearest(v) for v in keys[:REMEMBERED]]
    numbers[:, 28] = [memory.count(value) for value in keys]
    numbers[: len(near), 29] = [share for _, share in near]
    numbers[: len(near), 30] = [memory.count(value) for value, _ in near]
    literal = [True] * len(keys)
    more = []
    # What past rows have that resembles the likeliest blocks, and that no block is.
    for row, (value, share) in enumerate(near):
        if value and value not in keys:
            keys.append(value)
            spans.append(spans[row])
            spelled.append(memory.spellings[value])
            literal.append(False)
            numbered = numbers[row].copy()
            numbered[28:32] = memory.count(value), share, memory.count(value), 1.0
            more.append(numbered)
    if more:
        numbers = np.concatenate([numbers, np.stack(more)])
    return Proposals(tuple(keys), tuple(spans), tuple(spelled), tuple(literal), numbers)


def _blocks(
    found: Sequence[Segment], logits: Numbers, most_lines: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Numbers]:
    """All runs over at most so many lines: first and last piece, and the sum of what the heads say."""
    starts, ends, inside = logits
    total = np.concatenate([[0.0], np.cumsum(inside, dtype=np.float64)])
    lines = np.asarray([s.line for s in found])
    firsts, lasts, scores = [], [], []
    for length in range(1, most_lines + 4):
        first = np.arange(0, len(found) - length + 1)
        last = first + length - 1
        first, last = (part[lines[last] - lines[first] < most_lines] for part in (first, last))
        firsts.append(first)
        lasts.append(last)
        scores.append(starts[first] + ends[last] + total[last + 1] - total[first])
    return np.concatenate(firsts), np.concatenate(lasts), np.concatenate(scores).astype(np.float32)


def _block_numbers(
    page: Places, found: Sequence[Segment], logits: Numbers, firsts: npt.NDArray[np.int64], lasts: npt.NDArray[np.int64],
    scores: Numbers, keys: Sequence[str],
) -> Numbers:  # fmt: skip
    starts, ends, inside = (np.concatenate([[NOTHING], head, [NOTHING]]) for head in logits)
    height = page.boxes[:, 3] - page.boxes[:, 1]
    usual = float(np.median(height)) or 1.0
    repeated = Counter(keys)
    order = np.argsort(-starts[1:-1]), np.argsort(-ends[1:-1])
    best_start, best_end = starts.max(), ends.max()
    rank_of_start, rank_of_end = np.empty(len(found)), np.empty(len(found))
    rank_of_start[order[0]] = rank_of_end[order[1]] = np.arange(len(found))
    total = np.concatenate([[0.0], np.cumsum(logits[2], dtype=np.float64)]).tolist()
    plain = [head.tolist() for head in (starts, ends, inside)]
    tall, boxes, digits = height.tolist(), page.boxes.tolist(), page.digits_before
    rows = []
    for row, (i, j) in enumerate(zip(firsts.tolist(), lasts.tolist(), strict=True)):
        first, last = found[i], found[j]
        length = last.end - first.start
        box = boxes[first.line]
        other = scores[1] if row == 0 and len(scores) > 1 else scores[0]
        rows.append((
            scores[row], plain[0][i + 1], plain[1][j + 1], min(plain[2][i + 1 : j + 2]), (total[j + 1] - total[i]) / (j + 1 - i),
            plain[2][i], plain[2][j + 2], row, scores[row] - other, last.line - first.line + 1, j - i + 1, length, first.line,
            len(page.lines) - 1 - last.line, box[1], (box[0] + box[2]) / 2, (digits[last.end] - digits[first.start]) / length,
            first.first, last.last, repeated[keys[row]], plain[0][i + 1] - best_start, plain[1][j + 1] - best_end,
            plain[0][j + 2], plain[1][i], rank_of_start[i], rank_of_end[j], tall[first.line] / usual, len(page.lines),
        ))  # fmt: skip
    out = np.zeros((len(keys), BLOCK_NUMBERS), np.float32)
    if rows:
        out[:, : len(rows[0])] = rows
    return out


def _block_keys(
    page: Places, found: Sequence[Segment], firsts: npt.NDArray[np.int64], lasts: npt.NDArray[np.int64]
) -> list[str]:
    """The `key` of each block from those of its pieces; between two pieces there is always a blank or a sign."""
    known: dict[int, str] = {}
    keys = []
    for i, j in zip(firsts.tolist(), lasts.tolist(), strict=True):
        joined = ""
        for n in range(i, j + 1):
            if n not in known:
                known[n] = key(page.text[found[n].start : found[n].end])
            piece = known[n]
            joined += " " + piece if joined and piece and joined[-1].isdigit() and piece[0].isdigit() else piece
        keys.append(joined)
    return keys


def _fill_scores(numbers: Numbers, groups: list[npt.NDArray[np.int64]], score: Numbers, best: Numbers) -> None:
    order = np.argsort(-best, kind="stable")
    rank = np.empty(len(best))
    rank[order] = np.arange(len(best))
    top = best[order[0]]
    second = best[order[1]] if len(best) > 1 else NOTHING
    numbers[:, 0] = best
    numbers[:, 1] = [score[g].mean() for g in groups]
    numbers[:, 2] = [np.sort(score[g])[-2] if len(g) > 1 else NOTHING for g in groups]
    numbers[:, 3] = [len(g) for g in groups]
    numbers[:, 4] = rank
    numbers[:, 5] = best - np.where(rank == 0, second, top)
    numbers[:, 6] = len(groups)


def _fill_places(
    numbers: Numbers, page: Places, found: Sequence[Mention], groups: list[npt.NDArray[np.int64]], at: list[int]
) -> None:
    rows = np.asarray([page.row_of[m.line] for m in found])
    height = page.boxes[:, 3] - page.boxes[:, 1]
    usual = float(np.median(height)) or 1.0
    best = [found[i] for i in at]
    line = np.asarray([m.line for m in best])
    last = len(page.rows) - 1
    numbers[:, 7] = rows[at]
    numbers[:, 8] = last - rows[at]
    numbers[:, 9] = rows[at] / max(last, 1)
    numbers[:, 10] = [rows[g].min() for g in groups]
    numbers[:, 11] = [last - rows[g].max() for g in groups]
    numbers[:, 12:16] = page.boxes[line]
    numbers[:, 16] = height[line] / usual
    numbers[:, 17] = [m.end - m.start for m in best]
    numbers[:, 18] = np.argsort(np.argsort(numbers[:, 10], kind="stable"), kind="stable")


def _fill_amounts(numbers: Numbers, best: list[Mention]) -> None:
    # Bar codes and the like are amounts to nobody, but must fit.
    value = np.clip(np.asarray([m.number for m in best], np.float64), -1e12, 1e12)
    largest = np.abs(value).max() or 1.0
    cents = np.rint(value * 100).astype(np.int64)
    known = set(cents.tolist())
    order = np.argsort(-value, kind="stable")
    rank = np.empty(len(value))
    rank[order] = np.arange(len(value))
    numbers[:, 19] = np.sign(value) * np.log1p(np.abs(value))
    numbers[:, 20] = rank
    numbers[:, 21] = value / largest
    numbers[:, 22] = [m.decimals for m in best]
    numbers[:, 23] = [m.marked for m in best]
    numbers[:, 24] = [m.percent for m in best]
    numbers[:, 25] = value < 0
    numbers[:, 26] = [_differences(c, known) for c in cents.tolist()]
    numbers[:, 27] = [_sums(c, known) for c in cents.tolist()]
    numbers[:, 28] = len(value) - 1 - rank
    numbers[:, 29] = value == np.rint(value)


def _differences(value: int, known: set[int]) -> int:
    """In how many ways the value is one amount less another one, as a total is the cash less the change."""
    return (
        sum(other - value in known and other != 2 * value for other in known if other > value > 0)
        if len(known) <= 200
        else 0
    )


def _sums(value: int, known: set[int]) -> int:
    """In how many ways the value is the sum of two amounts, as a total is the net amount and the tax."""
    return sum(value - other in known for other in known if 0 < 2 * other < value) if len(known) <= 200 else 0
