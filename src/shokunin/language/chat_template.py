"""Chat templates: the model's own Jinja text, read from its files and rendered in a sandbox, the same in training and serving.

The names that a template may use are those that tokenizers of the field give it: `messages`, `add_generation_prompt`,
`bos_token`, `eos_token`, `raise_exception`, `tojson`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shokunin.errors import BaseModelError, UsageError

MARK = re.compile(r"<[|｜][^|｜<>\s]+[|｜]>")
"""How the marks between messages are written, such as `<|im_start|>`."""
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
"""Marks that models are trained with as plain text though their tokenizer has marks of its own (Tulu 3, OLMo 2, StableLM)."""
PROBE = ({"role": "user", "content": "?"}, {"role": "assistant", "content": "7461"})
"""A question and its answer, which every template must take."""


def template_in(folder: Path) -> str | None:
    """The template in a model folder: `chat_template.jinja`, else what `tokenizer_config.json` says; None: neither has one.

    Raises:
        BaseModelError: a file is not readable.
    """
    own, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    try:
        if own.is_file():
            return own.read_text(encoding="utf-8")
        found = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
        if isinstance(found, list):
            found = next((one.get("template") for one in found if one.get("name") == "default"), None)
    except (OSError, ValueError, AttributeError) as error:
        raise BaseModelError(f"the chat template of {folder.name!r} is not readable: {error}") from error
    return found if isinstance(found, str) and found.strip() else None


def render(
    template: str, messages: Sequence[Mapping[str, Any]], *, bos: str = "", eos: str = "", answering: bool = True
) -> str:
    """The prompt for `messages`; with `answering` it ends where the model begins to write.

    Raises:
        BaseModelError: the template itself is wrong.
        UsageError: the template refuses these messages, for instance two of one role after each other.
    """
    compiled = _compiled(template)
    try:
        return compiled.render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=answering,
            bos_token=bos,
            eos_token=eos,
        )
    except _RefusedError as error:
        raise UsageError(f"the model's chat template refuses these messages: {error}") from error
    except Exception as error:  # a template is a program, and may fail as any program does
        raise BaseModelError(
            f"the model's chat template fails ({type(error).__name__}: {error}); give the template that came with the model"
        ) from error


def check_marks(template: str | None, tokens: Collection[str], name: str, *, bos: str = "", eos: str = "") -> None:
    """Refuse a template that was made for another tokenizer: one whose marks the tokenizer would cut into letters.

    A tokenizer without any marks of its own is let be: models are trained with marks that are plain text to it (Zephyr,
    TinyLlama).

    Args:
        template: of the model `name`; None is let be.
        tokens: those that the tokenizer never cuts.
        name: for messages.
        bos: the text that the template may begin with.
        eos: the text that it may end with.

    Raises:
        BaseModelError: a mark is no token, or the template is of no use.
    """
    if template is None:
        return
    try:
        written = render(template, PROBE, bos=bos, eos=eos) + render(template, PROBE[:1], bos=bos, eos=eos)
    except BaseModelError as error:
        raise BaseModelError(f"the chat template of {name!r} cannot be used: {error}") from error
    except UsageError as error:
        raise BaseModelError(
            f"the chat template of {name!r} cannot be used: it does not even take a question and its answer ({error}); give "
            "the template that came with the model"
        ) from error
    own = sorted(token for token in tokens if MARK.fullmatch(token))
    strange = [mark for mark in dict.fromkeys(MARK.findall(written)) if mark not in tokens and mark not in _ROLES]
    if own and strange:
        raise BaseModelError(
            f"the chat template and the tokenizer of {name!r} do not belong together: the template writes "
            f"{', '.join(map(repr, strange[:3]))}, which is no token; the tokenizer has {', '.join(map(repr, own[:3]))}"
            f"{' and others' if len(own) > 3 else ''}. Give the template and the tokenizer that came with the model"
        )


class _RefusedError(TemplateError):
    """What a template raises on purpose."""


@lru_cache(maxsize=32)
def _compiled(template: str) -> Template:
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _refuse
    try:
        return made.from_string(template)
    except Exception as error:  # besides TemplateError what Python's own compiler raises, such as RecursionError
        raise BaseModelError(f"the model's chat template cannot be read: {error}") from error


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise _RefusedError(message)
