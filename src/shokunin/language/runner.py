"""Runner: one language model in memory, which answers whoever asks, many at once.

Requests of all callers are decoded together (continuous batching: Yu et al., Orca, OSDI 2022), and prompts that begin
alike share what was computed for the beginning. One thread steps the engine while there is work, and ends with it.

Adapters are laid on a model of their own (`adapters=True`), shared by all adapters on that base. The engine has one adapter
laid on at a time ("must be the same for all requests" of a batch): requests for another wait until those for the present one
are answered, and those for one adapter are then answered together, wherever in the queue they stand. It also takes what one
adapter computed of a prompt for what another would compute (measured: another answer), so beginnings are shared only as
long as there is one adapter.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shokunin.encoders.shared import shared
from shokunin.errors import ArtefactError, MissingExtraError, UsageError
from shokunin.forms import Conversation, Written
from shokunin.language.adapter import Adapter
from shokunin.language.chat_template import render
from shokunin.language.json_grammar import grammar
from shokunin.language.prepared import Prepared

CACHE_GB = 1
"""Memory for what was computed of prompts, at most; used as it is needed."""
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
"""By default the engine rounds activations by their neighbours' size, so that an answer depends on who else is asking."""
PROMPT_TOKENS_A_STEP = 512
"""A long prompt is read in pieces of so many tokens, between which the others go on."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; by default always the most probable.

    Attributes:
        temperature: 0: the most probable token.
        top_p: only the most probable tokens that together reach this probability.
        seed: of the draw.
        stop: texts at which the answer ends, without them.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an answer: its text and its tokens with their logprobs; in the last one `done` says how it ended."""

    text: str
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()
    done: Written | None = None


@dataclass(eq=False)
class _Asked:
    """One request on its way through the engine."""

    prompt: list[int]
    config: Any
    pieces: queue.SimpleQueue[tuple[list[int], list[float]] | BaseException | str]
    handle: Any = None
    adapter: Adapter | None = None
    gone: bool = False


@dataclass
class _Work:
    """What waits and what runs; guarded by `changing`."""

    changing: threading.Lock = field(default_factory=threading.Lock)
    waiting: deque[_Asked] = field(default_factory=deque)
    running: list[_Asked] = field(default_factory=list)
    busy: bool = False


def runner_for(prepared: Prepared, *, threads: int | None = None, adapters: bool = False) -> Runner:
    """The one runner of this model in the process; the first that asks for it decides about its threads.

    Raises:
        ArtefactError: the engine cannot open the folder.
        MissingExtraError: the engine is not installed.
    """
    make = AdaptedRunner if adapters else Runner
    return shared(make, prepared.content, lambda: make(prepared, threads=threads))


