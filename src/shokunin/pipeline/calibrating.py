"""The chosen rung's outputs for the judging rows to the numbers that turn them into confidence, decisions and a promise."""

from __future__ import annotations

from typing import cast

import numpy as np

from shokunin.calibration import Calibration
from shokunin.dataset import Dataset, judging_none
from shokunin.pipeline.ladder import Ladder
from shokunin.prove.calibrate import calibrate, calibrate_answers
from shokunin.tasks import AnswerCodec


def calibration_of(ladder: Ladder, dataset: Dataset, *, candidates: int, exact: bool, seed: int) -> Calibration:
    """Labels by their scores and with what "none of these" rows there are; other answers by what the codec makes of them.

    Args:
        ladder: its chosen rung is calibrated, on the rows that it was judged by.
        dataset: whose rows they are.
        candidates: how many models these rows chose among.
        exact: whether the outputs come from the very weights that will be served.
        seed: of the random quarter that shapes the confidence.
    """
    judged = ladder.judged
    if judged.lessons is None:
        codec = cast(AnswerCodec, judged.codec)
        raw = ladder.chosen.raw
        return calibrate_answers(
            codec.evidence(raw, judged.inputs), judged.right(raw), task=dataset.task, candidates=candidates,
            groups=judged.groups, seed=seed,
        )  # fmt: skip
    none_raw = ladder.raw_of([e.inputs for e in judging_none(dataset, seed)])
    assert none_raw is None or isinstance(none_raw, np.ndarray)
    return calibrate(
        ladder.chosen.scores, judged.labels, task=dataset.task, candidates=candidates, exact=exact, none_raw=none_raw,
        groups=judged.groups, seed=seed,
    )  # fmt: skip
