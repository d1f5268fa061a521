"""Runs `nearest_answer` weights: the answer of the lesson whose prompt has the highest cosine with the one asked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy import sparse

from shokunin.encoders.tfidf import TfidfEncoder, load_tfidf
from shokunin.errors import ArtefactError
from shokunin.files import read_json
from shokunin.forms import Conversation, Written
from shokunin.language.asked import Frame, asked_text
from shokunin.weights import Weights

FORMATS = ("nearest_answer",)
LEAST = 1e-6


class NearestSession:
    """The lessons' prompts as rows, and their answers, in memory."""

    def __init__(self, encoder: TfidfEncoder, prompts: sparse.csr_matrix, answers: Sequence[str], frame: Frame) -> None:
        if prompts.shape != (len(answers), encoder.size) or not answers:
            raise ValueError("the prompts do not fit the answers and the vocabulary")
        self._encoder = encoder
        self._prompts = prompts.T.tocsr()
        self._answers = list(answers)
        self._frame = frame

    def run(self, forms: Sequence[Conversation]) -> list[Written]:
        """The nearest lesson's answer for each conversation; its one logprob is the logarithm of the cosine, 0 to 1."""
        if not forms:
            return []
        texts = [asked_text(form, self._frame) for form in forms]
        # Word and character features are of unit length each, so that a row has length √2.
        alike = np.asarray((self._encoder.encode(texts) @ self._prompts).todense()) / 2
        best = alike.argmax(axis=1)
        return [
            Written(
                self._answers[j], logprobs=(math.log(min(1.0, max(LEAST, float(row[j])))),), tokens_in=len(text.split())
            )
            for row, j, text in zip(alike, best, texts, strict=True)
        ]


def load(weights: Weights, *, threads: int | None = None) -> NearestSession:
    """Read the prompts and the answers.

    Raises:
        ArtefactError: a file is missing, damaged, or does not fit the others.
    """
    encoder = load_tfidf(weights.folder)
    about = read_json(weights.folder / "answers.json")
    try:
        rows = load_file(weights.folder / "prompts.safetensors")
        prompts = sparse.csr_matrix(
            (rows["data"], rows["indices"], rows["indptr"]), shape=(len(rows["indptr"]) - 1, encoder.size)
        )
        return NearestSession(
            encoder, prompts, about["answers"], Frame(about["frame"]["before"], about["frame"]["after"])
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"the answers in {str(weights.folder)!r} are damaged: {error}") from error
