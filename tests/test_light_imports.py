"""The top package and the command line load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {
    "torch", "transformers", "peft", "sklearn", "scipy", "numpy", "onnx", "onnxruntime", "duckdb", "fastapi", "uvicorn",
    "openpyxl", "huggingface_hub", "tokenizers", "httpx", "pydantic",
    "pypdfium2", "rapidocr", "PIL", "cv2",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    return set(
        json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    )


def test_the_top_package_is_light() -> None:
    assert not loaded_by("import shokunin") & (HEAVY | {"typer", "rich"})


OF_THE_EXTRA = {
    "adapted_encoder", "causal_base", "causal_checkpoint", "causal_distill", "causal_kernels", "causal_lora", "causal_results",
    "causal_tuner", "distillation_loss", "encoder_lora", "field_tagger", "mixer_fitting", "one_span_loss",
    "torch_causal", "torch_encoder", "torch_mixer",
}  # fmt: skip
"""Modules of `train` that need torch."""


def test_the_command_line_is_light() -> None:
    assert not loaded_by("import shokunin.cli") & HEAVY


def test_every_module_but_those_of_the_extra_works_without_torch() -> None:
    code = """
import importlib, json, pkgutil, sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "peft"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Gone())
import shokunin
failed = []
for module in pkgutil.walk_packages(shokunin.__path__, "shokunin."):
    if module.name == "shokunin.__main__":
        continue
    try:
        importlib.import_module(module.name)
    except Exception as error:
        failed.append((module.name, type(error).__name__))
from shokunin.errors import MissingExtraError
from shokunin.train import learner
try:
    learner("encoder_lora")
except MissingExtraError as error:
    failed.append(str(error))
print(json.dumps(failed))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    *failed, said = json.loads(out)
    assert {name.removeprefix("shokunin.train.") for name, _ in failed} == OF_THE_EXTRA
    assert {error for _, error in failed} == {"ModuleNotFoundError"}
    assert said == "'torch' is not installed; it comes with the extra: pip install 'shokunin[train]'"
