"""What `causal_lora` leaves: the merged model as one GGUF file, and the adapter as PEFT reads it beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from shokunin.language.write_gguf import FileType, write_gguf
from shokunin.train.causal_base import Base
from shokunin.train.causal_tuner import Tuner
from shokunin.weights import Format

MODEL = "model.gguf"
ADAPTER_FOLDER = "adapter"


def write_result(base: Base, tuner: Tuner, folder: Path, *, file_type: FileType) -> tuple[Format, dict[str, Any]]:
    """Write into `folder`; gives the format and what is to be said about it."""
    merged = tuner.merged(base.tensors())
    write_gguf(
        folder / MODEL,
        {name: tensor.numpy() for name, tensor in merged.items()},
        base.folder,
        file_type=file_type,
        original=base.model.path if base.model.kind == "gguf" else None,
        licence=base.model.licence,
    )
    write_adapter(base, tuner, folder / ADAPTER_FOLDER)
    return "gguf", {"file_type": file_type, "parameters": sum(int(t.numel()) for t in merged.values())}


def write_adapter(base: Base, tuner: Tuner, folder: Path) -> None:
    """The adapter as PEFT keeps it: `adapter_model.safetensors` and `adapter_config.json`."""
    folder.mkdir()
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
