"""Which kind of work recorded answers are, so that a training that could only fail is not begun."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from shokunin.errors import DataError
from shokunin.task import KINDS
from shokunin.template.reply import unfenced

FEWEST = 10
"""Answers; fewer say too little to be told what they are."""
ONCE = 0.8
"""Share of the answers that come only once; with more there is no set of labels behind them."""
MOSTLY = 0.8
SHOWN = 60
_NUMBER = re.compile(r"[^\w\s]{0,3}\d[\d.,' ]*\s*(?:%|\w{1,4}|[^\w\s]{1,2})?")
_DESCRIBED = {
    "extract_fields": "JSON objects that say several things each",
    "estimate_values": "numbers",
    "generate_text": "texts that are written anew each time",
}


def kind_of_answers(replies: Sequence[str]) -> str:
    """The kind of work that recorded answers are: `classify_text` unless nearly all of them differ.

    Args:
        replies: the answers; where all of them are the same text but for one part, that part alone.
    """
    told = [reply.strip() for reply in replies if reply.strip()]
    once = sum(count == 1 for count in Counter(told).values())
    if len(told) < FEWEST or once < ONCE * len(told):
        return "classify_text"
    if sum(map(_is_object, told)) >= MOSTLY * len(told):
        return "extract_fields"
    if sum(_NUMBER.fullmatch(reply) is not None for reply in told) >= MOSTLY * len(told):
        return "estimate_values"
    return "generate_text"


def check_kind(replies: Sequence[str], source: str) -> None:
    """Stop where the recorded answers are plainly no work that can be trained.

    Args:
        replies: as for `kind_of_answers`.
        source: what holds them, for the message.

    Raises:
        DataError: they are; it says which kind of work they are instead.
    """
    kind = kind_of_answers(replies)
    if kind in KINDS:
        return
    different, first = len({reply.strip() for reply in replies}), " ".join(replies[0].split())
    shown = first if len(first) <= SHOWN else first[: SHOWN - 1] + "…"
    raise DataError(
        f"the recorded answers in {source!r} are {_DESCRIBED[kind]} ({different:,} different ones in {len(replies):,}, for "
        f"instance {shown!r}): that is work of the kind {kind!r}, and this version trains {', '.join(KINDS)} alone, where the "
        "same few answers come again and again. To have one part of them learnt as a label, give the rows that part in a "
        "column of its own and name it with --target; else leave this work with the large model"
    )


def _is_object(reply: str) -> bool:
    try:
        return isinstance(json.loads(unfenced(reply)), dict)
    except (ValueError, RecursionError):
        return False
