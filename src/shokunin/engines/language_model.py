"""language_model: conversations to what a small language model writes, on the processor, many at once.

Greedy: the most probable token each time. Sessions of the same weights share one model in memory, and decode together
whatever their callers ask at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shokunin.errors import ArtefactError, BaseModelError
from shokunin.files import sha256_of
from shokunin.forms import Conversation, Written
from shokunin.language.prepared import Prepared, prepare_gguf, read_ir
from shokunin.language.runner import Piece, Runner, runner_for
from shokunin.weights import Weights

FORMATS: tuple[str, ...] = ("gguf", "openvino_text")
MODEL = "model.gguf"


class LanguageSession:
    """Loaded weights.

    Attributes:
        context: tokens of prompt and answer together.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.context = runner.prepared.context

    def run(self, forms: Sequence[Conversation]) -> list[Written]:
        """What the model writes for each conversation, in their order; one that it cannot answer has a `problem`."""
        return self._runner.write(forms)

    def stream(self, form: Conversation) -> Iterator[Piece]:
        """The answer to one conversation, piece by piece as it is written; closing the iterator stops the work."""
        return self._runner.stream(form)

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return self._runner.count(text)


def load(weights: Weights, *, threads: int | None = None) -> LanguageSession:
    """Open the weights on `threads` processor threads (default: all that this process may use).

    Raises:
        ArtefactError: a file is missing or damaged, or the weights are of another format.
        MissingExtraError: the engine's library is not installed.
    """
    if weights.format not in FORMATS:
        raise ArtefactError(f"the language_model engine reads {', '.join(FORMATS)}, not {weights.format!r}")
    return LanguageSession(runner_for(_prepared(weights), threads=threads))


def _prepared(weights: Weights) -> Prepared:
    if weights.format == "openvino_text":
        graph = weights.folder / "openvino_model.bin"
        if not graph.is_file():
            raise ArtefactError(f"{graph.name!r} is missing from the weights of format 'openvino_text'")
        return read_ir(weights.folder, sha256_of(graph), "the specialist's model")
    path = weights.folder / MODEL
    if not path.is_file():
        raise ArtefactError(f"{MODEL!r} is missing from the weights of format 'gguf'")
    try:
        return prepare_gguf(path, sha256_of(path), MODEL)
    except BaseModelError as error:
        raise ArtefactError(str(error)) from error
