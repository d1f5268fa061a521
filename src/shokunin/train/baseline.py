"""The trivial answer: the commonest label, with the class shares as its scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from shokunin.files import write_json
from shokunin.forms import Form, TextLessons
from shokunin.progress import Progress
from shokunin.weights import Weights

EATS: Form = "labelled_text"
EXTRA: str | None = None


class Options(BaseModel):
    """Nothing to choose."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def forecast(lessons: TextLessons, options: BaseModel) -> float:
    """Next to nothing."""
    return 0.01


def fit(lessons: TextLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Count the labels and write their smoothed log-shares as `constant.json`."""
    counts = np.bincount(lessons.labels, minlength=len(lessons.names)) + 1.0
    scores = [float(s) for s in np.log(counts / counts.sum())]
    write_json(folder / "constant.json", {"scores": scores})
    progress("baseline", 1, 1)
    return Weights(folder, "labelled_text", "constant", facts={"parameters": len(scores)})
