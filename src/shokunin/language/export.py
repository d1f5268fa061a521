"""The model of a specialist as a folder for other programs: safetensors, a PEFT adapter, GGUF, OpenVINO; how to run it beside it.

The numbers are those of the specialist's own file: nothing is quantised anew. float16 in the safetensors folder rounds
by a 2,000th at most.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from shokunin.errors import BaseModelError, UsageError
from shokunin.files import folder_in_making, publish_folder, sha256_of
from shokunin.language.checkpoint import MODEL as CHECKPOINT
from shokunin.language.checkpoint import write_checkpoint
from shokunin.language.decoder_folder import decoder_folder
from shokunin.language.gguf_header import read_header
from shokunin.language.prepared import prepare_gguf
from shokunin.language.write_gguf import why_not_gguf, write_gguf
from shokunin.weights import Weights

ModelFormat = Literal["safetensors", "peft", "gguf", "openvino"]
MODELS = ("gguf", "gguf_adapter", "openvino_text", "hf_text")
"""Formats of weights that are a language model."""
GGUF = "model.gguf"
ADAPTER = ("adapter_model.safetensors", "adapter_config.json")
NOTE = "RUN.md"


def export_model(
    weights: Weights,
    place: Path,
    format: str,
    name: str,
    *,
    remark: str = "",
    check: Callable[[Path], None] = lambda made: None,
) -> None:
    """Write the model to the new folder `place`, all of it or nothing; `name` is the specialist's.

    `remark` is what whoever runs it must know besides. `check` is given the folder before it gets its name; what it
    raises leaves nothing behind.

    Raises:
        UsageError: there is something at `place` already, or these weights cannot become this format.
        BaseModelError: the weights are damaged.
        MissingExtraError: the library that writes the format is not installed.
    """
    if format not in get_args(ModelFormat):
        raise UsageError(f"unknown format {format!r}; expected archive, {', '.join(get_args(ModelFormat))}")
    if place.exists() or place.is_symlink():
        raise UsageError(f"{str(place)!r} exists already; name a new folder")
    writers: dict[str, Callable[[Weights, Path, str], str]] = {
        "safetensors": _safetensors,
        "peft": _peft,
        "gguf": _gguf,
        "openvino": _openvino,
    }
    with folder_in_making(place.absolute().parent) as made:
        note = writers[format](weights, made, name)
        (made / NOTE).write_text(f"{note}\n{remark}\n" if remark else note, encoding="utf-8")
        check(made)
        publish_folder(made, place)


def _safetensors(weights: Weights, made: Path, name: str) -> str:
    if weights.format == "hf_text":
        for file in weights.folder.iterdir():
            if file.is_file():
                shutil.copyfile(file, made / file.name)
    else:
        from safetensors.numpy import load_file

        folder = _opened(weights, "safetensors")
        write_checkpoint(made, load_file(folder / CHECKPOINT), folder, half=True)
    return f"""# {name}: a folder of safetensors

With Transformers, vLLM or any program that reads Hugging Face folders:

    vllm serve . --served-model-name {name}

    from transformers import AutoModelForCausalLM, AutoTokenizer
    model = AutoModelForCausalLM.from_pretrained(".")

Ask with temperature 0 and with the messages that the task writes (`side_files` of the specialist).
"""


def _peft(weights: Weights, made: Path, name: str) -> str:
    inside = weights.folder if weights.format == "gguf_adapter" else weights.folder / "adapter"
    if not all((inside / file).is_file() for file in ADAPTER):
        if weights.format not in MODELS:
            raise _cannot(weights, "peft", name)
        raise UsageError(
            f"the weights of {name!r} (format {weights.format!r}) hold no adapter; causal_lora leaves one beside the model, and "
            "it is not there. Other formats: safetensors, gguf, openvino"
        )
    for file in ADAPTER:
        shutil.copyfile(inside / file, made / file)
    base = weights.facts.get("base") or {}
    return f"""# {name}: a PEFT adapter

