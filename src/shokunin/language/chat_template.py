"""Chat templates: the model's own Jinja text, read from its files and rendered in a sandbox, the same in training and serving.

The names that a template may use are those that tokenizers of the field give it: `messages`, `add_generation_prompt`,
`bos_token`, `eos_token`, `raise_exception`, `tojson`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shokunin.errors import BaseModelError, UsageError


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
    except (OSError, ValueError, AttributeError) as error:
        raise BaseModelError(f"the chat template of {folder.name!r} is not readable: {error}") from error
    if isinstance(found, list):
        found = next((one.get("template") for one in found if one.get("name") == "default"), None)
    return found if isinstance(found, str) and found.strip() else None


def render(
    template: str, messages: Sequence[Mapping[str, Any]], *, bos: str = "", eos: str = "", answering: bool = True
) -> str:
    """The prompt for `messages`; with `answering` it ends where the model begins to write.

    Raises:
        BaseModelError: the template itself is wrong.
        UsageError: the template refuses these messages, for instance two of one role after each other.
    """
    try:
        return _compiled(template).render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=answering,
            bos_token=bos,
            eos_token=eos,
        )
    except TemplateError as error:
        raise UsageError(f"the model's chat template refuses these messages: {error}") from error


@lru_cache(maxsize=32)
def _compiled(template: str) -> Template:
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _refuse
    try:
        return made.from_string(template)
    except TemplateError as error:
        raise BaseModelError(f"the model's chat template cannot be read: {error}") from error


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise TemplateError(message)
