"""Runs `field_candidates` weights: proposes values for each field of a document and gives the likeliest."""

from __future__ import annotations

from collections.abc import Sequence

from shokunin.fields.places import Places
from shokunin.fields.scalar import Seen
from shokunin.fields.stored import load_models
from shokunin.forms import Document, Found, FoundFields
from shokunin.weights import Weights

FORMATS = ("field_candidates",)


class FieldsSession:
    """Every field's words and trees in memory."""

    def __init__(self, weights: Weights) -> None:
        self._models = [model.open() for model in load_models(weights.folder)]

    def run(self, forms: Sequence[Document]) -> list[FoundFields]:
        """What was found in each document: one `Found` a field."""
        return [self._find(document) for document in forms]

    def _find(self, document: Document) -> FoundFields:
        page, seen = Places(document), Seen()
        found: dict[str, Found] = {opened.model.field.name: opened.find(page, seen) for opened in self._models}
        return found


def load(weights: Weights, *, threads: int | None = None) -> FieldsSession:
    """Read the models.

    Raises:
        ArtefactError: a file is missing, damaged, or does not fit the others.
    """
    return FieldsSession(weights)
