"""The forms in which an example reaches a learner and an engine: a small closed vocabulary.

A task kind says which forms it can give, a learner which one it eats; adding a form is an architectural decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Form = Literal["labelled_text"]


@dataclass(frozen=True)
class TextLessons:
    """Texts with one label each: the form `labelled_text`.

    Attributes:
        texts: n texts, as the kind's codec wrote them.
        labels: shape (n,), int64, indices into `names`.
        names: the k label names, in the order of the model's outputs.
        groups: shape (n,), int64; rows of one group (near-duplicates, one customer) must stay on one side of any split.
    """

    texts: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]
    groups: npt.NDArray[np.int64]
    form: Form = field(default="labelled_text", init=False)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: npt.NDArray[np.int64]) -> TextLessons:
        """The lessons at `rows`, in that order."""
        return TextLessons(tuple(self.texts[i] for i in rows), self.labels[rows], self.names, self.groups[rows])


Lessons = TextLessons  # becomes a union when a second form arrives
