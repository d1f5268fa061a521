"""Which kind of work recorded answers are, so that a training that could only fail is not begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shokunin.discover.answers import CHAT, CLASSIFY, ESTIMATE, GENERATE, SHORT, WORK, answers_of
from shokunin.errors import DataError
from shokunin.task import KINDS

READ_OFF = tuple(name for name in KINDS if name in WORK)
"""Kinds that answers to requests can be; what machines will do is not asked in chats."""
FEWEST = 10
"""Answers; fewer say too little to be told what they are."""
ONCE = 0.8
"""Share of the answers that come only once; with more there is no set of labels behind them."""
SHOWN = 60
_DESCRIBED = {
    ESTIMATE: f"numbers, work of the kind {ESTIMATE!r}",
    SHORT: "short texts that hardly ever come twice",
    CHAT: "texts that are written anew each time",
}


def kind_of_answers(replies: Sequence[str]) -> str:
    """The kind of work that recorded answers are: labels unless nearly all of them differ.

    Args:
        replies: the answers; where all of them are the same text but for one part, that part alone.
    """
    told = [reply.strip() for reply in replies if reply.strip()]
    once = sum(count == 1 for count in Counter(told).values())
    return CLASSIFY if len(told) < FEWEST or once < ONCE * len(told) else answers_of(told).kind


def check_kind(replies: Sequence[str], source: str) -> None:
    """Stop where the recorded answers are plainly no work that can be trained.

    Args:
        replies: as for `kind_of_answers`.
        source: what holds them, for the message.

    Raises:
        DataError: they are; it says what they are instead.
    """
    kind = kind_of_answers(replies)
    if kind in KINDS:
        return
    described = _DESCRIBED.get(kind, f"work of the kind {kind!r}")
    different, first = len({reply.strip() for reply in replies}), " ".join(replies[0].split())
    shown = first if len(first) <= SHOWN else first[: SHOWN - 1] + "…"
    raise DataError(
        f"the recorded answers in {source!r} are {described} ({different:,} different ones in {len(replies):,}, for "
        f"instance {shown!r}); what is trained without being told are {' and '.join(READ_OFF)}, by answers that are labels, JSON "
        f"objects or SQL. To have such texts written all the same, say --kind {GENERATE}. To have one part of them learnt as "
        "a label, give the rows that part in a column of its own and name it with --target; else leave this work with the "
        "large model"
    )
