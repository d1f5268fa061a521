"""How curation grows with the rows: time and peak memory at 10,000, 100,000 and 1,000,000 generated rows.

    python benchmarks/curate_scale.py [ROWS ...]

Every size runs in a process of its own, from a CSV file on disk: read, gather, group duplicates, split, look for leaks
and personal data, build the dataset, write it. The search for wrong labels is left out: its cost is that of a learner,
and it looks at about 50,000 rows at most. The rows are generated (seeded): templates with random words in five
languages, one row in fifty a copy, one in thirty nearly one, one in a thousand broken.
"""

from __future__ import annotations

import csv
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIZES = (10_000, 100_000, 1_000_000)
LABELS = 60
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
FRAMES = {
    "en": ("I cannot find the {0} of my {1} and the {2} is {3}", "please tell me what to do with {0} for {1}, {2} {3}"),
    "de": ("Ich habe die {0} nicht für {1} und das {2} ist {3}", "wie kann ich {0} mit dem {1} bei {2} und {3}"),
    "fr": ("Je ne trouve pas le {0} de mon {1} et la {2} est {3}", "comment puis-je avec le {0} dans {1} pour {2} {3}"),
    "es": ("No encuentro el {0} de mi {1} y la {2} es {3}", "cómo puedo con el {0} en la {1} para {2} {3}"),
    "ja": ("{0}の{1}が届きませんが、{2}は{3}でしょうか", "{0}について、{1}の{2}を{3}にしてください"),
}
JAPANESE = "配送返金注文商品住所変更料金請求書解約登録電話確認再発行手続期限明細"


def generate(path: Path, rows: int, seed: int = 0) -> None:
    draw = random.Random(seed)
    vocabulary = ["".join(draw.choices(SYLLABLES, k=3)) for _ in range(3000)]
    recent: list[tuple[str, str]] = []
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "category"])
        for number in range(rows):
            chance = draw.random()
            label = f"category_{int(LABELS * draw.random() ** 1.5):02d}"
            if chance < 0.02 and recent:
                text, label = draw.choice(recent)
            elif chance < 0.053 and recent:
                text, label = draw.choice(recent)
                text += draw.choice((" !", " please", "。", " ..."))
            else:
                text = sentence(draw, vocabulary)
            if chance > 0.999:
                file.write(f"{number},broken\r\n")
                continue
            if chance > 0.995:
                text += f" call +44 20 7946 {draw.randrange(10_000):04d}"
            if len(recent) < 5000:
                recent.append((text, label))
            else:
                recent[draw.randrange(5000)] = (text, label)
            writer.writerow([number, text, label])


def sentence(draw: random.Random, vocabulary: list[str]) -> str:
    language = draw.choices(list(FRAMES), weights=(6, 1, 1, 1, 3))[0]
    if language == "ja":
        words = ["".join(draw.choices(JAPANESE, k=draw.randint(2, 4))) for _ in range(4)]
    else:
        words = [" ".join(draw.choices(vocabulary, k=draw.randint(1, 4))) for _ in range(4)]
    return draw.choice(FRAMES[language]).format(*words)


def measure(path: Path) -> dict[str, Any]:
    """Curate one file in this process."""
    from shokunin.curate.build import build_dataset
    from shokunin.curate.columns import guess_columns
    from shokunin.curate.read import read_rows
    from shokunin.dataset import write_dataset
    from shokunin.task import Task
    from shokunin.tasks.classify_text import gather

    imported = peak_mb()
    started = time.perf_counter()
    table = read_rows(path)
    given = sum(1 for _ in table.rows())
    read = time.perf_counter()
    reading_mb = peak_mb()
    columns = guess_columns(table.columns, table.sample())
    task = Task(name="scale", inputs=columns.inputs, target=columns.target)
    dataset = build_dataset(task, gather(task, table.rows()), tables=[table], columns=columns)
    built = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(dataset, Path(folder))
    written = time.perf_counter()
    facts = dataset.facts
    return {
        "rows": facts["rows"]["in"],
        "rows_readable": given,
        "bytes": path.stat().st_size,
        "read_seconds": round(read - started, 2),
        "build_seconds": round(built - read, 2),
        "write_seconds": round(written - built, 2),
        "rows_per_second": round(facts["rows"]["in"] / (written - read)),
        "peak_mb_after_import": imported,
        "peak_mb_after_reading": reading_mb,
        "peak_mb": peak_mb(),
        "exact_duplicates": facts["duplicates"]["exact"],
        "near_duplicates": facts["duplicates"]["near"],
        "set_aside": sum(facts["rows"]["set_aside"].values()),
        "split": facts["split"]["counts"],
        "digest": dataset.digest,
    }


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(sizes: list[int]) -> None:
    results = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.csv"
            generate(path, rows)
            command = [sys.executable, __file__, "--measure", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        results.append(result)
        print(json.dumps(result, indent=1))
    version = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    processor = next((x.split(":")[1].strip() for x in cpuinfo() if x.startswith("model name")), platform.processor())
    report = {
        "benchmark": "curate_scale",
        "commit": version.stdout.strip(),
        "python": platform.python_version(),
        "machine": {"processor": processor, "system": platform.platform()},
        "results": results,
    }
    text = json.dumps(report, indent=1) + "\n"
    date, sha = datetime.now(UTC).strftime("%Y%m%d"), report["commit"][:12]
    place = ROOT / "benchmarks" / "results" / f"curate_scale-{date}-{sha}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    print(f"written to {place}")


def cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        main([int(argument) for argument in sys.argv[1:]] or list(SIZES))
