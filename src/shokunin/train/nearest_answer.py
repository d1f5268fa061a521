"""The trivial baseline of written answers: whoever asked most alike in the lessons, their answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save_file

from shokunin.encoders.tfidf import fit_tfidf
from shokunin.errors import LessonsError
from shokunin.files import write_json
from shokunin.forms import Conversations, Form
from shokunin.language.asked import asked_text, frame_of
from shokunin.progress import Progress
from shokunin.weights import Weights

EATS: Form = "conversation"
EXTRA: str | None = None


class Options(BaseModel):
    """How to fit.

    Attributes:
        max_features: at most so many word features and so many character features.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_features: int = Field(default=50_000, ge=100)


def forecast(lessons: Conversations, options: BaseModel) -> float:
    """Counting words: the time grows with the number of characters."""
    return 0.2 + 3e-6 * sum(len(asked_text(conversation)) for conversation in lessons.asked)


def fit(lessons: Conversations, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Write `vocabulary.json`, `idf.safetensors`, `answers.json` and the prompts as sparse rows in `prompts.safetensors`.

    Raises:
        LessonsError: there are no lessons.
    """
    assert isinstance(options, Options)
    if len(lessons) == 0:
        raise LessonsError("finding the nearest prompt needs at least one lesson; got none")
    progress("counting word and character sequences", 0, 1)
    frame = frame_of(lessons.asked)
    encoder, rows = fit_tfidf([asked_text(c, frame) for c in lessons.asked], limit=options.max_features)
    encoder.save(folder)
    data = {
        "data": rows.data.astype(np.float32),
        "indices": rows.indices.astype(np.int32),
        "indptr": rows.indptr.astype(np.int64),
    }
    save_file(data, folder / "prompts.safetensors")
    about = {"frame": {"before": frame.before, "after": frame.after}, "answers": list(lessons.answers)}
    write_json(folder / "answers.json", about)
    progress("counting word and character sequences", 1, 1)
    facts = {"parameters": int(rows.nnz), "options": options.model_dump()}
    return Weights(folder, "conversation", "nearest_answer", facts=facts)
