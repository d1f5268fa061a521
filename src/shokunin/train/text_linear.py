"""Word and character n-grams into one linear layer: seconds to fit, and hard to beat on short texts.

A linear support vector machine per label (squared hinge, L2; Fan et al., LIBLINEAR, JMLR 2008); the margins are the raw
scores, and the calibration turns them into probabilities.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save_file
from sklearn.svm import LinearSVC

from shokunin.encoders.tfidf import fit_tfidf
from shokunin.errors import LessonsError
from shokunin.forms import Form, TextLessons
from shokunin.progress import Progress
from shokunin.weights import Weights

EATS: Form = "labelled_text"
EXTRA: str | None = None
MOST_WEIGHTS = 40_000_000


class Options(BaseModel):
    """How to fit.

    Attributes:
        C: inverse regularisation strength; larger follows the training rows more closely.
        max_features: at most so many word features and so many character features.
        tol: stop when the optimum is this near; a tighter stop takes twice as long and measured no better.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    C: float = Field(default=1.0, gt=0)
    max_features: int = Field(default=200_000, ge=100)
    tol: float = Field(default=0.1, gt=0)


def forecast(lessons: TextLessons, options: BaseModel) -> float:
    """From measured fits: the time grows with the number of characters and, for the linear layer, with the labels."""
    characters = sum(map(len, lessons.texts))
    return 0.2 + characters * (3e-6 + 2.5e-7 * len(lessons.names))


def fit(lessons: TextLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Write `vocabulary.json`, `idf.safetensors` and `linear.safetensors` (`weight` (d, k) float16, `bias` (k,) float32).

    Raises:
        LessonsError: fewer than two labels.
    """
    assert isinstance(options, Options)
    k = len(lessons.names)
    if len(np.unique(lessons.labels)) < 2:
        raise LessonsError(f"learning to tell labels apart needs at least two of them; got {list(lessons.names)!r}")
    progress("counting word and character sequences", 0, 2)
    encoder, rows = fit_tfidf(lessons.texts, limit=max(1_000, min(options.max_features, MOST_WEIGHTS // (2 * k))))
    progress("fitting the linear layer", 1, 2)
    model = LinearSVC(C=options.C, tol=options.tol, random_state=seed).fit(rows, lessons.labels)
    weight = np.zeros((encoder.size, k), dtype=np.float16)
    # A label without lessons keeps the bias of "never".
    bias = np.full(k, -10.0, dtype=np.float32)
    if len(model.classes_) == 2:
        no, yes = model.classes_
        weight[:, no], weight[:, yes] = -model.coef_[0], model.coef_[0]
        bias[no], bias[yes] = -model.intercept_[0], model.intercept_[0]
    else:
        weight[:, model.classes_] = model.coef_.T
        bias[model.classes_] = model.intercept_
    encoder.save(folder)
    save_file({"weight": weight, "bias": bias}, folder / "linear.safetensors")
    progress("fitting the linear layer", 2, 2)
    return Weights(
        folder, "labelled_text", "linear_text", facts={"parameters": weight.size + k, "options": options.model_dump()}
    )
