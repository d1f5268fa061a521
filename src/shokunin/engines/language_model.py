"""language_model: conversations to what a small language model writes, on the processor, many at once.

Greedy: the most probable token each time. Sessions of the same weights share one model in memory, and decode together
whatever their callers ask at the same moment; so do sessions whose weights are adapters on one base.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from shokunin.errors import ArtefactError, BaseModelError
from shokunin.files import sha256_of
from shokunin.forms import Conversation, Written
from shokunin.language.adapter import Adapter, read_adapter
from shokunin.language.base_models import resolve_near
from shokunin.language.prepared import Prepared, prepare, prepare_gguf, read_ir
from shokunin.language.runner import Piece, Runner, runner_for
from shokunin.weights import Weights

FORMATS: tuple[str, ...] = ("gguf", "gguf_adapter", "openvino_text")
MODEL = "model.gguf"


class LanguageSession:
    """Loaded weights.

    Attributes:
        context: tokens of prompt and answer together.
    """

    streams = True

    def __init__(self, runner: Runner, adapter: Adapter | None = None) -> None:
        self._runner = runner
        self._adapter = adapter
        self.context = runner.context

    def run(self, forms: Sequence[Conversation]) -> list[Written]:
        """What the model writes for each conversation, in their order; one that it cannot answer has a `problem`."""
        return self._runner.write(forms, adapter=self._adapter)

    def stream(self, form: Conversation) -> Generator[Piece, None, None]:
        """The answer to one conversation, piece by piece as it is written; closing the iterator stops the work."""
        return self._runner.stream(form, adapter=self._adapter)

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
    if weights.format == "gguf_adapter":
        base = _base(weights)
        return LanguageSession(runner_for(base, threads=threads, adapters=True), read_adapter(weights.folder, base))
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


def _base(weights: Weights) -> Prepared:
    """The model that an adapter was trained on, found by the name and digest that the learner recorded."""
    told = weights.facts.get("base")
    name, sha256 = (told.get("name"), told.get("sha256")) if isinstance(told, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(sha256, str):
        raise ArtefactError("the facts of an adapter's weights must say its base's 'name' and 'sha256'; train it again")
    try:
        model = resolve_near(name, weights.folder)
    except BaseModelError as error:
        raise ArtefactError(f"the adapter needs its base {name!r} (SHA-256 {sha256[:12]}…): {error}") from error
    if model.sha256 != sha256:
        raise ArtefactError(
            f"the adapter was trained on {name!r} with the SHA-256 {sha256[:12]}…, and the one here has "
            f"{model.sha256[:12]}…; install the version that it names, or train it again"
        )
    return prepare(model)
