"""How the time and memory of discovery grow with the records: ten thousand, a hundred thousand, a million.

    python -m benchmarks.discover_scale [--records 10000,100000,1000000] [--folder FOLDER] [--quick]

`benchmarks.traffic_mix` writes the traffic (about 1.5 kB a record; 2 GB of disk for a million, in a temporary folder below
`--folder`, deleted afterwards), then `shokunin discover history.jsonl --output json` runs on it in a process of its own.
Given are wall time, records a second, the peak of its memory as the kernel counted it, and the exponent of the time between
two sizes: 1 is linear. The adjusted Rand index is told beside it, so that speed is not had at its cost.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.discover_run import discover
from benchmarks.discover_scoring import read_truth, score
from benchmarks.traffic_mix import write_traffic
from shokunin.files import write_json


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--records", default="10000,100000,1000000")
    words.add_argument("--folder", type=Path, help="where the temporary folder is made")
    words.add_argument("--options", default="", help="further ones for discover, for instance '--quick'")
    words.add_argument("--quick", action="store_true", help="few records, to try it; nothing is kept")
    asked = words.parse_args()
    sizes = [1_000, 4_000] if asked.quick else [int(size) for size in asked.records.split(",")]
    result = harness.record("discover_scale", asked.quick)
    del result["settings"]
    result |= {"options": asked.options, "runs": []}
    for size in sizes:
        result["runs"].append(one_size(size, asked.folder, asked.options.split()))
        print(line(result["runs"][-1]), flush=True)
    result["exponents"] = exponents(result["runs"])
    print(json.dumps(result["exponents"]))
    if not asked.quick:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = harness.RESULTS / f"discover_scale-{stamp}-{result['commit']}.json"
        write_json(path, result)
        print(path)


def one_size(records: int, below: Path | None, options: Sequence[str] = ()) -> dict[str, Any]:
    """Traffic of one size, discovered once."""
    with tempfile.TemporaryDirectory(prefix="discover-scale-", dir=below) as name:
        folder = Path(name)
        write_traffic(folder, records=records, later=0)
        logs = folder / "history.jsonl"
        size = logs.stat().st_size
        found, cost = discover(logs, folder, *options)
        scored = score(found, read_truth(folder))
    return {
        "records": records,
        "megabytes": round(size / 1e6, 1),
        **cost,
        "records_per_second": round(records / cost["wall_seconds"], 1),
        "megabytes_per_second": round(size / 1e6 / cost["wall_seconds"], 2),
        "counts": scored["counts"],
        "tasks": len(found["tasks"]),
        "ari": scored["ari"],
    }


def exponents(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How wall time and memory grew from one size to the next, as the power of the number of records."""
    grown = []
    for before, after in pairwise(runs):
        times = math.log(after["records"] / before["records"])
        grown.append(
            {
                "from": before["records"],
                "to": after["records"],
                "wall_seconds": round(math.log(after["wall_seconds"] / before["wall_seconds"]) / times, 3),
                "peak_rss_mb": round(math.log(after["peak_rss_mb"] / before["peak_rss_mb"]) / times, 3),
            }
        )
    return grown


def line(run: dict[str, Any]) -> str:
    """One size, readable."""
    counts = "counts right" if run["counts"]["right"] else f"counts {run['counts']}"
    return (
        f"{run['records']:>9,} records, {run['megabytes']:,.0f} MB: {run['wall_seconds']:.1f} s, "
        f"{run['records_per_second']:,.0f} records/s, {run['peak_rss_mb']:,} MB at the peak, ARI {run['ari']:.4f}, {counts}"
    )


if __name__ == "__main__":
    main()
