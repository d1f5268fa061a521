"""What a discovery comes to, in sentences: the same words on the page and in the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shokunin.cost import Currency
from shokunin.discover.found import Found

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of the text around them."""


def headline(tasks: Sequence[Found], unit: Currency) -> str:
    """What is spent in a month and how much of that a specialist would save, or how much work there is to train for."""
    worth = [task for task in tasks if task.verdict == "TRAIN"]
    if not worth:
        return "No task in this log is worth training yet."
    number = f"{len(worth)} task{' is' if len(worth) == 1 else 's are'} worth training"
    cost, saving = spent(tasks), saved(tasks)
    if cost is None or saving is None or not cost:
        return f"{number}; what that saves is not known."
    return f"Of {unit.show(cost)} a month, about {unit.show(saving)} need not be paid: {number}."


def spent(tasks: Sequence[Found]) -> float | None:
    """US dollars a month for all tasks whose cost is known; None if it is of none of them."""
    known = [task.money.cost for task in tasks if task.money.cost is not None]
    return sum(known) if known else None


def saved(tasks: Sequence[Found]) -> float | None:
    """US dollars a month that training what is worth it would save, as far as it is known; None if it is of none of them."""
    known = [t.money.saving for t in tasks if t.verdict == "TRAIN" and t.money.saving is not None]
    return sum(known) if known else None


def answered(tasks: Sequence[Found]) -> float:
    """Of all calls, the share that the specialists worth training would answer here, 0 to 1."""
    calls = sum(task.per_month for task in tasks)
    return sum(t.per_month * t.share_local for t in tasks if t.verdict == "TRAIN") / calls if calls else 0.0


def unmeasured(task: Found) -> bool:
    """Whether nothing is known of a task's patternedness: its interval is all that is possible."""
    return task.patternedness.low <= 0 and task.patternedness.high >= 1


def percent(share: float) -> str:
    """`63 %`, `0.4 %`; what is not quite none or all is not said to be."""
    if 0 < share < 0.0005:
        return "under 0.1 %"
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{100 * share:.{0 if share >= 0.095 or share == 0 else 1}f} %"


def prices_from(as_of: str) -> str:
    """Where amounts are from."""
    return (
        f"What a call cost is what the log says it cost; else its tokens at your price of the model (--price, [prices] in "
        f"shokunin.toml), else at that of the price book of {as_of}."
    )


def audited(task: Found, unit: Currency) -> str:
    """What training a task saves, and what that is net of; "" where it is not worth training, or its cost is not known."""
    money = task.money
    if task.verdict != "TRAIN" or money.saving is None:
        return ""
    first = f", {unit.show(money.first_saving)} in the first" if money.first_saving is not None else ""
    passed, checked = percent(1 - task.share_local), percent(money.audit_share)
    return (
        f"{unit.show(money.saving)} a month over the first year{first}: {passed} of the requests are still passed on, "
        f"and {checked} of the answers given here are checked against the large model."
    )


def forecast(task: Found) -> str:
    """What the forecast of a task rests on; "" where nothing was tried."""
    tried = task.rehearsal
    if tried is None:
        return ""
    wrong = f"; of the sure answers {percent(tried.error)} would differ from the recorded ones" if tried.share else ""
    right = f"{percent(tried.accuracy.value)} ({100 * tried.accuracy.low:.0f}–{100 * tried.accuracy.high:.0f} %)"
    return (
        f"A rehearsal on {tried.rows:,} distinct rows chose {tried.rung!r}, which was right in {right} of rows it had not "
        f"learnt from. {percent(task.recognised)} of the requests are phrased as one of the wordings{wrong}."
    )


def printable(text: object, longest: int = 200) -> str:
    """A text from outside as one that can be shown: no lone surrogates or control characters, cut with `…`."""
    shown = _UNSEEN.sub("\ufffd", str(text).encode("utf-8", "replace").decode("utf-8"))
    return shown if len(shown) <= longest else shown[: longest - 1].rstrip() + "…"
