"""Shokunin through its public API: train (curate, ladder, proof, replay, publish), load, predict."""

import csv
import json
import sys
import time
from pathlib import Path

import shokunin


def main(job_file: str, out_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    write("train.csv", job["train"])
    write("test.csv", list(zip(job["test"], job["test_labels"], strict=True)))
    labels = {label for _, label in job["train"]}
    options = {"budget": job["budget"]} if job.get("budget") else {}
    options |= {key: job[key] for key in ("learners", "base") if job.get(key)}
    start = time.perf_counter()
    specialist = shokunin.train(
        "train.csv",
        test="test.csv",
        name="benchmark",
        inputs=["text"],
        target="label",
        project=".",
        keep_leaks=True,  # the peers learn from every row too; how many repeat a test row is in the report
        seed=job["seed"],
        **options,
    )
    trained = time.perf_counter()
    answers = specialist.predict(job["test"])
    done = time.perf_counter()
    report = json.loads((specialist.folder / "report.json").read_text(encoding="utf-8"))
    kept = (
        "verdict",
        "why_chosen",
        "ladder",
        "threshold",
        "latency_ms",
        "throughput",
        "size_bytes",
        "peak_memory_bytes",
        "replay",
    )
    declined = [
        next(iter(answer.scores), None) == label
        for answer, label in zip(answers, job["test_labels"], strict=True)
        if answer.value not in labels
    ]
    out = {
        "given": [answer.value for answer in answers],
        "fit_seconds": round(trained - start, 3),
        "predict_seconds": round(done - trained, 3),
        "facts": {
            **{key: report.get(key) for key in (*kept, "calibration")},
            "declined": len(declined),
            "declined_though_right": sum(declined),
        },
    }
    Path(out_file).write_text(json.dumps(out), encoding="utf-8")


def write(name: str, rows: list[list[str]]) -> None:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["text", "label"])
        table.writerows(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
