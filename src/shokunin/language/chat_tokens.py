"""From messages to tokens with a model folder's own tokenizer and chat template, the same in training and serving.

The tokenizer is read from `tokenizer.json` as it stands there; a reader that knows the model's family may cut texts by
what that family does as a rule, and another program that is given the file would then see other tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from shokunin.errors import BaseModelError
from shokunin.language.chat_template import PROBE, check_marks, render, template_in
from shokunin.language.safetensors_folder import FolderTensors

Ids = npt.NDArray[np.int64]
EMBEDDING = "model.embed_tokens.weight"


class ChatTokens:
    """Tokenizer and template of a model folder; `name` is for messages.

    Attributes:
        end: the token that ends an answer.

    Raises:
        BaseModelError: there is no chat template, the tokenizer cannot be read, or tokenizer, template and embedding are not
            of one model.
    """

    def __init__(self, folder: Path, name: str) -> None:
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            self._bos, self._eos = (_text(said.get(key)) for key in ("bos_token", "eos_token"))
        except Exception as error:  # the library raises nothing narrower
            raise BaseModelError(
                f"the tokenizer of {name!r} cannot be read: {error}; expected tokenizer.json and tokenizer_config.json as "
                "Transformers writes them"
            ) from error
        template = template_in(folder)
        if template is None:
            raise BaseModelError(
                f"{name!r} has no chat template, so nobody knows how it is asked; choose the instruct version of it"
            )
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self._template = template
        added = self.tokenizer.get_added_tokens_decoder()
        check_marks(template, {token.content for token in added.values()}, name, bos=self._bos, eos=self._eos)
        rows = embedding_rows(folder, name)
        if rows is not None:
            check_largest(max([*self.tokenizer.get_vocab(with_added_tokens=True).values(), *added]), rows, name)
        self.end = self._end(name)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> Ids:
        """The tokens that messages are put to the model with.

        Raises:
            UsageError: the template refuses the messages.
        """
        return self.plain(self._render(messages, answering=True))

    def plain(self, text: str) -> Ids:
        """The tokens of a text, none added."""
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens, without the special ones."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _render(self, messages: Sequence[Mapping[str, str]], *, answering: bool) -> str:
        return render(self._template, messages, bos=self._bos, eos=self._eos, answering=answering)

    def _end(self, name: str) -> int:
        """The token with which the template ends an answer; else the tokenizer's own end."""
        _, _, after = self._render(PROBE, answering=False).rpartition(PROBE[1]["content"])
        special = {number for number, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        for token in self.plain(after):
            if int(token) in special:
                return int(token)
        own = self.tokenizer.token_to_id(self._eos) if self._eos else None
        if own is None:
            raise BaseModelError(f"the tokenizer of {name!r} has no token that ends an answer")
        return int(own)


def check_largest(largest: int, rows: int, name: str) -> None:
    """Refuse a tokenizer that has tokens for which the model has no row.

    Raises:
        BaseModelError: it has.
    """
    if largest >= rows:
        raise BaseModelError(
            f"the tokenizer and the weights of {name!r} do not belong together: the tokenizer has a token {largest}, and the "
            f"embedding {rows} rows, for the tokens 0 to {rows - 1}. Give the tokenizer that came with the weights"
        )


def embedding_rows(folder: Path, name: str) -> int | None:
    """For how many tokens the model in a folder has a row; None: neither configuration nor weights say it.

    Raises:
        BaseModelError: the weights are damaged.
    """
    shapes = FolderTensors(folder, name).shapes
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("vocab_size")
    except (OSError, ValueError, AttributeError):
        said = None
    known = [shapes[EMBEDDING][0]] if shapes.get(EMBEDDING) else []
    if isinstance(said, int):
        known.append(said)
    return min(known, default=None)


def _text(token: Any) -> str:
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""
