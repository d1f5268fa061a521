"""sentence-transformers: embeddings of the frozen encoder, scikit-learn's LogisticRegression on top."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression


def main(job_file: str, out_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    texts, labels = map(list, zip(*job["train"], strict=True))
    start = time.perf_counter()
    encoder = SentenceTransformer(job["encoder"], device="cpu")
    head = LogisticRegression(max_iter=2000)
    head.fit(encoder.encode(texts, batch_size=32, normalize_embeddings=True), labels)
    trained = time.perf_counter()
    given = head.predict(encoder.encode(job["test"], batch_size=32, normalize_embeddings=True)).tolist()
    out = {
        "given": given,
        "fit_seconds": round(trained - start, 3),
        "predict_seconds": round(time.perf_counter() - trained, 3),
        "versions": {
            name: version(name) for name in ("sentence-transformers", "scikit-learn", "torch", "transformers")
        },
    }
    Path(out_file).write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
