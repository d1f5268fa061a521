"""Calibration: the few numbers, chosen on validation rows, that turn raw scores into a confidence and a decision."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Promise:
    """The escalation threshold and what it promises (learn-then-test, Angelopoulos et al., arXiv 2110.01052).

    Attributes:
        threshold: an answer whose confidence is at least this is given; below it the large model is asked. Above 1:
            never sure.
        coverage: the share of validation rows that reach the threshold.
        bound: upper bound on the share of wrong answers among the given ones.
        confidence: probability that the bound holds, over the draw of the validation rows.
        rows: how many validation rows the bound rests on.
        exact: False when the rows were scored out of fold and the model was then fitted again on all of them.
        reason: why no promise can be made, or None.
        given: how many of these rows reach the threshold.
        errors: how many of those were wrong.
    """

    threshold: float
    coverage: float
    bound: float
    confidence: float
    rows: int
    exact: bool
    reason: str | None = None
    given: int = 0
    errors: int = 0


@dataclass(frozen=True)
class Calibration:
    """What the codec needs to read raw scores.

    Attributes:
        temperature: raw log-scores are divided by this before the softmax (Guo et al., arXiv 1706.04599).
        scope_threshold: a largest raw log-probability below this means "none of these"; None: the specialist always
            answers.
        promise: the escalation threshold; None before it was chosen.
        offset: of answers that are no labels: the log-odds that they are right are divided by the temperature, and this is
            added (Platt scaling).
    """

    temperature: float = 1.0
    scope_threshold: float | None = None
    promise: Promise | None = None
    offset: float = 0.0


def calibration_to_dict(calibration: Calibration) -> dict[str, Any]:
    """The plain values, ready for JSON."""
    plain = asdict(calibration)
    if not calibration.offset:
        plain.pop("offset")  # as before there was one
    return plain


def calibration_from_dict(value: dict[str, Any]) -> Calibration:
    """The inverse of `calibration_to_dict`."""
    promise = value.get("promise")
    return Calibration(
        temperature=float(value["temperature"]),
        scope_threshold=None if value.get("scope_threshold") is None else float(value["scope_threshold"]),
        promise=None if promise is None else Promise(**promise),
        offset=float(value.get("offset", 0.0)),
    )
