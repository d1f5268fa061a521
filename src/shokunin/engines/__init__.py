"""The shelf of engines: weights in, something that runs out.

An engine is a module with the names of `Engine`. To add one: write the file and add a line to `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from shokunin.errors import UsageError
from shokunin.weights import Weights

if TYPE_CHECKING:
    from shokunin.encoders.text_runner import Reader
    from shokunin.language.runner import Piece

ENGINES = {
    "constant": "shokunin.engines.constant",
    "linear": "shokunin.engines.linear",
    "onnx": "shokunin.engines.onnx",
    "mixture": "shokunin.engines.mixture",
    "cascade": "shokunin.engines.cascade",
    "field_candidates": "shokunin.engines.field_candidates",
    "field_tagger": "shokunin.engines.field_tagger",
    "fields_by_member": "shokunin.engines.fields_by_member",
    "nearest_answer": "shokunin.engines.nearest_answer",
    "answer_templates": "shokunin.engines.answer_templates",
    "language_model": "shokunin.engines.language_model",
    "transformers_text": "shokunin.engines.transformers_text",
    "trees": "shokunin.engines.trees",
    "series_horizons": "shokunin.engines.series_horizons",
    "series_normal": "shokunin.engines.series_normal",
}

READS = {"constant": "constant", "linear_text": "linear", "onnx_text": "onnx", "mixture": "mixture", "cascade": "cascade",
         "field_candidates": "field_candidates", "field_tagger": "field_tagger", "fields_by_member": "fields_by_member",
         "nearest_answer": "nearest_answer",
         "answer_templates": "answer_templates", "gguf": "language_model",
         "gguf_adapter": "language_model", "openvino_text": "language_model", "hf_text": "transformers_text",
         "series_trees": "trees", "series_horizons": "series_horizons",
         "series_normal": "series_normal"}  # fmt: skip
"""Which engine is the first choice for a format; the contract suite checks it against what each engine says."""


class Session(Protocol):
    """Loaded weights. Safe to call from one thread at a time."""

    def run(self, forms: Sequence[Any]) -> Any:
        """The `Raw` outputs of the forms, one a row: for labelled text log-scores, shape (len(forms), k).

        A row must not depend on its neighbours in the batch.
        """


@runtime_checkable
class ReadingSession(Session, Protocol):
    """A session that first reads texts with encoders that other sessions may share; `run` is `finish` of what was read."""

    @property
    def readers(self) -> Sequence[Reader]:
        """What it reads with."""

    def finish(self, forms: Sequence[Any], read: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Raw log-scores as `run` gives them; `read` is what each of the readers gave for `forms`."""


@runtime_checkable
class StreamingSession(Session, Protocol):
    """A session that hands out what it writes while it writes it."""

    @property
    def streams(self) -> bool:
        """Whether an answer comes in more than one piece."""

    def stream(self, form: Any) -> Generator[Piece, None, None]:
        """What `run` gives for one form, in pieces; the last has it whole. Closing the generator stops the work.

        Any number of threads may ask at once, also while `run` is under way.
        """


class Engine(Protocol):
    """An engine, checked structurally: a module with these names."""

    FORMATS: tuple[str, ...]

    def load(self, weights: Weights, *, threads: int | None = None) -> Session:
        """Open the weights.

        Raises:
            ArtefactError: the files are not what the format says.
        """


def engine_for(format: str) -> Engine:
    """The engine that reads a format.

    Raises:
        UsageError: no engine of this release does.
    """
    if format not in READS:
        raise UsageError(f"no engine reads weights of format {format!r}; this release reads {', '.join(READS)}")
    return cast(Engine, import_module(ENGINES[READS[format]]))
