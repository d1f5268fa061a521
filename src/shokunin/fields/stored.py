"""Field models as files: JSON for words and spellings, safetensors for the linear layers, text for the trees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shokunin.errors import ArtefactError
from shokunin.fields.line_items import ListModel, Model
from shokunin.fields.scalar import ScalarModel, scalar_from_dict, scalar_to_dict
from shokunin.fields.signs import LinearSigns, Numbers
from shokunin.files import read_json, write_json
from shokunin.forms import Field

FILE, TENSORS = "fields.json", "signs.safetensors"
VERSION = 1


def save_models(models: Sequence[Model], folder: Path) -> None:
    """Write `fields.json`, `signs.safetensors` and one `*.trees.txt` for each field with trees into an existing folder."""
    tensors: dict[str, Any] = {}
    kept = [_kept(model, str(number), tensors, folder) for number, model in enumerate(models)]
    write_json(folder / FILE, {"version": VERSION, "fields": kept})
    save_file(tensors or {"none": np.zeros(1, np.float32)}, folder / TENSORS)


def load_models(folder: Path) -> tuple[Model, ...]:
    """What `save_models` wrote.

    Raises:
        ArtefactError: a file is missing, damaged, or does not fit the others.
    """
    kept = read_json(folder / FILE)
    try:
        if kept["version"] != VERSION:
            raise ArtefactError(
                f"{str(folder)!r} holds fields of version {kept['version']!r}; this release reads {VERSION}"
            )
        tensors = load_file(folder / TENSORS)
        return tuple(_model(told, tensors, str(number), folder) for number, told in enumerate(kept["fields"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtefactError(f"the fields in {str(folder)!r} are damaged: {error}") from error


def _kept(model: Model, name: str, tensors: dict[str, Any], folder: Path) -> dict[str, Any]:
    if model.signs is not None:
        tensors[f"{name}.weight"] = model.signs.weight.astype(np.float16)
        tensors[f"{name}.bias"] = model.signs.bias
    if isinstance(model, ScalarModel):
        if model.trees is not None:
            (folder / f"{name}.trees.txt").write_text(model.trees, encoding="utf-8")
        return scalar_to_dict(model)
    return {
        "name": model.field.name,
        "type": "list",
        "longest": model.longest,
        "vocabulary": None if model.signs is None else model.signs.words,
        "columns": [{"name": f.name, "type": f.type} for f in model.field.parts],
        "parts": [_kept(part, f"{name}.{n}", tensors, folder) for n, part in enumerate(model.parts)],
    }


def _model(told: dict[str, Any], tensors: dict[str, Numbers], name: str, folder: Path) -> Model:
    if told["type"] != "list":
        return scalar_from_dict(told, tensors, name, folder)
    field = Field(told["name"], "list", tuple(Field(c["name"], c["type"]) for c in told["columns"]))
    parts = [_model(part, tensors, f"{name}.{n}", folder) for n, part in enumerate(told["parts"])]
    signs = None if told["vocabulary"] is None else LinearSigns.of(told["vocabulary"], tensors, name)
    return ListModel(field, int(told["longest"]), tuple(p for p in parts if isinstance(p, ScalarModel)), signs)
