"""What `causal_lora` leaves: the merged model as one GGUF file, and the adapter as PEFT reads it beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from shokunin.language.checkpoint import write_checkpoint
from shokunin.language.write_gguf import FileType, why_not_gguf, write_gguf
from shokunin.train.causal_base import Base
from shokunin.train.causal_tuner import Tuner
from shokunin.weights import Format

MODEL = "model.gguf"
ADAPTER_FOLDER = "adapter"


def write_result(
    base: Base, tuner: Tuner, folder: Path, *, file_type: FileType, merge: bool
) -> tuple[Format, dict[str, Any]]:
    """Write into `folder`; gives the format and what is to be said about it.

    Merged: `model.gguf`, or a folder of safetensors where GGUF has no name for the base's tokenizer, with the adapter in
    `adapter/`. Not merged: the adapter alone, for an engine that lays it on the base.
    """
    if not merge:
        write_adapter(base, tuner, folder)
        return "gguf_adapter", {"merged": False}
    merged = tuner.merged(base.tensors())
    arrays = {name: tensor.numpy() for name, tensor in merged.items()}
    said: dict[str, Any] = {"merged": True, "parameters": sum(int(a.size) for a in arrays.values())}
    original = base.model.path if base.model.kind == "gguf" else None
    refused = None if original is not None else why_not_gguf(base.folder)
    write_adapter(base, tuner, folder / ADAPTER_FOLDER)
    if refused is not None:
        write_checkpoint(folder, arrays, base.folder)
        return "hf_text", said | {"file_type": "float32", "why_not_gguf": refused}
    write_gguf(folder / MODEL, arrays, base.folder, file_type=file_type, original=original, licence=base.model.licence)
    return "gguf", said | {"file_type": file_type}


def write_adapter(base: Base, tuner: Tuner, folder: Path) -> None:
    """The adapter as PEFT keeps it: `adapter_model.safetensors` and `adapter_config.json`."""
    folder.mkdir(exist_ok=True)
    save_file(tuner.adapter_tensors(), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    said = tuner.lora_config().to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in said.items()}
    plain |= {
        "base_model_name_or_path": base.model.facts()["name"],
        "inference_mode": True,
        "revision": base.model.revision,
    }
    text = json.dumps(plain, indent=1, sort_keys=True, default=str)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
