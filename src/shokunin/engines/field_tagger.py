"""Runs `field_tagger` weights: an encoder scores every token of a document, and the likeliest value of each field is read off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shokunin.encoders.onnx_text import TOKENIZER, read_about
from shokunin.encoders.token_runner import TokenRunner
from shokunin.encoders.tokens import Spelling
from shokunin.errors import ArtefactError
from shokunin.fields.one_span import PARTS
from shokunin.fields.places import Places
from shokunin.fields.read_tokens import Numbers, Tokenised, joined, tokenise
from shokunin.fields.tagged import Mentions
from shokunin.fields.tagged_files import load_tagger
from shokunin.forms import Document, Found, FoundFields
from shokunin.weights import Weights

FORMATS = ("field_tagger",)


class TaggerSession:
    """An open tokenizer and graph, and what is known of each field."""

    def __init__(self, weights: Weights) -> None:
        self._about = read_about(weights.folder)
        self._tagger = load_tagger(weights.folder)
        if self._about.outputs != PARTS * len(self._tagger.read):
            raise ArtefactError(
                f"the graph in {str(weights.folder)!r} gives {self._about.outputs} scores a token for "
                f"{len(self._tagger.read)} fields; restore the folder from a copy"
            )
        self._spelling = Spelling(weights.folder / TOKENIZER)
        self._runner = TokenRunner(weights.folder, self._about)

    def run(self, forms: Sequence[Document]) -> list[FoundFields]:
        """What was found in each document: one `Found` a field. Each is read by itself, window by window."""
        return [self._find(document) for document in forms]

    def _find(self, document: Document) -> FoundFields:
        page = Places(document)
        tokens = tokenise([page], self._spelling)[0]
        numbers, seen = self._numbers(tokens), Mentions()
        found: dict[str, Found] = {}
        column = 0
        for field in self._tagger.fields:
            width = 0 if field.field.type == "list" else PARTS
            found[field.field.name] = field.find(page, tokens, numbers[:, column : column + width], seen)
            column += width
        return found

    def _numbers(self, tokens: Tokenised) -> Numbers:
        """The scores of every token, shape (n, 3 a field)."""
        before, behind = (np.asarray(part, np.int64) for part in (self._spelling.before, self._spelling.behind))
        at = self._tagger.windows(len(tokens))
        scores = self._runner.run([np.concatenate([before, tokens.ids[a:b], behind]) for a, b in at])
        parts = [part[len(before) : len(before) + b - a] for part, (a, b) in zip(scores, at, strict=True)]
        return joined(parts, at, len(tokens), self._about.outputs)


def load(weights: Weights, *, threads: int | None = None) -> TaggerSession:
    """Open the weights; a document is read on one thread.

    Raises:
        ArtefactError: a file is missing, damaged or unsafe, or does not fit the others.
    """
    return TaggerSession(weights)