It belongs to the base model {base.get("name")} ({base.get("source")}, SHA-256 {base.get("sha256")}, licence
{base.get("licence")}) and to no other. Where BASE is a safetensors folder of that model:

    vllm serve BASE --enable-lora --max-lora-rank {_rank(made)} --lora-modules {name}=.

serves this and other adapters on one base. With PEFT:

    from peft import PeftModel
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("BASE"), ".")
"""


def _gguf(weights: Weights, made: Path, name: str) -> str:
    if weights.format == "gguf":
        shutil.copyfile(_model_file(weights), made / GGUF)
    elif weights.format == "hf_text":
        why = why_not_gguf(weights.folder)
        if why is not None:
            raise UsageError(f"{name!r} cannot be written as GGUF: {why}. Other formats: safetensors, peft")
        from safetensors.numpy import load_file

        write_gguf(made / GGUF, load_file(weights.folder / CHECKPOINT), weights.folder, file_type="f16")
    else:
        raise _cannot(weights, "gguf", name)
    template = read_header(made / GGUF).chat_template
    (made / "Modelfile").write_text(_modelfile(template), encoding="utf-8")
    return f"""# {name}: one GGUF file

Tokenizer and chat template are in it.

    llama-server -m {GGUF} --jinja --temp 0          llama.cpp
    ollama create {name} -f Modelfile                Ollama, then: ollama run {name}

LM Studio opens the file as it is.
"""


def _openvino(weights: Weights, made: Path, name: str) -> str:
    if weights.format == "openvino_text":
        ready = weights.folder
    elif weights.format == "gguf":
        file = _model_file(weights)
        ready = prepare_gguf(file, sha256_of(file), name).folder
    else:
        raise _cannot(weights, "openvino", name)
    for file in ready.iterdir():
        if file.is_file():
            shutil.copyfile(file, made / file.name)
    return f"""# {name}: OpenVINO IR

    import openvino_genai
    openvino_genai.LLMPipeline(".", "CPU")

With OpenVINO Model Server: `ovms --model_name {name} --model_path . --task text_generation`. Shokunin serves the folder
with `shokunin serve --base .`.
"""


def _opened(weights: Weights, format: str) -> Path:
    """The model as a folder of safetensors."""
    if weights.format != "gguf":
        raise _cannot(weights, format, weights.folder.name)
    file = _model_file(weights)
    return decoder_folder(file, sha256_of(file))


def _model_file(weights: Weights) -> Path:
    file = weights.folder / GGUF
    if not file.is_file():
        raise BaseModelError(
            f"{GGUF!r} is missing from the weights; verify the specialist with `shokunin models verify`"
        )
    return file


def _cannot(weights: Weights, format: str, name: str) -> UsageError:
    if weights.format == "gguf_adapter":
        return UsageError(
            f"the weights of {name!r} are an adapter without its base; export it as peft, or train it with merge=true"
        )
    return UsageError(
        f"weights of format {weights.format!r} are no language model and cannot be written as {format}; "
        "leave --format out for the archive"
    )


def _rank(folder: Path) -> int:
    said: dict[str, Any] = json.loads((folder / ADAPTER[1]).read_text(encoding="utf-8"))
    return int(said["r"])


def _modelfile(template: str | None) -> str:
    lines = [f"FROM ./{GGUF}", "PARAMETER temperature 0"]
    if template and "<|im_start|>" in template:
        # Ollama guesses a template from known ones only; ChatML is spelled out for it.
        lines += [
            'TEMPLATE """{{- range .Messages }}<|im_start|>{{ .Role }}',
            "{{ .Content }}<|im_end|>",
            "{{ end }}<|im_start|>assistant",
            '"""',
            'PARAMETER stop "<|im_end|>"',
        ]
    return "\n".join(lines) + "\n"
