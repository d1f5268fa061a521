"""transformers_text: conversations to what a causal model writes, through Transformers, on any device.

The reference that quicker engines are compared with, and the way to models that they do not read. Greedy: the most
probable token each time. Rows are batched with the padding on the left, masked, so that a row differs from the same row
alone by rounding only.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shokunin.errors import ArtefactError, BaseModelError, MissingExtraError, ShokuninError
from shokunin.forms import Conversation, Written
from shokunin.language.chat_tokens import ChatTokens
from shokunin.weights import Weights

FORMATS: tuple[str, ...] = ("hf_text",)
ROWS_AT_ONCE = 8


class TransformersSession:
    """Loaded weights.

    Attributes:
        context: tokens of prompt and answer together.
    """

    def __init__(self, folder: Path, threads: int | None, adapter: Path | None = None) -> None:
        self._torch, transformers = _libraries()
        self.threads = threads
        try:
            self._chat = ChatTokens(folder, folder.name)
        except BaseModelError as error:
            raise ArtefactError(str(error)) from error
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="auto"
            )
        except Exception as error:  # what is raised for damaged files is of no common kind
            raise ArtefactError(f"the weights in {folder.name!r} cannot be read: {error}") from error
        if adapter is not None:
            model = _adapted(model, adapter)
        self._device = self._torch.device("cuda" if self._torch.cuda.is_available() else "cpu")
        # float16 products are slow on a processor, and rounded more than need be.
        self._model = model.to(self._device, None if self._device.type == "cuda" else self._torch.float32).eval()
        self.context = int(model.config.max_position_embeddings)
        ends = model.generation_config.eos_token_id
        stated = ends if isinstance(ends, list) else [ends] if ends is not None else []
        self._ends = sorted({self._chat.end, *stated})

    def run(self, forms: Sequence[Conversation]) -> list[Written]:
        """What the model writes for each conversation, in their order; one that it cannot answer has a `problem`."""
        out: list[Written | None] = [None] * len(forms)
        asked: list[tuple[int, list[int]]] = []
        for place, form in enumerate(forms):
            problem, ids = self._prompt(form)
            if problem is not None:
                out[place] = Written("", tokens_in=len(ids), problem=problem)
            else:
                asked.append((place, ids))
        asked.sort(key=lambda one: (len(one[1]), forms[one[0]].longest))
        with self._on_threads():
            for start in range(0, len(asked), ROWS_AT_ONCE):
                part = asked[start : start + ROWS_AT_ONCE]
                written = self._write([ids for _, ids in part], [forms[place].longest for place, _ in part])
                for (place, _), one in zip(part, written, strict=True):
                    out[place] = one
        return [one for one in out if one is not None]

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._chat.plain(text))

    def _prompt(self, form: Conversation) -> tuple[str | None, list[int]]:
        if form.schema is not None:
            return "this engine holds no answer to a schema; write the weights as GGUF for the one that does", []
        try:
            ids: list[int] = self._chat.prompt(form.messages).tolist()
        except ShokuninError as error:
            return str(error), []
        if len(ids) + form.longest > self.context:
            why = f"the prompt has {len(ids)} tokens and the answer may have {form.longest}; the model looks at"
            return f"{why} {self.context} in all", ids
        return None, ids

    def _write(self, prompts: Sequence[list[int]], longest: Sequence[int]) -> list[Written]:
        torch, width = self._torch, max(len(ids) for ids in prompts)
        pad = self._ends[0]
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=self._device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self._device)
        seen: list[Any] = []

        def note(_: Any, scores: Any) -> Any:
            seen.append((scores.max(-1).values - scores.logsumexp(-1)).float().cpu())
            return scores

        with torch.inference_mode():
            given = self._model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=max(longest), do_sample=False, num_beams=1,
                eos_token_id=self._ends, pad_token_id=pad, logits_processor=[note], repetition_penalty=1.0,
                temperature=None, top_p=None, top_k=None,
            )[:, width:].tolist()  # fmt: skip
        logprobs = torch.stack(seen, 1).tolist()
        return [
            self._written(row, logs, most, len(prompt))
            for row, logs, most, prompt in zip(given, logprobs, longest, prompts, strict=True)
        ]

    def _written(self, row: list[int], logprobs: list[float], most: int, tokens_in: int) -> Written:
        end = next((place for place, token in enumerate(row[:most]) if token in self._ends), None)
        kept = row[: most if end is None else end]
        # The end is a token the model chose, and its probability is part of the answer's.
        told = logprobs[: len(kept) + (end is not None)]
        text = self._chat.text(kept)
        return Written(text, tuple(told), finished=end is not None, tokens_in=tokens_in, tokens_out=len(told))

    @contextlib.contextmanager
    def _on_threads(self) -> Iterator[None]:
        before = self._torch.get_num_threads()
        if self.threads is not None:
            self._torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)


def load(weights: Weights, *, threads: int | None = None, adapter: Path | None = None) -> TransformersSession:
    """Open the weights on `threads` processor threads (default: all that this process may use).

    Args:
        weights: of the format `hf_text`.
        threads: processor threads.
        adapter: a folder with an adapter as PEFT writes it, to lay on them.

    Raises:
        ArtefactError: a file is missing or damaged, the weights are of another format, or the adapter does not fit.
        MissingExtraError: torch, transformers or, for an adapter, peft is not installed.
    """
    if weights.format not in FORMATS:
        raise ArtefactError(f"the transformers_text engine reads {', '.join(FORMATS)}, not {weights.format!r}")
    for needed in ("config.json", "tokenizer.json"):
        if not (weights.folder / needed).is_file():
            raise ArtefactError(f"{needed!r} is missing from the weights of format 'hf_text'")
    return TransformersSession(weights.folder, threads, adapter)


def _adapted(model: Any, adapter: Path) -> Any:
    try:
        import peft
    except ModuleNotFoundError as error:
        raise MissingExtraError("peft", "train") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # of transformers, about itself, when peft loads weights into it
            return peft.PeftModel.from_pretrained(model, str(adapter))
    except Exception as error:  # what is raised for damaged files is of no common kind
        raise ArtefactError(f"the adapter cannot be laid on {type(model).__name__}: {error}") from error


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtraError((error.name or "torch").partition(".")[0], "train") from error
    return torch, transformers
