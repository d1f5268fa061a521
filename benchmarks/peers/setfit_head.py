"""SetFit's head alone: the frozen encoder and SetFit's logistic head, no contrastive tuning."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from setfit import SetFitModel


def main(job_file: str, out_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    texts, labels = map(list, zip(*job["train"], strict=True))
    names = sorted(set(labels))
    start = time.perf_counter()
    model = SetFitModel.from_pretrained(job["encoder"], labels=names)
    model.fit(texts, [names.index(label) for label in labels], num_epochs=1)
    trained = time.perf_counter()
    given = [str(label) for label in model.predict(job["test"])]
    out = {
        "given": given,
        "fit_seconds": round(trained - start, 3),
        "predict_seconds": round(time.perf_counter() - trained, 3),
        "versions": {name: version(name) for name in ("setfit", "sentence-transformers", "torch", "transformers")},
    }
    Path(out_file).write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
