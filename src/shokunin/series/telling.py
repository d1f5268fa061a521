"""What a model foresees, in plain words: the risk, whether that is an alarm, and which sensors say so since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shokunin.forms import Precedent, Sign
from shokunin.series.labels import When
from shokunin.series.readings import Grid

QUIET = "no alarm"


def alarm_text(event: str, span: str, when: When) -> str:
    """The answer of a horizon that rings: `failure within 30 days`, or `failure in 30 days` where only that day counts."""
    return f"{event} {'within' if when == 'within' else 'in'} {span}"


def said(
    unit: str,
    event: str,
    when: When,
    horizons: Sequence[Mapping[str, Any]],
    signs: Sequence[Sign],
    grid: Grid,
    *,
    known: bool = True,
    precedent: Precedent | None = None,
) -> str:
    """The sentence for one window.

    Args:
        unit: whose.
        event: what is foreseen.
        when: `within` a horizon or at its end.
        horizons: with `horizon` (as text), `risk`, `alarm` and `alarm_from`.
        signs: what speaks for it.
        grid: what a step is.
        known: whether the unit was measured against its own past.
        precedent: an event before which it looked like this.
    """
    name = unit or "this unit"
    ringing = next((h for h in horizons if h["alarm"]), None)
    word = "within" if when == "within" else "in"
    told = ", ".join(f"{_percent(h['risk'])} {word} {h['horizon']}" for h in horizons)
    if ringing is None:
        sentence = f"{name}: no alarm; the risk of a {event} is {told}"
    else:
        sentence = (
            f"{name}: ALARM, {_percent(ringing['risk'])} risk of a {event} {word} {ringing['horizon']} "
            f"(an alarm from {_percent(ringing['alarm_from'])} on)"
        )
        if spoken := [words for sign in signs if (words := sign_words(sign, grid))]:
            sentence += "; " + "; ".join(spoken)
        if precedent is not None:
            sentence += f"; it looked like this {precedent_words(precedent, unit, event, grid)}"
        if len(horizons) > 1:
            sentence += f"; all risks: {told}"
    return sentence + ("" if known else "; it has no past of its own here, so it was measured against the fleet") + "."


def sign_words(sign: Sign, grid: Grid) -> str:
    """One channel that speaks for an event: since when it is outside its range, or on the move."""
    if sign.channel == "text":
        return "units called like it have failed more often"
    if sign.channel == "all channels":
        return "all channels together speak for it"
    parts = []
    if sign.outside_for:
        parts.append(f"outside its normal range for {grid.span(sign.outside_for)}")
    if sign.moving_for:
        parts.append(f"{'rising' if sign.moving_for > 0 else 'falling'} for {grid.span(abs(sign.moving_for))}")
    return f"{sign.channel} {' and '.join(parts) if parts else 'speaks for it'}"


def precedent_words(precedent: Precedent, unit: str, event: str, grid: Grid) -> str:
    """`6 days before the failure of pump 7 on 2024-03-03`."""
    whose = f"its own {event}" if precedent.unit == unit else f"the {event} of {precedent.unit}"
    at = f"at cycle {grid.when(precedent.event)}" if grid.step == "cycle" else f"on {grid.when(precedent.event)}"
    return f"{grid.span(precedent.ahead)} before {whose} {at}"


def _percent(share: float) -> str:
    if share < 0.005:
        return "under 1 %"
    return "over 99 %" if share > 0.995 else f"{share:.0%}".replace("%", " %")
