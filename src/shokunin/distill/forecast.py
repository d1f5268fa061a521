"""The forecast: how many calls and tokens labelling will take and what they cost, before they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from shokunin.cost import Price
from shokunin.distill.teacher import Question

BYTES_PER_TOKEN = 4.0
FEWEST_BYTES, MOST_BYTES = 2.5, 5.0
"""Bytes a token, where nothing was measured: the dearest and the cheapest that texts usually are."""
REPLY_SPREAD = 4.0
"""How many times longer than an answer a reply may be, where nothing was measured."""
Z95 = 1.96


@dataclass(frozen=True)
class Range:
    """What is likely, and between which ends it will be."""

    likely: float
    low: float
    high: float

    @staticmethod
    def exactly(value: float) -> Range:
        """No doubt about it."""
        return Range(value, value, value)

    def __mul__(self, factor: float) -> Range:
        return Range(self.likely * factor, self.low * factor, self.high * factor)

    def times(self, other: Range) -> Range:
        """The product, end by end; both are 0 or more."""
        return Range(self.likely * other.likely, self.low * other.low, self.high * other.high)

    def __add__(self, other: Range) -> Range:
        return Range(self.likely + other.likely, self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Measured:
    """One call whose tokens were counted: bytes of its prompt, tokens in, tokens out."""

    size: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True)
class Forecast:
    """What one teacher's calls will take.

    Attributes:
        model: whose.
        purpose: `label`, `extend` or `judge`.
        calls: how many.
        tokens_in: of all prompts.
        tokens_out: of all replies.
        usd: what they cost; None where no price is known.
        measured: on how many calls this rests; 0: counted from the texts alone.
    """

    model: str
    purpose: str
    calls: float
    tokens_in: Range
    tokens_out: Range
    usd: Range | None
    measured: int = 0


def forecast(
    model: str,
    sample: Sequence[Question],
    calls: Range,
    price: Price | None,
    *,
    purpose: str = "label",
    answers: Sequence[str] = (),
    measured: Sequence[Measured] = (),
) -> Forecast:
    """What so many calls like those of the sample will take.

    Args:
        model: the teacher.
        sample: one or more questions, as they will be asked.
        calls: how many.
        price: of its tokens.
        purpose: what they are made for.
        answers: answers that are known, by which the replies are reckoned where nothing was measured.
        measured: calls that were made; with two or more of them the forecast rests on these.
    """
    size = fmean(q.size for q in sample)
    longest = fmean(q.max_tokens for q in sample)
    counted = [m for m in measured if m.tokens_in and m.tokens_out]
    if len(counted) >= 2:
        # Tokens of a prompt go with its bytes, so the rate is what is carried over; replies are taken as they came.
        tokens_in = _mean([m.tokens_in / m.size for m in counted], calls.likely) * size
        tokens_out = _mean([float(m.tokens_out) for m in counted], calls.likely)
        tokens_out = Range(*(min(longest, x) for x in (tokens_out.likely, tokens_out.low, tokens_out.high)))
    else:
        answer = fmean(len(a.encode()) for a in answers) if answers else longest * BYTES_PER_TOKEN / 4
        tokens_in = Range(size / BYTES_PER_TOKEN, size / MOST_BYTES, size / FEWEST_BYTES)
        reply = max(1.0, answer / BYTES_PER_TOKEN)
        tokens_out = Range(min(longest, 1 + reply), 1.0, min(longest, 8 + REPLY_SPREAD * reply))
    in_all, out_all = tokens_in.times(calls), tokens_out.times(calls)
    usd = None
    if price is not None:
        usd = Range(
            *(price.of(i, o) for i, o in zip(
                (in_all.likely, in_all.low, in_all.high), (out_all.likely, out_all.low, out_all.high), strict=True
            ))
        )  # fmt: skip
    return Forecast(model, purpose, calls.likely, in_all, out_all, usd, len(counted) if len(counted) >= 2 else 0)


def _mean(values: Sequence[float], calls: float) -> Range:
    """The mean of `calls` further values, with the interval in which it will be."""
    centre, spread = fmean(values), stdev(values)
    half = Z95 * spread * (1 / len(values) + 1 / max(1, calls)) ** 0.5
    return Range(centre, max(0.0, centre - half), centre + half)
