"""encoder_head: a frozen encoder and a linear layer, folded into one ONNX graph; needs no torch.

The texts are embedded once through ONNX Runtime; multinomial logistic regression takes seconds on top. With few rows a
class this is hard to beat, because nothing of the encoder can be spoiled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shokunin.encoders.base_models import DEFAULT_ENCODER, resolve
from shokunin.encoders.graph import write_encoder
from shokunin.encoders.linear_head import GRID, fit_linear_head, seconds_to_fit
from shokunin.encoders.onnx_text import GRAPH, OnnxText, copy_tokenizer, write_about
from shokunin.encoders.text_encoder import TextEncoder, length_for
from shokunin.errors import LessonsError
from shokunin.forms import Form, TextLessons
from shokunin.progress import Progress
from shokunin.weights import Weights

EATS: Form = "labelled_text"
EXTRA: str | None = None
PROBE = 64


class Options(BaseModel):
    """What the owner may choose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = Field(DEFAULT_ENCODER, description="pkg:NAME, hf:org/name[@revision] or a folder")
    max_length: Annotated[int, Field(ge=8, le=8192)] | None = Field(
        None, description="tokens of a text that are read; by default what 99 of 100 texts need, at most 256"
    )
    C: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        GRID, min_length=1, description="inverse regularisation strengths to choose from"
    )


def forecast(lessons: TextLessons, options: BaseModel) -> float:
    """About how many seconds `fit` will take here: a few texts are timed, and the fit itself is estimated."""
    chosen = cast(Options, options)
    texts = list(dict.fromkeys(lessons.texts))
    probe = texts[:: max(1, len(texts) // PROBE)][:PROBE]
    base = resolve(chosen.base)
    encoder = TextEncoder(base, max_length=chosen.max_length or length_for(base, probe))
    return (
        encoder.seconds_a_text(probe) * len(texts)
        + seconds_to_fit(len(lessons), encoder.width, len(lessons.names))
        + 1.5
    )


def fit(lessons: TextLessons, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Embed the lessons, fit the head, and write encoder and head as one graph into `folder`.

    Raises:
        LessonsError: there are fewer than two labels among the lessons.
        BaseModelError: the base model cannot be used.
    """
    chosen = cast(Options, options)
    if len(np.unique(lessons.labels)) < 2:
        raise LessonsError(
            f"{len(lessons)} lessons with fewer than two different labels; there is nothing to tell apart"
        )
    base = resolve(chosen.base)
    encoder = TextEncoder(base, max_length=chosen.max_length or length_for(base, lessons.texts))
    embeddings = encoder.embed(lessons.texts, progress)
    progress("fitting the head", 0, None)
    fitted = fit_linear_head(embeddings, lessons.labels, lessons.groups, len(lessons.names), grid=chosen.C, seed=seed)
    progress("writing the weights", 0, None)
    write_encoder(base.folder, folder / GRAPH, pooling=encoder.pooling, head=fitted.head)
    copy_tokenizer(base.folder, folder)
    about = OnnxText(**{**vars(encoder.about), "outputs": len(lessons.names)})
    write_about(folder, about)
    facts = {
        "learner": "encoder_head",
        "base": base.facts(),
        "max_length": about.max_length,
        "pooling": about.pooling,
        "C": fitted.strength,
        "C_chosen_by": fitted.chosen_by,
        "trained_parameters": int(fitted.head[0].size + fitted.head[1].size),
        "precision": about.precision,
    }
    return Weights(folder, EATS, "onnx_text", exact=True, facts=facts)
