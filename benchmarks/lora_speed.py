"""Fine-tuning a small language model: tokens a second of causal_lora beside PEFT with the Trainer of Transformers.

    python -m benchmarks.lora_speed [--minutes 2.5] [--rows 549] [--out FOLDER]

Both sides train on the same rows (GeoQuery, training part of the question split, with the database's schema in the prompt),
in the same batches' size, with the same adapters, learning rate, and the loss on answers only. A token is one of a row's
own; padding is not counted, and a beginning that rows share is counted for each of them, as each of them is trained on it.
The sides take turns, a few steps each, in one process, so that whatever else the machine does slows both. Time is measured
on the wall and as processor seconds; where the machine is shared, the latter is what can be compared.
Each side's loss on the same held-back rows after the same number of steps says whether they learn the same.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, machine, revision
from benchmarks.rows import data_file

LIBRARIES = ("torch", "transformers", "peft")
SIZE, RATE, RANK, ALPHA = 8, 1e-3, 16, 32
STEPS_A_TURN = 1
SEED = 0


def rows(part: str, most: int | None = None, *, tables: bool = True) -> Any:
    """Questions of a part of the question split and their SQL, as lessons; the database's tables in the prompt or not."""
    from shokunin.forms import Conversation, Conversations

    database = sqlite3.connect(f"file:{data_file('geoquery', 'geography.sqlite')}?mode=ro", uri=True)
    tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
    schema = "\n".join(f"{t}({', '.join(c[1] for c in database.execute(f'pragma table_info({t})'))})" for t in tables)
    told = f"Answer with one SQLite query.\n{schema}" if tables else "Answer with one SQLite query."
    system = {"role": "system", "content": told}
    with data_file("geoquery", "geography.jsonl").open(encoding="utf-8") as file:
        read = [row for row in map(json.loads, file) if row["question_split"] == part][:most]
    asked = tuple(Conversation((system, {"role": "user", "content": row["question"]})) for row in read)
    return Conversations(asked, tuple(row["sql"] for row in read), np.arange(len(read)))


class Ours:
    """causal_lora, step by step."""

    def __init__(self, lessons: Any, checked: Any, bf16: bool | None) -> None:
        import torch

        from shokunin.progress import silent
        from shokunin.train import causal_lora
        from shokunin.train.causal_rows import batches, token_rows

        torch.manual_seed(SEED)
        options = causal_lora.Options(
            per_device_train_batch_size=SIZE,
            learning_rate=RATE,
            r=RANK,
            lora_alpha=ALPHA,
            validation_split=0.0,
            bf16=bf16,
        )
        self.run = causal_lora._Run(lessons, options, SEED, silent)
        self.checked = token_rows(checked, self.run.chat, options.max_length).rows
        self._batches = lambda epoch: batches(len(self.run.rows), SIZE, np.random.default_rng((SEED, epoch)))
        self._left: list[Any] = []
        self._epoch = 0
        self.computed = 0

    def step(self) -> tuple[int, float, int]:
        """Tokens of the rows, summed loss, tokens that it is summed over."""
        if not self._left:
            self._left, self._epoch = list(self._batches(self._epoch)), self._epoch + 1
        return self.learn(self._left.pop())

    def learn(self, chosen: Any) -> tuple[int, float, int]:
        """As `step`, on the rows of these numbers."""
        batch = [self.run.rows[n] for n in chosen]
        loss, told, computed = self.run.tuner.learn(batch, RATE)
        self.computed += computed
        return sum(len(ids) for ids, _ in batch), loss, told

    def judge(self) -> float:
        """Nats a token on the held-back rows."""
        results = [self.run.tuner.judge(self.checked[n : n + SIZE]) for n in range(0, len(self.checked), SIZE)]
        return sum(loss for loss, _ in results) / sum(told for _, told in results)


class Plain:
    """PEFT's model in a Trainer, with its own padding collator, as its documentation shows it."""

    def __init__(self, ours: Ours, bf16: bool, folder: Path) -> None:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

        from shokunin.train.torch_causal import LINEAR

        torch.manual_seed(SEED)
        base = ours.run.base.folder
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(LINEAR), task_type="CAUSAL_LM"),
        )
        self.rows, self.checked = ours.run.rows, ours.checked
        collate = DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(base), padding="longest")
        arguments = TrainingArguments(
            str(folder), per_device_train_batch_size=SIZE, learning_rate=RATE, use_cpu=True, seed=SEED,
            lr_scheduler_type="constant", report_to=[], disable_tqdm=True, save_strategy="no", weight_decay=0.0,
        )  # fmt: skip
        self.trainer = Trainer(
            model, arguments, train_dataset=[_labelled(row) for row in self.rows], data_collator=collate
        )
        self.trainer.create_optimizer()
        self.trainer.current_gradient_accumulation_steps = 1  # as `train` sets it
        self.bf16 = bf16
        self._given = iter(())
        self.computed = 0

    def step(self) -> tuple[int, float, int]:
        """As `Ours.step`: one step as the Trainer makes it."""
        batch = next(self._given, None)
        if batch is None:
            self._given = iter(self.trainer.get_train_dataloader())
            batch = next(self._given)
        return self._learn(batch)

    def learn(self, chosen: Any) -> tuple[int, float, int]:
        """As `step`, on the rows of these numbers."""
        return self._learn(self.trainer.data_collator([_labelled(self.rows[n]) for n in chosen]))

    def _learn(self, batch: Any) -> tuple[int, float, int]:
        import torch

        told = int((batch["labels"] != -100).sum())
        # As the Trainer does it when it is asked for bf16; two Trainers of one process cannot differ in that.
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.trainer.training_step(self.trainer.model, batch)
        torch.nn.utils.clip_grad_norm_(self.trainer.model.parameters(), 1.0)
        self.trainer.optimizer.step()
        self.trainer.model.zero_grad()
        self.computed += batch["input_ids"].numel()
        return int(batch["attention_mask"].sum()), float(loss) * told, told

    def judge(self) -> float:
        """Nats a token on the held-back rows."""
        import torch

        model, total, count = self.trainer.model.eval(), 0.0, 0
        for start in range(0, len(self.checked), SIZE):
            batch = self.trainer.data_collator([_labelled(row) for row in self.checked[start : start + SIZE]])
            told = int((batch["labels"] != -100).sum())
            with torch.no_grad():
                total += float(model(**batch).loss) * told
            count += told
        model.train()
        return total / count


