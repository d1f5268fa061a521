"""TinyTimeMixer, the small time-series encoder: its shape and its tensors, under the names that published checkpoints use.

Ekambaram et al., "Tiny Time Mixers" (arXiv 2401.03955). A window is scaled by its own mean and deviation, cut into
patches, and mixed along patches and features in turn; the embedding is the mean over the patches. With windows of 90
and the family's default patches of 8 there are 11 patches of 64 numbers. Checkpoints with parts that are not written
down here are refused, not half read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shokunin.errors import BaseModelError
from shokunin.files import write_json

Tensors = Mapping[str, npt.NDArray[np.float32]]
WEIGHTS, CONFIG = "model.safetensors", "config.json"
PREFIX = "backbone."
MOST_NUMBERS = 50_000_000
SCALE_FLOOR = 1e-5

_NOT_READ = {
    "mode": "common_channel", "gated_attn": True, "gate_mode": "softmax", "norm_mlp": "LayerNorm", "self_attn": False,
    "scaling": ("std", True), "multi_scale": False, "register_tokens": 0, "fft_length": 0, "use_positional_encoding": False,
    "enable_base_norm_always": False, "use_register_context_gating": False, "decompose": False, "masked_context_length": None,
}  # fmt: skip
"""Settings of the family with the one value that is read here."""


@dataclass(frozen=True)
class MixerShape:
    """Sizes of an encoder.

    Attributes:
        context: readings that it looks at.
        patch: readings in a patch; patches do not overlap, and what does not fill one is left out at the beginning.
        width: numbers a patch, and in the embedding.
        layers: mixing layers (in each level, where there are levels).
        expansion: how much wider a mixing layer is inside.
        levels: adaptive patching: level i works on 2^i times as many patches; 0: one plain stack.
        resolutions: entries of the table of resolutions, whose entry 0 ("not said") leads the patches; 0: no such
            table.
        eps: of the normalisation.
    """

    context: int = 90
    patch: int = 8
    width: int = 64
    layers: int = 4
    expansion: int = 2
    levels: int = 0
    resolutions: int = 0
    eps: float = 1e-5

    @property
    def patches(self) -> int:
        """Patches of readings in a window."""
        return (self.context - self.patch) // self.patch + 1

    @property
    def tokens(self) -> int:
        """What is mixed: the patches and, where there is one, the resolution before them."""
        return self.patches + (self.resolutions > 0)

    def blocks(self) -> list[tuple[str, int]]:
        """The mixing layers in order: the beginning of their tensors' names, and how many times finer their patches are."""
        if not self.levels:
            return [(f"encoder.mlp_mixer_encoder.mixers.{i}.", 1) for i in range(self.layers)]
        out = []
        for place, level in enumerate(reversed(range(self.levels))):
            finer = 2**level if self.width // 2**level > 4 else 1
            out += [(f"encoder.mlp_mixer_encoder.mixers.{place}.mixer_layers.{i}.", finer) for i in range(self.layers)]
        return out

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor."""
        out: dict[str, tuple[int, ...]] = {}

        def linear(name: str, inside: int, outside: int) -> None:
            out[f"{name}.weight"], out[f"{name}.bias"] = (outside, inside), (outside,)

        linear("encoder.patcher", self.patch, self.width)
        for at, finer in self.blocks():
            width, tokens = self.width // finer, self.tokens * finer
            for mixer, size in (("patch_mixer", tokens), ("feature_mixer", width)):
                out[f"{at}{mixer}.norm.norm.weight"] = out[f"{at}{mixer}.norm.norm.bias"] = (width,)
                linear(f"{at}{mixer}.mlp.fc1", size, size * self.expansion)
                linear(f"{at}{mixer}.mlp.fc2", size * self.expansion, size)
                linear(f"{at}{mixer}.gating_block.attn_layer", size, size)
        if self.resolutions:
            middle = (self.patch + self.width) // 2
            out["encoder.freq_mod.0.weight"] = (self.resolutions, self.patch)
            linear("encoder.freq_mod.1", self.patch, middle)
            linear("encoder.freq_mod.3", middle, self.width)
        return out


def read_mixer(folder: Path) -> tuple[MixerShape, Tensors]:
    """An encoder from `config.json` and `model.safetensors` as the family's library saves them, without its forecasting head.

    Raises:
        BaseModelError: a file is missing or damaged, or the model has parts that are not read here.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise BaseModelError(
            f"{folder.name!r} is no time-series encoder: {error}; expected {CONFIG} and {WEIGHTS} of a TinyTimeMixer"
        ) from error
    shape = _shape(config, folder.name)
    found = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    out = {}
    for name, size in shape.tensors().items():
        if name not in found or found[name].shape != size:
            has = "is missing" if name not in found else f"has shape {found[name].shape}"
            raise BaseModelError(
                f"{folder.name!r}: tensor {name!r} {has}, expected {size}; is this the file that {CONFIG} speaks of?"
            )
        out[name] = found[name].astype(np.float32)
    return shape, out


