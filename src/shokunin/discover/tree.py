"""Tree of wordings: prompts sorted by what they have in common from their beginning on; each leaf is one way to phrase a request.

Related to Drain (He et al., ICWS 2017), which keeps the first words of log lines in a tree of fixed depth. Prompts are
longer and their slots are longer still, so the steps here are segments, a slot may hold any number of them, and what
follows it is found by an anchor: a segment that most of the prompts have. A leaf may be narrower than a task, as a prompt's
versions are leaves of their own; what belongs together is put together later, by what the answers say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from shokunin.template.segments import Segmented

FEWEST = 8
"""Prompts; a way to go on that fewer have may be chance."""
SHARE = 0.1
"""The share of prompts that must go on in one way for it to be a branch rather than something that fills a slot."""
IDENTITY = 2
"""So many first segments of the system prompt say which application speaks; there even a small share is a branch."""
CROWD = 10
"""From so many branches on that meet again in an anchor they are the fillings of a slot, such as examples drawn anew."""
CONCENTRATED = 0.8
"""So many of a node's prompts must go one of the ways, beyond the beginning, for the ways to be versions of the prompt."""
COMMON, USUAL = 0.5, 0.8
"""Of the prompts of a node so many must have an anchor; and so many must have it at the same distance from an end."""
MET = 0.9
LONG = 16
"""Letters and digits; a shorter segment of a user's message, without a colon after it, may be a greeting."""
SENTENCE = 24
"""Letters and digits; a segment so long is an anchor even if few of the messages have it."""
CANDIDATES = 200
DEEPEST = 240
SYSTEM, CONTEXT, LAST = 0, 1, 2
"""The blocks of a prompt."""


@dataclass(slots=True)
class Node:
    """One place in the tree.

    Attributes:
        follow: what the next segment may be, and where it leads.
        anchors: else, what to look for further on, and where that leads.
        end: else, the root of the next block of the prompt.
        leaf: in the last block instead of `end`: the number of the wording.
    """

    follow: dict[str, Node] = field(default_factory=dict)
    anchors: list[tuple[str, Node]] = field(default_factory=list)
    end: Node | None = None
    leaf: int = -1


_Item = tuple[int, int]
"""The number of a prompt, and the place in its block that has been read up to."""


