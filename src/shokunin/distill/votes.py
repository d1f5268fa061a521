"""Votes: several answers to one input, and the one that most of them agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

UNREADABLE = "no answer could be read in the reply"
TIED = "the answers are tied"
DISAGREED = "too few of the answers agree"


@dataclass(frozen=True, slots=True)
class Vote:
    """One answer.

    Attributes:
        value: the answer; None: none could be read, or it does not stand up.
        by: the model that gave it.
        problem: why there is no value.
    """

    value: str | None
    by: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Elected:
    """What came of the votes.

    Attributes:
        value: the answer; None: the input is dropped.
        agreement: the share of all votes that agree with it, those without an answer counted as against it.
        by: the models that gave it, in the order of their votes.
        reason: why there is no value.
    """

    value: str | None
    agreement: float
    by: tuple[str, ...] = ()
    reason: str | None = None


def elect(votes: Sequence[Vote], same: Callable[[str, str], bool], least: float = 0.5) -> Elected:
    """The answer that more votes agree on than on any other; ties are dropped.

    Args:
        votes: one or more.
        same: whether two answers are the same, by the kind's own rule.
        least: the least share of all votes that must agree.
    """
    parties: list[list[Vote]] = []
    for vote in votes:
        if vote.value is None:
            continue
        for party in parties:
            if party[0].value is not None and same(party[0].value, vote.value):
                party.append(vote)
                break
        else:
            parties.append([vote])
    if not parties:
        problems = [vote.problem for vote in votes if vote.problem is not None]
        return Elected(None, 0.0, reason=problems[0] if problems else UNREADABLE)
    parties.sort(key=len, reverse=True)
    agreement = len(parties[0]) / len(votes)
    if len(parties) > 1 and len(parties[0]) == len(parties[1]):
        return Elected(None, agreement, reason=TIED)
    if agreement < least:
        return Elected(None, agreement, reason=DISAGREED)
    return Elected(parties[0][0].value, agreement, tuple(dict.fromkeys(vote.by for vote in parties[0])))
