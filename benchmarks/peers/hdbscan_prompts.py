"""HDBSCAN over sentence embeddings of the prompts, as they are and after UMAP to five dimensions (BERTopic's recipe)."""

import json
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.filterwarnings("ignore")

import hdbscan  # noqa: E402
import numpy as np  # noqa: E402
import umap  # noqa: E402

SIZES = (10, 50, 150)
"""Least members of a cluster; the first is BERTopic's default."""


def main(job_file: str, out_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    embeddings = np.load(job["embeddings"], allow_pickle=False).astype(np.float64)
    start = time.perf_counter()
    reducer = umap.UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=job["seed"])
    flat = reducer.fit_transform(embeddings)
    reduced = time.perf_counter() - start
    runs = []
    for name, points, before in (("UMAP", flat, reduced), ("embeddings", embeddings, 0.0)):
        for size in SIZES:
            start = time.perf_counter()
            clusters = hdbscan.HDBSCAN(min_cluster_size=size).fit_predict(points)
            runs.append(
                {
                    "setting": f"{name}, at least {size}",
                    "default": name == "UMAP" and size == SIZES[0],
                    "seconds": round(before + time.perf_counter() - start, 3),
                    "clusters": clusters.tolist(),
                }
            )
    versions = {name: version(name) for name in ("hdbscan", "umap-learn")}
    Path(out_file).write_text(json.dumps({"runs": runs, "versions": versions}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
