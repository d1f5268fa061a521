"""Patternedness: how well a cheap learner foretells the recorded answers of calls it has not seen, 0 to 1.

For labels it is the share that is foretold rightly, and is measured by the program's own learners (`pipeline.rehearsing`). For
other work it is measured here, on the same scale in spirit: numbers by the variance that is explained, fields by the
share of values that can be pointed out in the input or come from a short list, text by how much nearer the reply to
the most similar request is than any other reply.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shokunin.discover.answers import ESTIMATE, EXTRACT, Answers, leaves
from shokunin.discover.features import features_of, rarity, weighted
from shokunin.metrics import Interval

LOOKED_AT = 600
LISTED = 30
"""A field with at most so many different values among the calls is chosen from a list."""
RIDGE = 0.3
PARTS = 4


def patternedness(inputs: Sequence[str], replies: Sequence[str], answers: Answers) -> Interval:
    """How well the replies can be foretold, with its 95 % interval (normal, over the calls).

    Args:
        inputs: what varies in the requests, one text each.
        replies: as they were recorded.
        answers: what they are; not labels.
    """
    pairs = [(i, r) for i, r in zip(inputs, replies, strict=True) if r][:LOOKED_AT]
    if len(pairs) < PARTS:
        return Interval(0.0, 0.0, 1.0)
    texts, said = [i for i, _ in pairs], [r for _, r in pairs]
    if answers.kind == ESTIMATE:
        return _of_numbers(texts, said, answers)
    if answers.kind == EXTRACT:
        return _of_fields(texts, said, answers)
    return _of_texts(texts, said)


def _of_numbers(texts: Sequence[str], said: Sequence[str], answers: Answers) -> Interval:
    """The share of the variance that ridge regression on words explains out of fold, on ranks so that no one price decides."""
    read = answers.reader()
    told = [
        (text, float(number)) for text, reply in zip(texts, said, strict=True) if (number := read(reply)) is not None
    ]
    if len(told) < 2 * PARTS:
        return Interval(0.0, 0.0, 1.0)
    values = np.array([number for _, number in told])
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable") / len(values)
    x = features_of([text for text, _ in told])
    x = weighted(x, rarity([x]))
    gram = (x @ x.T).toarray()
    guess = np.empty(len(ranks))
    for part in range(PARTS):
        out = np.arange(len(ranks)) % PARTS == part
        mean = ranks[~out].mean()
        dual = np.linalg.solve(gram[np.ix_(~out, ~out)] + RIDGE * np.eye((~out).sum()), ranks[~out] - mean)
        guess[out] = gram[np.ix_(out, ~out)] @ dual + mean
    explained = 1 - (ranks - guess) ** 2 / np.var(ranks)
    return _interval(explained)


def _of_fields(texts: Sequence[str], said: Sequence[str], answers: Answers) -> Interval:
    """The share of each reply's values that stand in the input, or come from a short list."""
    read = answers.reader()
    told = [
        (text, json.loads(value)) for text, reply in zip(texts, said, strict=True) if (value := read(reply)) is not None
    ]
    seen: dict[str, Counter[str]] = {}
    for _, value in told:
        for key, one in leaves(value):
            seen.setdefault(key, Counter())[one] += 1
    listed = {key for key, values in seen.items() if len(values) <= min(LISTED, len(told) / 10)}
    shares = []
    for text, value in told:
        plain = _plain(text)
        found = [key in listed or _plain(one) in plain for key, one in leaves(value)]
        shares.append(sum(found) / len(found) if found else 1.0)
    return _interval(np.array(shares))


def _of_texts(texts: Sequence[str], said: Sequence[str]) -> Interval:
    """How near the reply to the most similar other request is, from how near any reply is (0) to the same words (1)."""
    x, y = features_of(list(texts)), features_of(list(said))
    x, y = weighted(x, rarity([x])), weighted(y, rarity([y]))
    alike = (x @ x.T).toarray()
    np.fill_diagonal(alike, -1.0)
    nearest = alike.argmax(axis=1)
    replies = (y @ y.T).toarray()
    n = len(texts)
    others = (replies.sum(axis=1) - replies.diagonal()) / (n - 1)
    near = replies[np.arange(n), nearest]
    return _interval((near - others) / np.maximum(1 - others, 1e-9))


def _interval(scores: npt.NDArray[np.float64]) -> Interval:
    mean = float(np.clip(scores.mean(), 0, 1)) if len(scores) else 0.0
    half = 1.96 * float(scores.std(ddof=1)) / math.sqrt(len(scores)) if len(scores) > 1 else 1.0
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


def _plain(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())
