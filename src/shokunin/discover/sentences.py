"""What a discovery comes to, in sentences: the same words on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from shokunin.cost import Currency
from shokunin.discover.found import Found


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


def prices_from(as_of: str) -> str:
    """Where amounts are from."""
    return (
        f"What a call cost is what the log says it cost; else its tokens at your price of the model (--price, [prices] in "
        f"shokunin.toml), else at that of the price book of {as_of}."
    )


def audited(task: Found, unit: Currency) -> str:
    """What the saving of a task is net of; "" where there is none."""
    rehearsal, money = task.rehearsal, task.money
    if rehearsal is None or not money.saving:
        return ""
    first = f", {unit.show(money.first_saving)} in the first" if money.first_saving is not None else ""
    return (
        f"{unit.show(money.saving)} a month over the first year{first}: {1 - task.share_local:.0%} of the requests are still "
        f"passed on, and {money.audit_share:.0%} of the answers given here are checked against the large model."
    )
