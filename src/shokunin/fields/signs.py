"""The words around a candidate, and a linear layer that has learned which of them announce a value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from shokunin.fields.candidates import Mention, Segment, word_key
from shokunin.fields.places import Places

Signs = list[list[str]]
"""For each candidate the names of what was seen at it, as often as it was seen."""
Numbers = npt.NDArray[np.float32]
RARE = 2
"""What is seen in fewer documents teaches nothing about others."""

_WORD = re.compile(r"[^\W_]+(?:[.'&/-][^\W_]+)*%?")


@dataclass(frozen=True)
class LinearSigns:
    """Heads that add up what each sign counts for.

    Attributes:
        vocabulary: the signs' numbers.
        weight: shape (heads, d).
        bias: shape (heads,).
    """

    vocabulary: dict[str, int]
    weight: Numbers
    bias: Numbers

    @classmethod
    def of(cls, words: Sequence[str], tensors: Mapping[str, Numbers], name: str) -> LinearSigns:
        """From a list of words and the tensors `name.weight` and `name.bias`; ValueError or KeyError if they do not fit."""
        weight, bias = tensors[f"{name}.weight"].astype(np.float32), tensors[f"{name}.bias"].astype(np.float32)
        if bias.ndim != 1 or weight.shape != (len(bias), len(words)):
            raise ValueError(f"the weights {name!r} do not fit the vocabulary")
        return cls({word: i for i, word in enumerate(words)}, weight, bias)

    @property
    def words(self) -> list[str]:
        """The vocabulary in the order of the weights."""
        return sorted(self.vocabulary, key=self.vocabulary.__getitem__)

    def logits(self, signs: Signs) -> Numbers:
        """Shape (heads, n)."""
        columns, ends = columns_of(signs, self.vocabulary)
        summed = np.zeros((len(columns) + 1, len(self.bias)), np.float64)
        np.cumsum(self.by_sign[columns], axis=0, out=summed[1:])
        return np.asarray((summed[ends[1:]] - summed[ends[:-1]]).T + self.bias[:, None], np.float32)

    @cached_property
    def by_sign(self) -> Numbers:
        """The weights, shape (d, heads): a sign's numbers beside each other in memory."""
        return np.ascontiguousarray(self.weight.T)