class Runner:
    """A model in memory. May be asked from any thread.

    Attributes:
        prepared: what it runs.
        context: tokens of prompt and answer together.
    """

    def __init__(self, prepared: Prepared, *, threads: int | None = None) -> None:
        self.prepared = prepared
        self._threads = threads
        self._work = _Work()
        self._ids = itertools.count()
        self._genai, self._openvino = _libraries()
        try:
            self._tokenizer = self._genai.Tokenizer(str(prepared.folder))
            # The tokenizer cuts what is longer than its own limit and says nothing; so its limit is the context, too.
            self.context = min(prepared.context, self.count("x " * (prepared.context + 1)))
            self._pipeline = self._open()
        except RuntimeError as error:
            raise ArtefactError(f"the engine cannot open {prepared.name!r}: {_last_line(error)}") from error

    # --- what callers ask

    def write(
        self,
        asked: Sequence[Conversation],
        sampling: Sequence[Sampling] | Sampling = GREEDY,
        *,
        adapter: Adapter | None = None,
    ) -> list[Written]:
        """An answer for each conversation, in their order; decoded together."""
        each = [sampling] * len(asked) if isinstance(sampling, Sampling) else list(sampling)
        started = [self._start(one, how, adapter) for one, how in zip(asked, each, strict=True)]
        return [one if isinstance(one, Written) else self._finish(one) for one in started]

    def stream(
        self, asked: Conversation, sampling: Sampling = GREEDY, *, adapter: Adapter | None = None
    ) -> Generator[Piece, None, None]:
        """The answer in pieces as they are written. Closing the iterator stops the work.

        A problem comes as the only piece, in `done`.
        """
        started = self._start(asked, sampling, adapter)
        if isinstance(started, Written):
            yield Piece("", done=started)
            return
        ids: list[int] = []
        logprobs: list[float] = []
        shown = 0
        try:
            while not isinstance(found := started.pieces.get(), str):
                if isinstance(found, BaseException):
                    yield Piece("", done=_failed(found, len(started.prompt)))
                    return
                ids += found[0]
                logprobs += found[1]
                whole = self._tokenizer.decode(self._spoken(ids))
                stable = whole[: len(whole) - len(_unfinished(whole))]
                spoken = [(one, p) for one, p in zip(*found, strict=True) if self._spoken([one])]
                tokens = tuple(self._tokenizer.decode([one]) for one, _ in spoken)
                yield Piece(stable[shown:], tokens, tuple(p for _, p in spoken))
                shown = max(shown, len(stable))
            done = self._written(started, ids, logprobs, found)
            yield Piece(done.text[shown:], done=done)
        finally:
            self._let_go(started)

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._encode(text))

    def check_schema(self, schema: str | None) -> None:
        """Whether answers can be held to this JSON Schema.

        Raises:
            UsageError: it is no schema, or uses what cannot be enforced token by token.
        """
        if schema is not None:
            grammar(schema)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text that the model is given for these messages.

        Raises:
            UsageError: the chat template refuses them.
        """
        template = self.prepared.template
        if template is None:
            raise UsageError(
                f"{self.prepared.name!r} has no chat template, so it takes no messages; use an instruct model, "
                "or a file with 'tokenizer.chat_template'"
            )
        return render(template, messages, bos=self.prepared.bos, eos=self.prepared.eos)

    # --- one request

    def _start(self, asked: Conversation, sampling: Sampling, adapter: Adapter | None) -> _Asked | Written:
        try:
            tokens = self._encode(self.prompt(asked.messages))
            config = self._config(asked, sampling)
        except UsageError as error:
            return Written("", finished=False, problem=str(error))
        except (RuntimeError, ValueError) as error:
            return Written("", finished=False, problem=f"the engine refuses this request: {_last_line(error)}")
        if len(tokens) + asked.longest > self.context:
            return Written(
                "",
                finished=False,
                tokens_in=len(tokens),
                problem=f"the prompt has {_at_least(len(tokens), self.context)} tokens and the answer may have "
                f"{asked.longest}; together the model's context holds {self.context}",
            )
        one = _Asked(tokens, config, queue.SimpleQueue(), adapter=adapter)
        with self._work.changing:
            self._work.waiting.append(one)
            if not self._work.busy:
                self._work.busy = True
                threading.Thread(target=self._steps, name="shokunin-language-model", daemon=True).start()
        return one

    def _finish(self, one: _Asked) -> Written:
        ids: list[int] = []
        logprobs: list[float] = []
        while not isinstance(found := one.pieces.get(), str):
            if isinstance(found, BaseException):
                return _failed(found, len(one.prompt))
            ids += found[0]
            logprobs += found[1]
        return self._written(one, ids, logprobs, found)

    def _written(self, one: _Asked, ids: list[int], logprobs: list[float], end: str) -> Written:
        if end == "IGNORED":
            return Written(
                "",
                finished=False,
                tokens_in=len(one.prompt),
                problem=f"the prompt of {len(one.prompt)} tokens does not fit into the memory for prompts "
                f"({CACHE_GB} GB)",
            )
        text = self._tokenizer.decode(self._spoken(ids))
        for stop in one.config.stop_strings:
            text = text.partition(stop)[0]
        return Written(text, tuple(logprobs), end == "STOP", len(one.prompt), tokens_out=len(ids))

    def _spoken(self, ids: list[int]) -> list[int]:
        """The tokens without those that end an answer."""
        ends = {self._tokenizer.get_eos_token_id(), *self.prepared.stops}
        return [one for one in ids if one not in ends]

    def _config(self, asked: Conversation, sampling: Sampling) -> Any:
        config = self._genai.GenerationConfig()
        config.max_new_tokens = asked.longest
        config.logprobs = 1
        config.apply_chat_template = False
        config.set_eos_token_id(self._tokenizer.get_eos_token_id())
        config.stop_token_ids = {self._tokenizer.get_eos_token_id(), *self.prepared.stops}
        if sampling.temperature > 0:
            config.do_sample = True
            config.temperature = sampling.temperature
            config.top_p = sampling.top_p
            config.rng_seed = sampling.seed
        if sampling.stop:
            config.stop_strings = set(sampling.stop)
        if asked.schema is not None:
            config.structured_output_config = self._genai.StructuredOutputConfig(grammar=grammar(asked.schema))
        config.validate()
        return config

    def _encode(self, text: str) -> list[int]:
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        return [int(one) for one in encoded.input_ids.data[0]]

    # --- the engine's thread

    def _open(self, *, share_beginnings: bool = True, **more: Any) -> Any:
        scheduler = self._genai.SchedulerConfig()
        scheduler.cache_size = CACHE_GB
        scheduler.enable_prefix_caching = share_beginnings
        scheduler.max_num_batched_tokens = PROMPT_TOKENS_A_STEP
        properties: dict[str, Any] = dict(EXACT)
        if self._threads is not None:
            properties["INFERENCE_NUM_THREADS"] = self._threads
        return self._genai.ContinuousBatchingPipeline(
            str(self.prepared.folder), self._tokenizer, scheduler, "CPU", **properties, **more
        )

    def _steps(self) -> None:
        """Step the engine until nobody waits."""
        work = self._work
        while True:
            with work.changing:
                self._admit()
                if not work.running and not self._unfinished():
                    if work.waiting:  # none of those chosen could be begun
                        continue
                    work.busy = False
                    return
            try:
                self._pipeline.step()
                self._hand_out()
            except Exception as error:  # the engine cannot say which request it was, nor let go of it
                for one in work.running:
                    one.pieces.put(error)
                work.running.clear()
                self._pipeline = None  # whoever comes next opens it again

    def _admit(self) -> None:
        work = self._work
        wanted = [one for one in work.waiting if not one.gone]
        chosen = self._chosen(wanted)
        began = set(chosen)
        work.waiting = deque(one for one in wanted if one not in began)
        for one in chosen:
            try:
                self._ready(one)
                tensor = self._openvino.Tensor(_matrix(one.prompt))
                one.handle = self._pipeline.add_request(next(self._ids), tensor, one.config)
            except Exception as error:
                one.pieces.put(error)
                continue
            work.running.append(one)

    def _hand_out(self) -> None:
        status = self._genai.GenerationStatus
        still = []
        for one in self._work.running:
            if one.gone:
                one.handle.cancel()
                continue
            end = one.handle.get_status()
            reason = ""
            while one.handle.can_read():
                for output in one.handle.read().values():
                    one.pieces.put((list(output.generated_ids), list(output.generated_log_probs)))
                    reason = output.finish_reason.name
            if end == status.RUNNING:
                still.append(one)
            else:
                one.pieces.put("IGNORED" if end == status.IGNORED else reason or "STOP")
        self._work.running = still

    def _unfinished(self) -> bool:
        """Whether the engine still holds a request, if only one that was given up."""
        return self._pipeline is not None and bool(self._pipeline.has_non_finished_requests())

    def _chosen(self, waiting: list[_Asked]) -> list[_Asked]:
        """Those that can be decoded beside those that run."""
        return waiting

    def _ready(self, one: _Asked) -> None:
        """Make the engine ready for it."""
        if self._pipeline is None:
            self._pipeline = self._open()

    def _let_go(self, one: _Asked) -> None:
        one.gone = True


class AdaptedRunner(Runner):
    """A model with adapters, one laid on at a time; each request brings its own.

    Attributes:
        changes: how often another adapter was laid on.
    """

    def __init__(self, prepared: Prepared, *, threads: int | None = None) -> None:
        self.changes = 0
        self._laid: Adapter | None = None
        self._opened: dict[str, Any] = {}  # of each adapter what the engine made of its file
        self._known: dict[frozenset[str], Adapter] = {}  # for each set of projections one adapter that changes them
        super().__init__(prepared, threads=threads)

    def _open(self, *, share_beginnings: bool = True, **more: Any) -> Any:
        if not self._known:
            return None  # which projections must be changeable is known with the first adapter
        registered = self._genai.AdapterConfig([(self._file(one), 0.0) for one in self._known.values()])
        return super()._open(share_beginnings=len(self._opened) < 2, adapters=registered, **more)

    def _chosen(self, waiting: list[_Asked]) -> list[_Asked]:
        """All for one adapter: the one laid on while nobody waits for another, else that of the first, when its turn has come."""
        digests = [one.adapter.digest if one.adapter else None for one in waiting]
        if self._work.running or self._unfinished():
            present = None if self._laid is None else self._laid.digest
            return waiting if all(digest == present for digest in digests) else []
        return [one for one, digest in zip(waiting, digests, strict=True) if digest == digests[0]]

    def _ready(self, one: _Asked) -> None:
        adapter = one.adapter
        assert adapter is not None
        if self._pipeline is not None and self._laid is not None and self._laid.digest == adapter.digest:
            return
        sharing = len(self._opened) < 2
        self._file(adapter)
        new = not any(adapter.projections <= known for known in self._known)
        if new:
            self._known[adapter.projections] = adapter
        if new or self._pipeline is None or (sharing and len(self._opened) == 2):
            self._pipeline = None  # let go of the old one before there is a new one
            self._pipeline = self._open()
        config = self._genai.GenerationConfig()
        config.max_new_tokens, config.apply_chat_template = 1, False
        config.adapters = self._genai.AdapterConfig(self._file(adapter), adapter.scale)
        # Only `generate` changes the adapter, and only with a prompt; one token is the least.
        self._pipeline.generate([self._openvino.Tensor(_matrix([0]))], [config])
        self._laid = adapter
        self.changes += 1

    def _file(self, adapter: Adapter) -> Any:
        if adapter.digest not in self._opened:
            self._opened[adapter.digest] = self._genai.Adapter(str(adapter.path))
        return self._opened[adapter.digest]


def _at_least(tokens: int, limit: int) -> str:
    return f"{tokens} or more" if tokens >= limit else str(tokens)


def _matrix(ids: Sequence[int]) -> Any:
    import numpy as np

    return np.array([ids], dtype=np.int64)


def _unfinished(text: str) -> str:
    """The end of a text that may still become another character."""
    return text[len(text.rstrip("\ufffd")) :]


def _failed(error: BaseException, tokens: int) -> Written:
    return Written("", finished=False, tokens_in=tokens, problem=f"the engine failed: {_last_line(error)}")


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _libraries() -> tuple[Any, Any]:
    try:
        import openvino
        import openvino_genai
    except ModuleNotFoundError as error:
        raise MissingExtraError("openvino-genai", "llm") from error
    return openvino_genai, openvino
