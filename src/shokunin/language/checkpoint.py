"""A decoder as a folder of safetensors, as Transformers, vLLM and others read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

MODEL = "model.safetensors"
BESIDE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
          "generation_config.json")  # fmt: skip


def write_checkpoint(
    place: Path, tensors: Mapping[str, npt.NDArray[np.float32]], folder: Path, *, half: bool = False
) -> None:
    """Write the tensors into the existing folder `place`, with configuration and tokenizer of the model in `folder`.

    With `half` the numbers are float16: half the size, and rounded by a 2,000th at most.
    """
    kind = np.float16 if half else np.float32
    save_file(
        {name: np.ascontiguousarray(tensor, kind) for name, tensor in tensors.items()},
        place / MODEL,
        metadata={"format": "pt"},
    )
    for name in BESIDE:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, place / name)
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = {key: value for key, value in config.items() if key not in ("dtype", "quantization_config")}
    config["torch_dtype"] = "float16" if half else "float32"
    (place / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
