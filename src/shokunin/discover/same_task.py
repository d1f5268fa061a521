"""Same task: whether two wordings ask for the same work, so that one specialist could answer both.

For labels that is put to the test: a quick learner that has seen only the one wording's calls must answer the other's
nearly as well as its own. Two prompts that sort different things into `positive` and `negative` fail it, two versions of
one prompt pass it, however they are worded. Other work is the same if inputs and replies are drawn from the same
distribution, which cosines say when they are corrected for the size of the samples (split halves; Spearman, 1904).
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import numpy.typing as npt

from shokunin import metrics
from shokunin.discover.answers import CHAT, CLASSIFY, ESTIMATE, EXTRACT, SHORT, said_alike
from shokunin.discover.features import Centre, features_of
from shokunin.discover.wording import Learnt, Wording

ALIKE_LABELS, ALIKE_FIELDS = 0.8, 0.7
READABLE = 0.8
HALF = 0.5
"""A learner from elsewhere must gain at least this share of what one from here gains over the commonest answer."""
LITTLE = 0.1
"""A gain below this says nothing, as the work cannot be learnt from so few calls."""
ALIKE_TEXTS, SAME_TEXTS = 0.85, 0.95
SAME_WORDS = 0.5
INSTRUCTION = 24
"""Letters and digits; a shorter opening of a system prompt may be that of any."""


def same_task(large: Wording, small: Wording) -> bool:
    """Whether the second asks for the same work as the first, which has more calls."""
    kinds = {large.answers.kind, small.answers.kind}
    if kinds == {CHAT} and not (large.instructs and small.instructs):
        # A phrase that many users begin with is no instruction of an application's, if the replies are those of the talk.
        return large.instructs == small.instructs or (
            large.fixed[0] == small.fixed[0] and alike_replies(large, small) >= SAME_TEXTS
        )
    if large.answers.kind == CLASSIFY and small.answers.kind in (CLASSIFY, SHORT):
        return _same_labels(large, small)
    if all(one.answers.schema is not None and one.answers.kind in (EXTRACT, SHORT) for one in (large, small)):
        return said_alike(large.answers, small.answers) >= ALIKE_FIELDS and (
            max(_blocks(large, small)) >= SAME_WORDS or alike_inputs(large, small) >= ALIKE_TEXTS
        )
    if kinds == {ESTIMATE}:
        return alike_words(large, small) >= SAME_WORDS or alike_inputs(large, small) >= ALIKE_TEXTS
    if len(kinds) > 1 or large.answers.sql != small.answers.sql:
        return False
    if alike_words(large, small) >= SAME_WORDS:
        return True
    inputs, replies = alike_inputs(large, small), alike_replies(large, small)
    return min(inputs, replies) >= ALIKE_TEXTS or (
        replies >= HALF and (inputs >= SAME_TEXTS or _open_alike(large, small))
    )


def _open_alike(first: Wording, second: Wording) -> bool:
    """Whether the system prompts begin with the same instruction, and differ in what they bring along, such as a schema."""
    a, b = first.opening, second.opening
    return a == b and sum(c.isalnum() for c in "".join(a)) >= INSTRUCTION and first.fixed[1] <= second.fixed[1]


def alike_words(first: Wording, second: Wording) -> float:
    """How much of their fixed text two wordings share, 0 to 1; in the block where they differ more."""
    return min(_blocks(first, second), default=1.0)


def alike_inputs(first: Wording, second: Wording) -> float:
    """The corrected cosine between what is asked about."""
    return alike_centres(first.centre, second.centre)


def alike_replies(first: Wording, second: Wording) -> float:
    """The corrected cosine between the replies."""
    return alike_centres(first.reply_centre, second.reply_centre)


def alike_centres(first: Centre, second: Centre) -> float:
    """The cosine between the mean texts of two samples, corrected for their size; 1 for draws from one distribution."""
    if first.reliability <= 0 or second.reliability <= 0:
        return 0.0
    cosine = float((first.direction @ second.direction.T).sum())
    return min(1.0, cosine / math.sqrt(first.reliability * second.reliability))


def _blocks(first: Wording, second: Wording) -> list[float]:
    """How much of the fixed text is shared in each block where there is any."""
    shares = []
    for a, b in zip(first.fixed, second.fixed, strict=True):
        if either := sum(map(len, a | b)):
            shares.append(sum(map(len, a & b)) / either)
    return shares or [1.0]


def _same_labels(large: Wording, small: Wording) -> bool:
    if small.answers.kind == CLASSIFY and said_alike(large.answers, small.answers) < ALIKE_LABELS:
        return False
    read = small.forms(large.answers)
    known = np.array([form is not None for form in read])
    if known.mean() < READABLE:
        return False
    home = large.learnt
    if home.accuracy - home.commonest < LITTLE or home.surely <= home.commonest:
        # Too hard to be learnt from so few calls, in either wording.
        return alike_inputs(large, small) >= ALIKE_TEXTS
    covered = large.covers(small)  # then the narrow one's fixed text is what its users often say
    x = features_of(large.inputs_in(small.looked_at)) if covered else small.features
    right = home.learner(x[known]) == read[known]
    least = needed(home, read[known])
    # Where the calls are too few to tell, the prompt and the inputs do.
    return float(right.mean()) >= least or (
        metrics.wilson(int(right.sum()), len(right)).high >= least
        and (covered or alike_inputs(large, small) >= ALIKE_TEXTS)
    )


def needed(home: Learnt, answers: npt.NDArray[np.object_]) -> float:
    """How many of these answers a learner from elsewhere must give: half of its gain at home, over the commonest of them.

    Args:
        home: what it gives where it is from.
        answers: shape (m,).
    """
    commonest = max(Counter(answers).values()) / len(answers)
    gain = (home.accuracy - home.commonest) / (1 - home.commonest)
    return min(home.accuracy, commonest + HALF * gain * (1 - commonest))
