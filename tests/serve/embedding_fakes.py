"""An encoder small enough to see through, and an application that has it beside a specialist."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI
from serve_fakes import SHAPED, lengths

from shokunin.serve.app import create_app
from shokunin.serve.embedding import Embeddings
from shokunin.serve.parts import Parts
from shokunin.serve.shelf import Shelf
from shokunin.template import Template, TemplateMessage

IN_JSON = Template(
    (TemplateMessage("system", SHAPED), TemplateMessage("user", "{{text}}")),
    models=("large",),
    reply='{"length": "{{answer}}"}',
)
"""How an application asks that gets its answers as JSON."""


class Letters:
    """A vector of how long a text is and how many e's it has; one token a letter, eight at most."""

    name = "letters"
    dimensions = 2
    max_length = 8

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.hold = threading.Event()
        self.hold.set()

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.seen.append(list(texts))
        assert self.hold.wait(20)
        return np.array([[len(t), t.count("e")] for t in texts], np.float32)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        return [min(len(t), self.max_length + 1) for t in texts]


def lengths_and_letters() -> FastAPI:
    """The specialist `lengths` in version 2, which knows `IN_JSON`, and the encoder `letters`."""
    served = {key: replace(one, templates=(IN_JSON,)) for key, one in lengths().items()}
    return create_app(Parts(Shelf(served), embeddings=Embeddings({"letters": Letters()})))