def random_mixer(shape: MixerShape, seed: int) -> Tensors:
    """Weights as a fresh model has them: uniform within one over the root of the inputs, norms the identity.

    Its embedding is a random projection of the window, no more.
    """
    rng = np.random.default_rng(seed)
    out = {}
    for name, size in shape.tensors().items():
        if "norm" in name:
            out[name] = np.full(size, 1.0 if name.endswith("weight") else 0.0, dtype=np.float32)
        elif name == "encoder.freq_mod.0.weight":
            out[name] = rng.standard_normal(size).astype(np.float32)
        else:
            inside = shape.tensors()[name.replace(".bias", ".weight")][1]
            out[name] = rng.uniform(-(inside**-0.5), inside**-0.5, size).astype(np.float32)
    return out


def save_mixer(folder: Path, shape: MixerShape, tensors: Tensors) -> None:
    """Write `config.json` and `model.safetensors` so that `read_mixer`, and the family's library, can read them."""
    config = {
        "model_type": "tinytimemixer", "context_length": shape.context, "patch_length": shape.patch, "patch_stride": shape.patch,
        "num_input_channels": 1, "d_model": shape.width, "num_layers": shape.layers, "expansion_factor": shape.expansion,
        "adaptive_patching_levels": shape.levels, "resolution_prefix_tuning": shape.resolutions > 0,
        "frequency_token_vocab_size": max(shape.resolutions, 1), "norm_eps": shape.eps, "mode": "common_channel",
        "gated_attn": True, "norm_mlp": "LayerNorm", "scaling": "std",
    }  # fmt: skip
    write_json(folder / CONFIG, config)
    save_file({PREFIX + name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / WEIGHTS)


def about(shape: MixerShape) -> dict[str, Any]:
    """What a specialist records of its encoder."""
    return {
        **asdict(shape),
        "patches": shape.patches,
        "parameters": sum(int(np.prod(s)) for s in shape.tensors().values()),
    }


def _shape(config: Any, name: str) -> MixerShape:
    if not isinstance(config, dict) or config.get("model_type") != "tinytimemixer":
        raise BaseModelError(
            f"{name!r} is a {config.get('model_type') if isinstance(config, dict) else config!r}; expected 'tinytimemixer'"
        )
    for key, value in _NOT_READ.items():
        given = config.get(key, value[0] if isinstance(value, tuple) else value)
        if given not in (value if isinstance(value, tuple) else (value,)):
            raise BaseModelError(
                f"{name!r} has {key} = {given!r}, which this release does not read; expected {value!r}"
            )
    sizes = {
        "context": "context_length", "patch": "patch_length", "width": "d_model", "layers": "num_layers",
        "expansion": "expansion_factor", "levels": "adaptive_patching_levels",
    }  # fmt: skip
    known = {ours: config.get(theirs, MixerShape.__dataclass_fields__[ours].default) for ours, theirs in sizes.items()}
    known["resolutions"] = config.get("frequency_token_vocab_size", 5) if config.get("resolution_prefix_tuning") else 0
    if (
        not all(isinstance(v, int) and 0 <= v < 100_000 for v in known.values())
        or known["patch"] < 1
        or known["width"] < 1
    ):
        raise BaseModelError(f"{name!r}: {CONFIG} has sizes that cannot be: {known}")
    if known["context"] < known["patch"] or config.get("patch_stride", known["patch"]) != known["patch"]:
        raise BaseModelError(f"{name!r}: patches of {known['patch']} every {config.get('patch_stride')} are not read")
    if known["levels"] and known["width"] % 2 ** (known["levels"] - 1):
        raise BaseModelError(f"{name!r}: {known['width']} numbers a patch do not divide into {known['levels']} levels")
    shape = MixerShape(**known, eps=float(config.get("norm_eps", 1e-5)))
    if sum(int(np.prod(s)) for s in shape.tensors().values()) > MOST_NUMBERS:
        raise BaseModelError(f"{name!r} has more than {MOST_NUMBERS:,} numbers; expected a tiny encoder")
    return shape
