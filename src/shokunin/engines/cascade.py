"""Runs `cascade` weights: a small writer answers, and a larger one is asked where the small one is unsure.

Each member's log-odds are put on one scale (Platt scaling, fitted on rows that no member had seen); of a row that the second was
asked too the answer with the larger probability is given. So the larger model is paid for by the hard rows alone, and the two err
on different ones.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from scipy.special import expit, log_expit

from shokunin.engines import Session, StreamingSession, engine_for
from shokunin.errors import ArtefactError
from shokunin.files import read_json
from shokunin.forms import Written
from shokunin.language.runner import Piece
from shokunin.metrics import log_odds
from shokunin.weights import Weights

FORMATS = ("cascade",)
FILE = "cascade.json"
UNLIKELY = -30.0


@dataclass(frozen=True)
class Scale:
    """How a member's log-odds become those of its answer being right: divided by the temperature, plus the offset."""

    temperature: float
    offset: float

    def log_odds(self, written: Written) -> float:
        """The log-odds that what was written is right; very low for what is no answer."""
        if written.problem is not None or not written.finished or not written.text.strip():
            return UNLIKELY
        return self._scaled(log_odds_of(written))

    def of_sum(self, logprob: float) -> float:
        """The same of an answer whose tokens' logprobs add up to this; so far, the most that it can come to."""
        return self._scaled(log_odds(logprob))

    def _scaled(self, odds: float) -> float:
        return max(UNLIKELY, min(-UNLIKELY, odds / self.temperature + self.offset))


def log_odds_of(written: Written) -> float:
    """log(p / (1 - p)) of the probability that the writer gave to its whole answer; 0 where it does not tell."""
    if not written.logprobs:
        return 0.0
    return log_odds(sum(written.logprobs))


class CascadeSession:
    """The small member first, the large one for the rest."""

    def __init__(self, members: tuple[Session, Session], scales: tuple[Scale, Scale], threshold: float) -> None:
        self._members = members
        self._scales = scales
        self._threshold = threshold
        self._first = threading.Lock()  # `stream` may be asked while `run` is under way
        self.streams = isinstance(members[1], StreamingSession) and members[1].streams

    def run(self, forms: Sequence[Any]) -> list[Written]:
        """One answer a form; its logprobs are one number, the logarithm of the probability that it is right."""
        first = self._small(forms) if forms else []
        odds = [self._scales[0].log_odds(w) for w in first]
        hard = [i for i, o in enumerate(odds) if expit(o) < self._threshold]
        second = dict(zip(hard, self._members[1].run([forms[i] for i in hard]), strict=True)) if hard else {}
        return [merged(first[i], odds[i], second.get(i), self._scales[1]) for i in range(len(forms))]

    def stream(self, form: Any) -> Generator[Piece, None, None]:
        """The answer of `run`, and of it at any time what is certain already.

        What the large one writes is certain as far as it is what the small one wrote too, or where the small one wrote
        nothing. The large one stops as soon as its answer can only be the less likely one.
        """
        (first,) = self._small([form])
        odds, scale, large = self._scales[0].log_odds(first), self._scales[1], self._members[1]
        if expit(odds) >= self._threshold or not isinstance(large, StreamingSession):
            second = None if expit(odds) >= self._threshold else large.run([form])[0]
            done = merged(first, odds, second, scale)
            yield Piece(done.text, done=done)
            return
        text, shown, logprob = "", 0, 0.0
        pieces = large.stream(form)
        try:
            for piece in pieces:
                text, logprob = text + piece.text, logprob + sum(piece.logprobs)
                lost = first.problem is None and piece.done is None and scale.of_sum(logprob) <= odds
                if piece.done is not None or lost:
                    done = merged(first, odds, piece.done, scale)
                    yield Piece(done.text[shown:], done=done)
                    return
                certain = text if first.problem is not None else _common(text, first.text)
                if len(certain) > shown:
                    yield Piece(certain[shown:])
                    shown = len(certain)
        finally:
            pieces.close()

    def _small(self, forms: Sequence[Any]) -> list[Written]:
        with self._first:
            return list(self._members[0].run(forms))


def _common(one: str, other: str) -> str:
    """The beginning that two texts share."""
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def merged(first: Written, odds: float, second: Written | None, scale: Scale) -> Written:
    """The likelier of two answers to one form, `second` being None where it was not asked for."""
    if second is not None:
        other = scale.log_odds(second)
        if other > odds or first.problem is not None:
            first, odds = second, other
    return replace(first, logprobs=(min(-1e-13, float(log_expit(odds))),))


def load(weights: Weights, *, threads: int | None = None) -> CascadeSession:
    """Read `cascade.json` and open both members.

    Raises:
        ArtefactError: the file is damaged, or a member is.
    """
    named = members_of(weights)
    path = weights.folder / FILE
    about = read_json(path)
    try:
        small, large = (Scale(float(m["temperature"]), float(m["offset"])) for m in about["members"])
        threshold = float(about["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{str(path)!r} does not describe a cascade: {error}") from error
    if any(m.format == "cascade" for _, m in named) or not small.temperature > 0 or not large.temperature > 0:
        raise ArtefactError(f"{str(path)!r} does not describe a cascade of two members, neither of them a cascade")
    sessions = [engine_for(m.format).load(m, threads=threads) for _, m in named]
    return CascadeSession((sessions[0], sessions[1]), (small, large), threshold)


def members_of(weights: Weights) -> list[tuple[str, Weights]]:
    """Name and weights of each member, the small one first.

    Raises:
        ArtefactError: `cascade.json` is damaged.
    """
    path = weights.folder / FILE
    about = read_json(path)
    try:
        return [
            (str(m["name"]), Weights(weights.folder / str(i), m["form"], m["format"], m["exact"], m["facts"]))
            for i, m in enumerate(about["members"])
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{str(path)!r} does not describe a cascade: {error}") from error
