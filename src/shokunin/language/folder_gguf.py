"""A folder of safetensors as a GGUF file of 8 bits that the engine reads; made once and kept in the cache.

The opposite of `decoder_folder`. Q8_0 keeps 8 bits of each number in blocks of 32: the largest error is 1/254 of the largest
number of a block. The file lies under the digest of everything that it is made of.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

from shokunin.encoders.cache import cache_folder
from shokunin.encoders.model_sources import NOT_STATED
from shokunin.errors import BaseModelError, MissingExtraError, ProjectError
from shokunin.files import folder_in_making, publish_folder, sha256_of
from shokunin.language.base_models import LanguageModel
from shokunin.language.chat_template import template_in
from shokunin.language.chat_tokens import ChatTokens
from shokunin.language.decoder_names import misfit
from shokunin.language.safetensors_folder import FolderTensors
from shokunin.language.write_gguf import why_not_gguf, write_gguf
from shokunin.progress import Progress, silent

LAYOUT = "folder-gguf-1"
"""Part of the cache's path; another number when what is written changes."""
FILE = "model.gguf"
_BESIDE = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def folder_gguf(model: LanguageModel, *, progress: Progress = silent) -> tuple[Path, str]:
    """The file, and the digest of what it was made of; `progress` is told the size before the first tensor.

    Args:
        model: of the kind `safetensors`.
        progress: told after each tensor.

    Raises:
        BaseModelError: the model is damaged, or of a kind that has no such file; says the ways that are left.
        MissingExtraError: the library that writes it is not installed.
        ProjectError: the cache cannot be written.
    """
    digest = _digest(model)
    place = cache_folder() / LAYOUT / digest
    if (place / FILE).is_file():
        return place / FILE, digest
    tensors, end = _checked(model)
    try:
        import gguf  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("gguf", "llm") from error
    numbers = sum(map(math.prod, tensors.shapes.values()))
    what = f"writing {model.name} into the cache with 8 bits, about {numbers * 34 / 32 / 1e6:,.0f} MB: done once"
    progress(what, 0, len(tensors))
    place.parent.mkdir(parents=True, exist_ok=True)
    with folder_in_making(place.parent) as made:
        write_gguf(
            made / FILE, tensors, model.path, file_type="q8_0", end=end,
            licence=None if model.licence == NOT_STATED else model.licence, told=lambda done: progress(what, done, len(tensors)),
        )  # fmt: skip
        try:
            publish_folder(made, place)
        except ProjectError:
            if not (place / FILE).is_file():  # else another process was quicker, with the same content
                raise
    return place / FILE, digest


def _checked(model: LanguageModel) -> tuple[FolderTensors, int | None]:
    """The tensors of a model that can be written and whose parts belong together, and the token that ends its answers."""
    # Without a template it takes plain text, and whoever puts messages to it is told.
    end = None if template_in(model.path) is None else ChatTokens(model.path, model.name).end
    try:
        why = why_not_gguf(model.path)
        tensors = FolderTensors(model.path, model.name)
        config = json.loads((model.path / "config.json").read_text(encoding="utf-8"))
        wrong = None if why else misfit(tensors.shapes, config)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BaseModelError(
            f"the configuration or the tokenizer of {model.name!r} is not readable: {error!r}; expected config.json, "
            "tokenizer.json and tokenizer_config.json as Transformers writes them"
        ) from error
    if why:
        raise BaseModelError(
            f"{model.name!r} cannot be served as it is: {why}. Convert it once: optimum-cli export openvino -m {model.name} "
            "--task text-generation-with-past --weight-format int8 OUT, and name OUT; or serve it with vLLM and name that "
            "server as an upstream"
        )
    if wrong:
        raise BaseModelError(
            f"{model.name!r} is not whole: its tensor {wrong[0]!r} {wrong[1]} by its config.json; fetch the model again"
        )
    return tensors, end


def _digest(model: LanguageModel) -> str:
    parts = {"weights": model.sha256, "licence": model.licence}
    for name in _BESIDE:
        if (model.path / name).is_file():
            parts[name] = sha256_of(model.path / name)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
