"""SetFit: contrastive tuning of the encoder on pairs, then its logistic head.

Few-shot: the recipe of the paper and of SetFit's own few-shot script (20 pairs of each sort a row, batches of 16, one
epoch); the library's default draws every pair, which for 77 classes of ten rows is 36,000 steps. More rows: the
library's defaults with a bound on the steps. Both end early, and say so, `cap_seconds` after the first step.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
from transformers import TrainerCallback, TrainerControl, TrainerState


class Cap(TrainerCallback):
    """Ends the training when the time is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.end, self.steps, self.planned, self.cut = seconds, 0.0, 0, 0, False

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **rest: object) -> None:
        self.end = time.monotonic() + self.seconds

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **rest: object) -> TrainerControl:
        self.steps, self.planned = state.global_step, state.max_steps
        if time.monotonic() > self.end and state.global_step < state.max_steps:
            self.cut, control.should_training_stop = True, True
        return control


def main(job_file: str, out_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    texts, labels = map(list, zip(*job["train"], strict=True))
    names = sorted(set(labels))
    bound = {"num_iterations": 20} if job["few_shot"] else {"max_steps": job["max_steps"]}
    if job.get("quick"):
        bound = {"max_steps": 20}
    start = time.perf_counter()
    model = SetFitModel.from_pretrained(job["encoder"], labels=names)
    args = TrainingArguments(
        output_dir="checkpoints",
        seed=job["seed"],
        save_strategy="no",
        report_to="none",
        show_progress_bar=False,
        **bound,
    )
    cap = Cap(job["cap_seconds"])
    rows = Dataset.from_dict({"text": texts, "label": [names.index(label) for label in labels]})
    trainer = Trainer(model=model, args=args, train_dataset=rows, callbacks=[cap])
    trainer.train()
    trained = time.perf_counter()
    given = [str(label) for label in model.predict(job["test"])]
    out = {
        "given": given,
        "fit_seconds": round(trained - start, 3),
        "predict_seconds": round(time.perf_counter() - trained, 3),
        "versions": {name: version(name) for name in ("setfit", "sentence-transformers", "torch", "transformers")},
        "facts": {**bound, "steps": cap.steps, "planned_steps": cap.planned, "cut_by_cap": cap.cut, "batch_size": 16},
    }
    Path(out_file).write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
