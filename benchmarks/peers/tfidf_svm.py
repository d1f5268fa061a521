"""scikit-learn: TF-IDF of words (1-2) and characters within words (2-5), LinearSVC, all at their defaults."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC


def main(job_file: str, out_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    texts, labels = zip(*job["train"], strict=True)
    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        ),
        LinearSVC(random_state=job["seed"]),
    )
    start = time.perf_counter()
    model.fit(texts, labels)
    trained = time.perf_counter()
    given = model.predict(job["test"]).tolist()
    out = {
        "given": given,
        "fit_seconds": round(trained - start, 3),
        "predict_seconds": round(time.perf_counter() - trained, 3),
        "versions": {"scikit-learn": version("scikit-learn")},
    }
    Path(out_file).write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
