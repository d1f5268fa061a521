"""What the limit for "none of these" costs and catches when no row says what does not belong.

Words and a frozen encoder are trained on banking77; strangers are the messages of sms_spam. A quarter of the validation
rows, drawn 300 times, sets the limit; the other rows say how many right answers it loses. The sealed test rows have no
part in it. `python -m benchmarks.scope_limit`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

import shokunin
from benchmarks import harness
from benchmarks.rows import data_file, read
from shokunin.dataset import read_dataset
from shokunin.engines import engine_for
from shokunin.files import write_json
from shokunin.pipeline.answering import codec_of
from shokunin.prove import calibrate

DRAWS = 300
SHARES = (0.003, 0.001, 0.0005, 0.0002)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        specialist = shokunin.train(
            data_file("banking77", "train.csv"),
            test=data_file("banking77", "test.csv"),
            project=place,
            learners=["text_linear", "encoder_head"],
            replayed=False,
        )
        dataset = read_dataset(next((Path(place) / "tasks" / specialist.name / "datasets").iterdir()))
        lessons = codec_of(specialist).lessons(dataset.validation)
        session = engine_for(specialist.weights.format).load(specialist.weights)
        raw = session.run(list(lessons.texts))
        strange = session.run([text for text, _ in read(data_file("sms_spam", "sms.csv"), "text", "label")[:1000]]).max(
            axis=1
        )
    rows = [measure(raw, lessons.labels, strange, share) for share in SHARES]
    for row in rows:
        print(row)
    found = {
        **harness.record("scope_limit", quick=False),
        "learner": specialist.manifest["steps"][0]["learner"],
        "limits": rows,
    }
    path = harness.RESULTS / f"scope_limit-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{found['commit'][:12]}.json"
    write_json(path, found)
    print(f"written to {path}")


def measure(raw: np.ndarray, labels: np.ndarray, strange: np.ndarray, share: float) -> dict[str, float]:
    """Shares of right answers lost, of all answers declined, and of strangers declined, on average over the draws."""
    best, right = raw.max(axis=1), raw.argmax(axis=1) == labels
    calibrate.LOST_SHARE = share
    lost, declined, caught = [], [], []
    for seed in range(DRAWS):
        shapes = calibrate.shaping_rows(len(raw), seed)
        limit = calibrate._scope_threshold(raw[shapes], labels[shapes], np.zeros((0, raw.shape[1])))
        assert limit is not None
        lost.append((best[~shapes & right] < limit).sum() / (~shapes).sum())
        declined.append((best[~shapes] < limit).mean())
        caught.append((strange < limit).mean())
    return {
        "share": share,
        "right_lost": float(np.mean(lost)),
        "declined": float(np.mean(declined)),
        "strangers": float(np.mean(caught)),
    }


if __name__ == "__main__":
    main()