def _labelled(row: Any) -> dict[str, Any]:
    ids, prompt = row
    labels = [-100] * prompt + ids[prompt:].tolist()
    return {"input_ids": ids.tolist(), "attention_mask": [1] * len(ids), "labels": labels}


def measure(sides: dict[str, Any], seconds: float, steps: int) -> dict[str, Any]:
    """Let the sides take turns until each has had `seconds` on the wall and `steps` steps, or twice the seconds."""
    told: dict[str, dict[str, Any]] = {
        name: {"steps": 0, "tokens": 0, "wall": 0.0, "processor": 0.0, "losses": [], "turns": []} for name in sides
    }
    for side in sides.values():
        side.step()  # what happens only once is not counted
        side.computed = 0
    while any(
        (side["steps"] < steps and side["wall"] < 2 * seconds) or side["wall"] < seconds for side in told.values()
    ):
        for name, side in sides.items():
            one = told[name]
            wall, processor, tokens = time.perf_counter(), time.process_time(), 0
            for _ in range(STEPS_A_TURN):
                given, loss, answer = side.step()
                tokens += given
                one["losses"].append(round(loss / answer, 4))
            spent = time.perf_counter() - wall, time.process_time() - processor
            one["steps"] += STEPS_A_TURN
            one["tokens"] += tokens
            one["wall"] += spent[0]
            one["processor"] += spent[1]
            one["turns"].append([tokens, round(spent[0], 3), round(spent[1], 3)])
            print(f"{name:18} {tokens} tokens  {spent[0]:.1f} s  {spent[1]:.1f} processor s", flush=True)
    for name, side in sides.items():
        told[name]["computed"] = side.computed
        told[name]["tokens_per_second"] = round(told[name]["tokens"] / told[name]["wall"], 1)
        told[name]["tokens_per_processor_second"] = round(told[name]["tokens"] / told[name]["processor"], 1)
        told[name]["held_back_loss"] = round(side.judge(), 4)
    return told


def ratio(ours: list[list[float]], theirs: list[list[float]], column: int) -> dict[str, float]:
    """How many times as many tokens a second ours does, with a 95 % interval by bootstrap over the turns."""
    pairs = np.array([[a[0], a[column], b[0], b[column]] for a, b in zip(ours, theirs, strict=True)], float)
    drawn = pairs[np.random.default_rng(SEED).integers(0, len(pairs), (2000, len(pairs)))].sum(1)
    of = lambda t: (t[..., 0] / t[..., 1]) / (t[..., 2] / t[..., 3])  # noqa: E731
    low, high = np.quantile(of(drawn), [0.025, 0.975])
    return {"value": round(float(of(pairs.sum(0))), 2), "low": round(float(low), 2), "high": round(float(high), 2)}


def main() -> None:
    """Measure and write the result."""
    import importlib.metadata
    import os
    import tempfile

    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.5, help="on the wall, for each side")
    parser.add_argument("--steps", type=int, default=12, help="at least so many steps of each side, in twice that time")
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--checked", type=int, default=49)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    lessons, checked = rows("train", chosen.rows), rows("dev", chosen.checked)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        ours = Ours(lessons, checked, None)
        # The Trainer's default is float32; bf16 is what it can be asked for.
        sides = {
            "causal_lora": ours,
            "peft_trainer": Plain(ours, False, Path(name)),
            "peft_trainer_bf16": Plain(ours, True, Path(name)),
        }
        load = os.getloadavg()[0]
        told = measure(sides, chosen.minutes * 60, chosen.steps)
    result = {
        "benchmark": "lora_speed",
        "created": created,
        **revision(),
        "machine": machine(),
        "threads_used": torch.get_num_threads(),
        "load_at_start": round(load, 1),
        "load_at_end": round(os.getloadavg()[0], 1),
        "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
        "rows": len(lessons),
        "batch_size": SIZE,
        "rank": RANK,
        "base": ours.run.base.model.facts(),
        "precision": {"causal_lora": "bf16" if ours.run.tuner.bf16 else "float32"},
        "sides": told,
        "times_as_fast": {
            other: {
                "wall": ratio(told["causal_lora"]["turns"], told[other]["turns"], 1),
                "processor": ratio(told["causal_lora"]["turns"], told[other]["turns"], 2),
            }
            for other in ("peft_trainer", "peft_trainer_bf16")
        },
    }
    stamp = created.replace("-", "").replace(":", "")
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / f"lora_speed-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for side, one in told.items():
        print(
            f"{side:18} {one['steps']:4} steps  {one['tokens_per_second']:8} tokens/s  "
            f"{one['tokens_per_processor_second']:8} a processor second  held-back loss {one['held_back_loss']}"
        )
    print(json.dumps(result["times_as_fast"]))


if __name__ == "__main__":
    main()
