"""From recorded replies to their shape: a bare answer, one in a frame of words, or one field of JSON."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from shokunin.template.pattern import escape
from shokunin.template.reply import ReplyShape, unfenced
from shokunin.template.shared import MARKS, NEARLY_ALL, frame_of

BARE = "{{answer}}"
_MARKED = re.compile(rf"(?s).*[{re.escape(MARKS)}]\s*")
Path = tuple[str | int, ...]


def reply_of(replies: Sequence[str], labels: Sequence[str] = ()) -> str | None:
    """The pattern of the replies; None where they say more than one thing each, which nobody could make up."""
    if not replies or sum(reply.strip() in labels for reply in replies) >= NEARLY_ALL * len(replies):
        return BARE
    values = [_loaded(unfenced(reply)) for reply in replies]
    told = [(reply, value) for reply, value in zip(replies, values, strict=True) if isinstance(value, dict | list)]
    if len(told) >= NEARLY_ALL * len(replies):
        return _json_reply(told)
    before, after = frame_of(sorted(set(replies)))
    marked = _MARKED.match(before)  # what all labels begin with belongs to them: `Category: card lost`, `… card stolen`
    before = marked[0] if marked else before
    if before and not after:
        ends = Counter(reply.rstrip()[-1:] for reply in replies)
        end, count = ends.most_common(1)[0]
        after = end if end in ".!。" and count >= NEARLY_ALL * len(replies) else ""
    return escape(before, slot_follows=True) + BARE + escape(after)


def spellings_of(shape: ReplyShape, replies: Sequence[str]) -> dict[str, str]:
    """For each answer whose reply is mostly not what the pattern makes of it, that reply."""
    said: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for reply in replies:
        answer = shape.read(reply)
        if answer is not None:
            said[answer][reply] += 1
    usual = {answer: counts.most_common(1)[0] for answer, counts in said.items()}
    return {
        answer: reply
        for answer, (reply, count) in usual.items()
        if reply != shape.write(answer) and 2 * count > said[answer].total() and said[answer].total() > 1
    }


def _json_reply(told: Sequence[tuple[str, Any]]) -> str | None:
    leaves: defaultdict[Path, set[str]] = defaultdict(set)
    for _, value in told:
        for path, leaf in _leaves(value):
            leaves[path].add(json.dumps(leaf))
    varying = [path for path, seen in leaves.items() if len(seen) > 1]
    if len(varying) != 1:
        return None
    forms: Counter[str] = Counter()
    for reply, value in told:
        leaf = dict(_leaves(value)).get(varying[0])
        # Keys and other values may look like the answer; such a reply does not show where it stands.
        for encoded in {json.dumps(leaf, ensure_ascii=False), json.dumps(leaf)}:
            if leaf is not None and reply.count(encoded) == 1:
                before, _, after = reply.partition(encoded)
                quote = '"' if isinstance(leaf, str) else ""
                forms[escape(before + quote, slot_follows=True) + BARE + escape(quote + after)] += 1
                break
    return forms.most_common(1)[0][0] if forms else None


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, (*path, key))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _leaves(one, (*path, i))
    else:
        yield path, value


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
