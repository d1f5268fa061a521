"""Verdict: whether a task is worth a specialist, and why, in a sentence."""

from __future__ import annotations

from shokunin.discover.answers import CHAT
from shokunin.discover.found import Money, Rehearsal, Verdict
from shokunin.discover.sentences import percent
from shokunin.metrics import Interval

ENOUGH = 0.2
"""A specialist that answers a smaller share of the requests is not worth having."""
FEWEST = 30
"""Calls; of fewer nothing can be said."""
PATTERNED = 0.3


def verdict_of(
    kind: str,
    *,
    trainable: bool,
    rehearsed: bool = True,
    records: int,
    recognised: float,
    patternedness: Interval,
    rehearsal: Rehearsal | None,
    money: Money,
    served: float = 0.0,
) -> tuple[Verdict, str]:
    """What to do with a task, and why.

    Args:
        kind: the kind of work.
        trainable: whether this release trains it.
        rehearsed: whether a training of this kind is rehearsed before it is advised.
        records: calls in the log.
        recognised: share of the calls that a gateway would recognise.
        patternedness: how well the answers can be foretold.
        rehearsal: what training on a sample came to, if it was tried and possible.
        money: what it costs and would save.
        served: share of the calls that a specialist answered already.
    """
    if kind == CHAT:
        return "LEAVE", "free talk: no fixed work behind it that a small model could learn"
    if served > 0.5:
        return "LEAVE", f"{percent(served)} of it is answered by a specialist already"
    if not trainable:
        return "LEAVE", f"this release trains no {kind!r} specialists yet; {_told(patternedness)}"
    if not rehearsed:
        return _untold(records, recognised, patternedness)
    if rehearsal is None:
        return "COLLECT MORE", f"{records:,} calls are too few of each label to learn from and to test; keep recording"
    if recognised < ENOUGH:
        return (
            "LEAVE",
            f"the prompts have no fixed frame: only {percent(recognised)} of the requests could be recognised",
        )
    share = recognised * rehearsal.given
    if share >= ENOUGH and rehearsal.lacking == 0:
        if money.saving is not None and money.saving <= 0:
            return "LEAVE", f"a specialist would answer {percent(share)} itself, but that saves nothing at these prices"
        return "TRAIN", (
            f"a specialist would answer about {percent(share)} itself, of which at most {percent(rehearsal.promised)} may "
            f"differ from the large model's answers ({percent(rehearsal.confidence)} confidence)"
        )
    if rehearsal.lacking:
        luck = f" (with luck it could already: in {percent(rehearsal.likely)} of the draws)" if rehearsal.likely else ""
        return "COLLECT MORE", (
            f"about {rehearsal.lacking:,} more rows are needed before a specialist can be relied on to promise at most "
            f"{percent(rehearsal.promised)} of wrong answers{luck}; now it is right in "
            f"{percent(rehearsal.accuracy.value)} of all"
        )
    right, promised = percent(rehearsal.accuracy.value), percent(rehearsal.promised)
    if rehearsal.share >= ENOUGH:
        return "LEAVE", (
            f"its surest answers are wrong nearly as often as the {promised} that are promised, so the gateway would soon hand "
            "most of it back"
        )
    return "LEAVE", (
        f"the cheap learners are right in {right} of all answers, and in too few of the surest ones to promise at most "
        f"{promised} of wrong ones; as far as this sample can tell, not even sixteen times the rows would change that"
    )


def _untold(records: int, recognised: float, patternedness: Interval) -> tuple[Verdict, str]:
    """Of a kind that is trained but not rehearsed no share can be foretold; only whether trying makes sense."""
    if records < FEWEST:
        return "COLLECT MORE", f"{records:,} calls are too few to learn from and to test; keep recording"
    if recognised < ENOUGH:
        return (
            "LEAVE",
            f"the prompts have no fixed frame: only {percent(recognised)} of the requests could be recognised",
        )
    if patternedness.low < PATTERNED:
        return "LEAVE", _told(patternedness)
    return "TRY", (
        f"{_told(patternedness).partition(', so')[0]}; how much of it a specialist would answer is only known when it is trained"
    )


def _told(patternedness: Interval) -> str:
    span = f"{patternedness.value:.2f} of 1 [{patternedness.low:.2f}, {patternedness.high:.2f}]"
    if patternedness.low >= PATTERNED:
        return f"its answers follow a pattern ({span}), so it may be worth one later"
    return f"its answers follow little pattern ({span})"
