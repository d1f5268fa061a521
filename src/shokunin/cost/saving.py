"""The saving: what a month of rented answers costs, and how much of it stays in the house when a specialist answers."""

from __future__ import annotations

from shokunin.cost.price import Price
from shokunin.errors import UsageError


def rent_per_month(*, requests: float, price: Price, input_tokens: float, output_tokens: float) -> float:
    """US dollars a month when the large model answers everything: `requests × price of one`.

    Args:
        requests: how many there are in a month.
        price: of the large model.
        input_tokens: that one request has, prompt and all.
        output_tokens: that one answer has.

    Raises:
        UsageError: a count is negative or not a number.
    """
    for name, value in (("requests", requests), ("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        not_negative(name, value)
    return requests * price.of(input_tokens, output_tokens)


def saving_per_month(
    *,
    requests: float,
    price: Price,
    input_tokens: float,
    output_tokens: float,
    local_share: float,
    audit_share: float = 0.0,
) -> float:
    """US dollars a month that are not paid to the large model: `rent × local_share × (1 − audit_share)`.

    What is escalated is paid as before, and so is the share of local answers that the large model is asked about too. What
    the own machine and the people cost is not in it: see `breakeven`.

    Args:
        requests: how many there are in a month.
        price: of the large model.
        input_tokens: that one request has, prompt and all.
        output_tokens: that one answer has.
        local_share: share of the requests that the specialist answers, 0 to 1; the rest is escalated.
        audit_share: share of those that the large model is asked about as well, 0 to 1.

    Raises:
        UsageError: a count is negative, or a share is not between 0 and 1.
    """
    rent = rent_per_month(requests=requests, price=price, input_tokens=input_tokens, output_tokens=output_tokens)
    is_share("local_share", local_share)
    is_share("audit_share", audit_share)
    return rent * local_share * (1 - audit_share)


def not_negative(name: str, value: float) -> None:
    """Refuse what is less than nothing.

    Raises:
        UsageError: the value is negative, infinite or not a number.
    """
    if not 0 <= value < float("inf"):
        raise UsageError(f"{name.replace('_', ' ')!r} is a number, 0 or more, not {value!r}")


def is_share(name: str, value: float) -> None:
    """Refuse what is not a share.

    Raises:
        UsageError: the value is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise UsageError(f"{name.replace('_', ' ')!r} is a share from 0 to 1, not {value!r}; 90 % is 0.9")
