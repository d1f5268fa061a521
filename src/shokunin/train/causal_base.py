"""The base of a fine-tune, opened: its folder of safetensors, its configuration, its tensors; or why it cannot be tuned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from shokunin.errors import BaseModelError
from shokunin.language.base_models import LanguageModel, resolve
from shokunin.language.decoder_folder import decoder_folder
from shokunin.language.decoder_names import ARCHITECTURES, gguf_name, misfit
from shokunin.language.safetensors_folder import FolderTensors


@dataclass(frozen=True)
class Base:
    """A base model that can be tuned.

    Attributes:
        model: what it is and where it came from.
        folder: holds safetensors, configuration and tokenizer.
        config: the configuration as Transformers reads it.
        context: tokens that it can look at.
    """

    model: LanguageModel
    folder: Path
    config: Any
    context: int

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors by their names in the checkpoint."""
        return dict(read_tensors(self.folder, self.model.name))


def open_base(name: str) -> Base:
    """The base model of that name.

    Raises:
        BaseModelError: it cannot be found or read, or is of a kind or architecture that cannot be tuned here.
    """
    from transformers import AutoConfig

    model = resolve(name)
    if model.kind == "openvino":
        raise BaseModelError(
            f"{name!r} is an OpenVINO model, made for running; to tune it give its safetensors folder or GGUF file"
        )
    folder = decoder_folder(model.path, model.sha256) if model.kind == "gguf" else model.path
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library raises nothing narrower
        raise BaseModelError(f"the configuration of {name!r} cannot be read: {error}") from error
    why = why_not(config)
    if why:
        raise BaseModelError(f"{name!r} cannot be tuned: {why}; choose a base of {', '.join(ARCHITECTURES)}")
    wrong = misfit(FolderTensors(folder, name).shapes, config.to_dict())
    if wrong:
        raise BaseModelError(
            f"{name!r} is not whole: its tensor {wrong[0]!r} {wrong[1]} by its configuration; fetch the model again"
        )
    return Base(model, folder, config, int(config.max_position_embeddings))


def why_not(config: Any) -> str | None:
    """Why a model with this configuration cannot be tuned here; None when it can."""
    if config.model_type not in ARCHITECTURES:
        return f"its architecture is {config.model_type!r}"
    if config.hidden_act not in ("silu", "swish"):
        return f"its activation is {config.hidden_act!r}, not 'silu'"
    rope = dict(getattr(config, "rope_parameters", None) or {})
    if rope.get("rope_type", "default") != "default":
        return f"its rotary positions are scaled ({rope['rope_type']})"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return f"its attention slides over {config.sliding_window} tokens"
    return None


def read_tensors(folder: Path, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and tensors of all safetensors files of a folder.

    Raises:
        BaseModelError: a file is damaged, or has a tensor that no such decoder has.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BaseModelError(f"{name!r} has no safetensors file")
    for file in files:
        try:
            with safe_open(file, "pt") as opened:
                for key in opened.keys():  # noqa: SIM118  # it is no mapping
                    if gguf_name(key) is None:
                        raise BaseModelError(f"{file.name!r} of {name!r} has a tensor {key!r} that is not known")
                    yield key, opened.get_tensor(key)
        except SafetensorError as error:
            raise BaseModelError(f"{file.name!r} of {name!r} is damaged: {error}") from error


def tied(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the head is the embedding."""
    return "lm_head.weight" not in tensors