def columns_of(signs: Signs, vocabulary: dict[str, int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The known signs' numbers one candidate after the other, and where each candidate begins; sparse rows without values."""
    get = vocabulary.get
    rows = [[n for n in map(get, row) if n is not None] for row in signs]
    ends = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=ends[1:])
    return np.fromiter((n for row in rows for n in row), np.int32, int(ends[-1])), ends


def vocabulary_of(documents: Iterable[Signs], limit: int) -> dict[str, int]:
    """The signs seen in at least `RARE` documents, the most frequent `limit` of them, numbered in alphabetical order."""
    seen: Counter[str] = Counter()
    for signs in documents:
        seen.update({sign for row in signs for sign in row})
    kept = sorted((s for s, n in seen.items() if n >= RARE), key=lambda s: (-seen[s], s))[:limit]
    return {sign: i for i, sign in enumerate(sorted(kept))}


def mention_signs(page: Places, found: Sequence[Mention]) -> Signs:
    """What stands left, right, above and below of each mention, and how it is written itself."""
    rows = [_row_words(text) for text in page.row_texts]
    return [_mention(page, rows, mention) for mention in found]


def segment_signs(page: Places, found: Sequence[Segment]) -> Signs:
    """The words of each piece, of its neighbours, and where it stands."""
    own = [_words(page.text[s.start : s.end]) for s in found]
    return [_segment(page, found, own, place) for place in range(len(found))]


def row_signs(page: Places) -> Signs:
    """What stands on each visual row, how it is written, and what stands above and below."""
    shapes = [" ".join(map(shape, re.findall(r"\S+", text)[:12])) for text in page.row_texts]
    words = [_words(text)[:12] for text in page.row_texts]
    out = []
    for row, form in enumerate(shapes):
        before, behind = shapes[row - 1] if row else "<", shapes[row + 1] if row + 1 < len(shapes) else ">"
        tokens = form.split()
        signs = [f"s:{form[:30]}", f"h:{' '.join(tokens[:2])}", f"t:{' '.join(tokens[-2:])}", f"n:{len(tokens)}"]
        signs += [f"k:{len(page.rows[row])}", f"d:{sum(any(c == '0' for c in t) for t in tokens)}", f"y:{min(row, 5)}"]
        signs += [f"l:{t}" for t in tokens] + [f"w:{w}" for w in words[row]]
        signs += [f"p:{t}" for t in before.split()[-3:]] + [f"b:{t}" for t in behind.split()[-3:]]
        signs += [f"pw:{w}" for w in (words[row - 1] if row else ())]
        signs += [f"bw:{w}" for w in (words[row + 1] if row + 1 < len(words) else ())]
        out.append(signs)
    return out


def shape(text: str, longest: int = 14) -> str:
    """How a text is written: 0 for a digit, A and a for letters, other characters as they are."""
    out = re.sub(r"[^\W\d_]", lambda m: "A" if m.group().isupper() else "a", re.sub(r"\d", "0", text[:longest]))
    return out + ("+" if len(text) > longest else "")


def _mention(page: Places, rows: list[list[str]], mention: Mention) -> list[str]:
    number = mention.line
    base = page.starts[number]
    line = page.lines[number]
    left = _words(f"{page.left_of(number)} {line[: max(mention.start - base, 0)]}")[-6:]
    right = _words(f"{line[mention.end - base :]} {page.right_of(number)}")[:3]
    raw = page.text[mention.start : mention.end]
    form = shape(raw)
    row = page.row_of[number]
    above, below = page.above[number], page.below[number]
    joined = " ".join(left)
    last = left[-1] if left else ""
    out = [
        f"s:{form}", f"l1:{last}", f"l2:{' '.join(left[-2:])}", f"ll:{joined}", f"s|l:{form}|{last}",
        f"r1:{right[0] if right else ''}", f"y:{min(row, 9)}", f"z:{min(len(page.rows) - 1 - row, 9)}", f"i:{raw[:2]}",
    ]  # fmt: skip
    out += [f"l:{w}" for w in left]
    out += [f"r:{w}" for w in right]
    out += [f"c:{joined[i : i + 4]}" for i in range(max(len(joined) - 24, 0), len(joined) - 3)]
    if above >= 0:
        out += [f"a:{w}" for w in _words(page.lines[above])[:4]]
    if below >= 0:
        out += [f"b:{w}" for w in _words(page.lines[below])[:3]]
    for name, near in (("p", row - 1), ("q", row - 2), ("n", row + 1), ("m", row + 2)):
        if 0 <= near < len(rows):
            out += [f"{name}:{w}" for w in rows[near][:4]]
    return out


def _segment(page: Places, found: Sequence[Segment], own: list[list[str]], place: int) -> list[str]:
    piece, words = found[place], own[place]
    text = page.text[piece.start : piece.end]
    upper = "".join(words)[:40]
    first, last = (words[0], words[-1]) if words else ("", "")
    before = own[place - 1] if place else ["<"]
    behind = own[place + 1] if place + 1 < len(own) else [">"]
    digits = sum(c.isdigit() for c in text)
    out = [
        f"f:{first}", f"t:{last}", f"f2:{' '.join(words[:2])}", f"t2:{' '.join(words[-2:])}", f"k:{min(place, 12)}",
        f"j:{min(len(found) - 1 - place, 6)}", f"n:{min(len(words), 7)}", f"d:{min(digits, 9)}", f"e:{text[-1:]}",
        f"at:{piece.first}{piece.last}", f"pt:{before[-1] if before else ''}", f"bf:{behind[0] if behind else ''}",
        f"pe:{page.text[found[place - 1].end - 1] if place else ''}", f"ca:{text.isupper()}{text.istitle()}",
        f"all:{' '.join(words)}", f"w?{bool(words)}",
    ]  # fmt: skip
    out += [f"w:{w}" for w in words[:10]]
    out += [f"p:{w}" for w in before[:10]]
    out += [f"b:{w}" for w in behind[:10]]
    if place > 1:
        out += [f"pp:{w}" for w in own[place - 2][:6]]
    out += [f"c:{upper[i : i + 4]}" for i in range(len(upper) - 3)]
    if page.has_boxes or "  " in page.lines[piece.line]:
        out += [f"l:{w}" for w in _words(page.left_of(piece.line))[-3:]]
        above = page.above[piece.line]
        out += [f"a:{w}" for w in (_words(page.lines[above])[:5] if above >= 0 else ())]
    return out


def _words(text: str) -> list[str]:
    """Words of the scripts with blanks; a run of the others is cut into pairs."""
    found = [word_key(w) for w in _WORD.findall(text)]
    if text.isascii():
        return found
    return [piece for word in found for piece in (_pairs(word) if word and ord(word[0]) > 0x2E80 else (word,))]


def _pairs(word: str) -> list[str]:
    return [word[i : i + 2] for i in range(max(len(word) - 1, 1))]


def _row_words(text: str) -> list[str]:
    return [w for w in _words(text) if w.strip("0.,/-%")]
