"""Runs `answer_templates` weights: reads the mentions of a prompt, finds the likeliest shape, and fills it.

Every reading of the prompt is tried with every shape that takes just its mentions; the answers' probabilities are added up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy.special import log_softmax

from shokunin.encoders.tfidf import TfidfEncoder, load_tfidf
from shokunin.errors import ArtefactError
from shokunin.files import read_json
from shokunin.forms import Conversation, Written
from shokunin.language.answer_shapes import Shape, fill
from shokunin.language.asked import Frame, asked_text
from shokunin.language.mentions import Lexicon, lexicon_from_json, masked, readings
from shokunin.weights import Weights

FORMATS = ("answer_templates",)
LIKELY = 20
"""Shapes of one reading that are filled."""


class TemplateSession:
    """Shapes, a lexicon and two linear scorers in memory."""

    def __init__(
        self, encoder: TfidfEncoder, tensors: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]
    ) -> None:
        self._encoder = encoder
        self._weight = tensors["weight"].astype(np.float32)
        self._parts = tensors["parts"].astype(np.float32)
        self._frame = Frame(about["frame"]["before"], about["frame"]["after"])
        self._shapes = [Shape(s["text"], tuple(s["sorts"])) for s in about["shapes"]]
        self._codes: dict[str, int] = about["codes"]
        self._meant: dict[str, float] = about["meant"]
        self._sql = bool(about["sql"])
        self._lexicon: Lexicon = lexicon_from_json(about["lexicon"])
        self._taking: dict[tuple[str, ...], npt.NDArray[np.int64]] = {
            sorts: np.flatnonzero([s.sorts == sorts for s in self._shapes]) for sorts in {s.sorts for s in self._shapes}
        }
        if self._weight.shape != (encoder.size, len(self._parts)) or self._parts.shape[1] != len(self._shapes):
            raise ValueError("the scorer does not fit the vocabulary and the shapes")

    def run(self, forms: Sequence[Conversation]) -> list[Written]:
        """An answer for each conversation, with the logarithm of its probability; or a problem, where no shape fits."""
        return [self._answer(asked_text(form, self._frame)) for form in forms]

    def _answer(self, text: str) -> Written:
        found = tuple(m for m in self._lexicon.find(text) if m.sort in self._codes)
        read = [r for r in readings(text, found, self._meant) if tuple(m.sort for m in r.mentions) in self._taking]
        if not read:
            return Written("", problem="no answer that was learnt takes just what this prompt mentions")
        rows = self._encoder.encode([masked(text, r.mentions, self._codes) for r in read])
        scores = log_softmax((rows @ self._weight) @ self._parts, axis=1)
        chances: dict[str, float] = defaultdict(float)
        for reading, of_shape in zip(read, scores, strict=True):
            taking = self._taking[tuple(m.sort for m in reading.mentions)]
            for shape in taking[np.argsort(-of_shape[taking], kind="stable")[:LIKELY]]:
                answer = fill(self._shapes[shape], reading.mentions, sql=self._sql)
                chances[answer] += math.exp(reading.logprob + float(of_shape[shape]))
        best = max(chances, key=lambda answer: chances[answer])
        return Written(best, logprobs=(min(0.0, math.log(max(chances[best], 1e-30))),), tokens_in=len(text.split()))


def load(weights: Weights, *, threads: int | None = None) -> TemplateSession:
    """Read the shapes and the scorers.

    Raises:
        ArtefactError: a file is missing, damaged, or does not fit the others.
    """
    encoder = load_tfidf(weights.folder)
    about = read_json(weights.folder / "shapes.json")
    try:
        return TemplateSession(encoder, load_file(weights.folder / "shapes.safetensors"), about)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtefactError(f"the shapes in {str(weights.folder)!r} are damaged: {error}") from error