class Tree:
    """Sorts prompts into wordings.

    Attributes:
        leaves: how many wordings there are.
    """

    def __init__(self, prompts: Sequence[Segmented]) -> None:
        self._prompts = [p.blocks for p in prompts]
        self.leaves = 0
        self._root = self._grow([(i, 0) for i in range(len(prompts))], 0, 0)
        self._prompts = []

    def place(self, prompt: Segmented) -> int:
        """The number of the wording that a prompt has, -1 if it goes a way that none of the first ones went."""
        node: Node | None = self._root
        for segments in prompt.blocks:
            if node is None:
                return -1
            last = _walk(node, segments)
            node = last.end
        return last.leaf

    # ---- growing ----

    def _grow(self, items: list[_Item], block: int, depth: int) -> Node:
        node = Node()
        follow: dict[str, list[_Item]] = {}
        if depth < DEEPEST:
            follow = self._branches(items, block)
        rest = [item for item in items if self._next(item, block) not in follow]
        for segment, branch in follow.items():
            node.follow[segment] = self._grow([(i, at + 1) for i, at in branch], block, depth + 1)
        while depth < DEEPEST and (anchor := self._anchor(rest, block)) is not None:
            found = [
                (i, self._prompts[i][block].index(anchor, at) + 1) for i, at in rest if self._has(i, at, block, anchor)
            ]
            rest = [(i, at) for i, at in rest if not self._has(i, at, block, anchor)]
            node.anchors.append((anchor, self._grow(found, block, depth + 1)))
        if rest and block == LAST:
            node.leaf, self.leaves = self.leaves, self.leaves + 1
        elif rest:
            node.end = self._grow([(i, 0) for i, _ in rest], block + 1, 0)
        return node

    def _branches(self, items: Sequence[_Item], block: int) -> dict[str, list[_Item]]:
        ways: dict[str, list[_Item]] = {}
        for item in items:
            segment = self._next(item, block)
            if segment is not None:
                ways.setdefault(segment, []).append(item)
        kept = {s: w for s, w in ways.items() if len(w) >= FEWEST and self._leads_on(s, w, len(items), block)}
        if not kept or block == LAST or (block == SYSTEM and items[0][1] <= IDENTITY):
            return {} if len(kept) >= CROWD and block == LAST and self._meet_again(kept, items, block) else kept
        if sum(map(len, kept.values())) < CONCENTRATED * sum(map(len, ways.values())):  # some prompts just end here
            return {}
        return {} if len(kept) >= CROWD and self._meet_again(kept, items, block) else kept

    def _leads_on(self, segment: str, way: Sequence[_Item], of: int, block: int) -> bool:
        share = len(way) / of
        if block == SYSTEM:
            return share >= SHARE or way[0][1] <= IDENTITY
        if block == CONTEXT:
            return share >= SHARE
        if share >= MET:
            return True
        ended = sum(at + 1 >= len(self._prompts[i][LAST]) for i, at in way)
        return _structural(segment) and ended <= (1 - MET) * len(way) and (share >= SHARE or way[0][1] == 0)

    def _meet_again(self, ways: dict[str, list[_Item]], items: Sequence[_Item], block: int) -> bool:
        """Whether nearly all of the prompts have a later segment in common, whichever of the ways they go."""
        if any(len(way) > len(items) / 4 for way in ways.values()):
            return False
        later: Counter[str] = Counter()
        for i, at in items:
            later.update(set(self._prompts[i][block][at + 1 :]))
        return any(count >= MET * len(items) for _, count in later.most_common(1))

    def _anchor(self, items: Sequence[_Item], block: int) -> str | None:
        if block == CONTEXT or len(items) < FEWEST:
            return None
        count: Counter[str] = Counter()
        for i, at in items:
            count.update(set(self._prompts[i][block][at:]))
        common = max(FEWEST, (COMMON if block == SYSTEM else SHARE) * len(items))
        for segment, n in count.most_common(CANDIDATES):
            if n < FEWEST or (block == SYSTEM and n < common):
                return None
            if not _structural(segment) or (n < common and _letters(segment) < SENTENCE):
                continue
            if block == SYSTEM or self._keeps_its_distance(segment, items, block):
                return segment
        return None

    def _keeps_its_distance(self, segment: str, items: Sequence[_Item], block: int) -> bool:
        """Whether the segment stands at one distance from the beginning or from the end: then the application put it there."""
        first: Counter[int] = Counter()
        last: Counter[int] = Counter()
        n = 0
        for i, at in items:
            if self._has(i, at, block, segment):
                place = self._prompts[i][block].index(segment, at)
                n, first[place - at], last[len(self._prompts[i][block]) - place] = (
                    n + 1, first[place - at] + 1, last[len(self._prompts[i][block]) - place] + 1,
                )  # fmt: skip
        return max(max(first.values()), max(last.values())) >= USUAL * n

    def _next(self, item: _Item, block: int) -> str | None:
        i, at = item
        segments = self._prompts[i][block]
        return segments[at] if at < len(segments) else None

    def _has(self, i: int, at: int, block: int, segment: str) -> bool:
        return segment in self._prompts[i][block][at:]


def _walk(node: Node, segments: Sequence[str]) -> Node:
    """Where the segments of one block lead."""
    at = 0
    while True:
        child = node.follow.get(segments[at]) if at < len(segments) else None
        if child is not None:
            node, at = child, at + 1
            continue
        for anchor, further in node.anchors:
            try:
                place = segments.index(anchor, at)
            except ValueError:
                continue
            node, at = further, place + 1
            break
        else:
            return node


def _structural(segment: str) -> bool:
    return segment[-1] in ":：=>" or _letters(segment) >= LONG


def _letters(segment: str) -> int:
    return sum(c.isalnum() for c in segment)
