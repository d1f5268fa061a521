"""Does causal_lora end where PEFT with the Trainer of Transformers ends, on the same rows, batches and first adapters?

    python -m benchmarks.lora_parity [--steps N] [--rows N] [--checked N] [--out FOLDER]

`causal_lora` computes a batch without padding, and what its rows share once, by kernels of its own, in bf16 where the
processor has it. Here it and the Trainer are given the very same batches in the same order at the same learning rate, and
begin with the same adapters, so that what is left of a difference is arithmetic. The loss of every step is compared, and the
loss on the same held-back rows at the end. How much chance there is in such a figure is shown by `causal_lora` once more with
its batches in another order and other first adapters. The rows are GeoQuery's questions and queries, without the tables in
the prompt.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, machine, revision
from benchmarks.lora_speed import ALPHA, LIBRARIES, RANK, RATE, SIZE, Ours, Plain, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--checked", type=int, default=49)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    lessons, checked = rows("train", chosen.rows, tables=False), rows("dev", chosen.checked, tables=False)
    order = [order_of(len(lessons), chosen.steps, seed) for seed in (0, 1)]
    sides: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        ours = Ours(lessons, checked, False)
        first = {name: tensor.clone() for name, tensor in ours.run.tuner.adapter_tensors().items()}
        trainer = Plain(ours, False, Path(scratch))
        begin_with(trainer, first)
        sides["peft_trainer_float32"] = followed("peft_trainer_float32", trainer, order[0])
        del trainer
        sides["causal_lora_float32"] = followed("causal_lora_float32", ours, order[0])
        del ours
    for name, bf16, which in (("causal_lora", None, 0), ("causal_lora_other_order", None, 1)):
        gc.collect()
        side = Ours(lessons, checked, bf16)
        if which == 0:
            take(side, first)
        else:
            shaken(side, which)
        sides[name] = {"precision": "bf16" if side.run.tuner.bf16 else "float32", **followed(name, side, order[which])}
        facts = side.run.base.model.facts()
        del side
    result = {
        "benchmark": "lora_parity", "created": created, **revision(), "machine": machine(),
        "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
        "base": facts, "rows": len(lessons), "checked": len(checked), "steps": chosen.steps, "batch_size": SIZE, "rank": RANK,
        "alpha": ALPHA, "learning_rate": RATE, "sides": sides, "apart": apart(sides),
    }  # fmt: skip
    path = chosen.out / f"lora_parity-{created.replace('-', '').replace(':', '')}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["apart"], indent=1))
    print({name: side["held_back_loss"] for name, side in sides.items()})


def order_of(count: int, steps: int, seed: int) -> list[list[int]]:
    """The numbers of the rows of each step's batch: passes over all rows, each shuffled."""
    random = np.random.default_rng(seed)
    numbers = np.concatenate([random.permutation(count) for _ in range(1 + steps * SIZE // count)])
    return [[int(n) for n in numbers[step * SIZE : (step + 1) * SIZE]] for step in range(steps)]


def followed(name: str, side: Any, order: list[list[int]]) -> dict[str, Any]:
    """Train on the batches in their order; the loss of each, and that on what is held back before and after."""
    before, began = side.judge(), time.perf_counter()
    losses = []
    for step, batch in enumerate(order):
        _, loss, told = side.learn(batch)
        losses.append(round(loss / told, 5))
        print(f"{name:24} step {step + 1}/{len(order)}  {losses[-1]:.4f}", flush=True)
    seconds = time.perf_counter() - began
    return {
        "held_back_before": round(before, 5),
        "held_back_loss": round(side.judge(), 5),
        "seconds": round(seconds, 1),
        "losses": losses,
    }


def begin_with(trainer: Plain, tensors: dict[str, Any]) -> None:
    """Give the Trainer's model these adapters."""
    from peft import set_peft_model_state_dict

    found = set_peft_model_state_dict(trainer.trainer.model, tensors)
    assert not found.unexpected_keys, found.unexpected_keys[:3]


def take(side: Ours, tensors: dict[str, Any]) -> None:
    """Give causal_lora these adapters, under PEFT's names."""
    from shokunin.train.torch_causal import ADAPTER, checkpoint_module

    for name, parameter in side.run.tuner.adapters.items():
        key = f"base_model.model.{checkpoint_module(name).replace(f'.{ADAPTER}', '')}"
        parameter.data.copy_(tensors[key])


def shaken(side: Ours, seed: int) -> None:
    """Other first adapters, drawn as PEFT draws them: A by He's rule, B zero."""
    import torch

    torch.manual_seed(seed)
    for name, parameter in side.run.tuner.adapters.items():
        if "lora_A" in name:
            torch.nn.init.kaiming_uniform_(parameter.data, a=5**0.5)


def apart(sides: dict[str, Any]) -> dict[str, Any]:
    """How far each side is from the Trainer, step by step and at the end."""
    reference = sides["peft_trainer_float32"]
    out = {}
    for name, side in sides.items():
        if side is reference:
            continue
        gaps = np.abs(np.subtract(side["losses"], reference["losses"]))
        out[name] = {
            "held_back": round(side["held_back_loss"] - reference["held_back_loss"], 5),
            "largest_of_a_step": round(float(gaps.max()), 5) if side["losses"] else None,
            "mean_of_a_step": round(float(gaps.mean()), 5),
        }
    return out


if __name__ == "__main__":
    main()
