"""Adapters: what PEFT leaves of a LoRA fine-tune, checked against the base model before it is laid on it.

LoRA (Hu et al., 2021, arXiv:2106.09685): a projection W becomes W + s·B·A with a small rank. The engine leaves out, with
a warning on stderr at most, what it does not understand of a file; so everything it would leave out is refused here.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from shokunin.errors import ArtefactError
from shokunin.files import sha256_of
from shokunin.language.prepared import Prepared

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_TENSOR = re.compile(r"base_model\.model\.(?P<projection>.+)\.lora_(?P<side>[AB])\.weight")
_TYPES = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Adapter:
    """A checked adapter.

    Attributes:
        path: its safetensors file.
        scale: what B·A is multiplied with.
        projections: which projections of the base it changes.
        digest: of file and scale; equal ones are the same adapter.
    """

    path: Path
    scale: float
    projections: frozenset[str]
    digest: str


class _Config(BaseModel):
    """What matters of `adapter_config.json`; the rest speaks of training."""

    model_config = ConfigDict(extra="ignore")

    peft_type: str
    r: int = Field(ge=1)
    lora_alpha: float
    use_rslora: bool = False
    use_dora: bool = False
    bias: str = "none"
    fan_in_fan_out: bool = False
    modules_to_save: list[str] | None = None
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None


def read_adapter(folder: Path, base: Prepared) -> Adapter:
    """The adapter in `folder`, which must fit the base.

    Raises:
        ArtefactError: a file is missing or damaged, the adapter is of a kind that cannot be laid on at run time (then
            merge it), or it was made for another model.
    """
    for needed in (WEIGHTS, CONFIG):
        if not (folder / needed).is_file():
            raise ArtefactError(f"the adapter has no {needed!r}; expected {WEIGHTS} and {CONFIG} as PEFT writes them")
    config = _config(folder / CONFIG)
    shapes = _shapes(folder / WEIGHTS)
    for projection, sides in shapes.items():
        if projection not in base.shapes:
            raise ArtefactError(f"the adapter changes {projection!r}, which {base.name!r} does not have; {_OTHER_BASE}")
        if sides.keys() != {"A", "B"}:
            raise ArtefactError(f"the adapter has only one of the two matrices for {projection!r}; write it again")
        inputs, outputs = base.shapes[projection]
        if sides["A"] != (config.r, inputs) or sides["B"] != (outputs, config.r):
            raise ArtefactError(
                f"the adapter's matrices for {projection!r} are {sides['A']} and {sides['B']}; {base.name!r} with rank "
                f"{config.r} needs {(config.r, inputs)} and {(outputs, config.r)}; {_OTHER_BASE}"
            )
    scale = config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)
    digest = f"{sha256_of(folder / WEIGHTS)}*{scale!r}"
    return Adapter(folder / WEIGHTS, scale, frozenset(shapes), digest)


_OTHER_BASE = "it was made for another base model; train it again on this one"


def _config(path: Path) -> _Config:
    try:
        found = _Config.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        what = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error
        raise ArtefactError(f"{CONFIG!r} of the adapter is not readable: {what}") from error
    odd = [
        name
        for name, wrong in (
            (f"peft_type {found.peft_type!r}", found.peft_type != "LORA"),
            ("use_dora", found.use_dora),
            (f"bias {found.bias!r}", found.bias != "none"),
            ("fan_in_fan_out", found.fan_in_fan_out),
            ("modules_to_save", bool(found.modules_to_save)),
            ("rank_pattern", bool(found.rank_pattern)),
            ("alpha_pattern", bool(found.alpha_pattern)),
        )
        if wrong
    ]
    if odd:
        raise ArtefactError(
            f"an adapter with {', '.join(odd)} cannot be laid on a running model; serve the merged model"
        )
    return found


def _shapes(path: Path) -> dict[str, dict[str, tuple[int, ...]]]:
    """Of each projection the shapes of its two matrices."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - the file is no mapping
                match = _TENSOR.fullmatch(name)
                if match is None:
                    raise ArtefactError(
                        f"the adapter holds {name!r}, which is no LoRA matrix; serve the merged model instead"
                    )
                part = file.get_slice(name)
                if part.get_dtype() not in _TYPES:
                    raise ArtefactError(f"{name!r} of the adapter is {part.get_dtype()}; expected {', '.join(_TYPES)}")
                found.setdefault(match["projection"], {})[match["side"]] = tuple(part.get_shape())
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{WEIGHTS!r} of the adapter is damaged: {error}; train it again") from error
    if not found:
        raise ArtefactError("the adapter holds no matrices; train it again")
    return found
