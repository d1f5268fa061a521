"""drain3: one line of log for each prompt, its cluster is the template it falls under."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig

SIMILARITY = (0.4, 0.2, 0.6, 0.8)
"""The first is drain3's default."""
WORDS = (None, 15)
"""How much of a prompt is seen: all of it, or its first words."""


def main(job_file: str, out_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    runs = []
    for words in WORDS:
        lines = [" ".join(text.split()[:words]) for text in job["texts"]]
        for similarity in SIMILARITY:
            config = TemplateMinerConfig()
            config.drain_sim_th = similarity
            miner = TemplateMiner(config=config)
            start = time.perf_counter()
            clusters = [miner.add_log_message(line)["cluster_id"] for line in lines]
            runs.append(
                {
                    "setting": f"similarity {similarity}, {'all words' if words is None else f'first {words} words'}",
                    "default": similarity == SIMILARITY[0] and words is None,
                    "seconds": round(time.perf_counter() - start, 3),
                    "clusters": clusters,
                }
            )
    Path(out_file).write_text(json.dumps({"runs": runs, "versions": {"drain3": version("drain3")}}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
