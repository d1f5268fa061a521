"""Does discovery find the tasks that untagged traffic was made of? Beside it drain3, and HDBSCAN over embeddings.

    python -m benchmarks.discover_tasks [--records 20000] [--seeds 5] [--sample 10000] [--peers PYTHON] [--quick]
                                        [--traffic mix|fresh]

For each seed `benchmarks.traffic_mix` makes traffic of thirteen tasks, or `benchmarks.traffic_fresh` that of fourteen which
nobody developed against; `shokunin discover history.jsonl --output json` runs
on it in a process of its own. Scored are:

- **grouping**: the adjusted Rand index against the tasks over all records that are no corrupt lines; those that are in no
  task count as one more group, and so do the points that HDBSCAN calls noise;
- **kind**: right if the group that holds most of an application has the application's kind, and 98 % of its records are in
  groups of that kind;
- **labels, fields**: right if they are exactly those that occur as right answers, letter by letter;
- **free chat**: right if every record of it is in a group that is to be left with the large model, or in none;
- **counts**: as many lines set aside as are corrupt.

The peers see the same records, or a sample of them (`--sample`), on which ours is scored again. They get the text of all
messages of a prompt. drain3 runs with its defaults and seven other settings, HDBSCAN on embeddings of all-MiniLM-L6-v2 (at
most 256 tokens of a prompt) directly and after UMAP, each with three sizes. Given are the default and, in their favour, the
setting that scores best on the truth. The peers' Python (`--peers` or `$SHOKUNIN_PEER_PYTHON`) has
benchmarks/peers/requirements-discover.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness, traffic_fresh, traffic_mix
from benchmarks.discover_run import discover
from benchmarks.discover_scoring import grouping, read_truth, sampled, score
from shokunin.encoders.base_models import DEFAULT_ENCODER, resolve
from shokunin.encoders.text_encoder import TextEncoder
from shokunin.files import write_json
from shokunin.progress import silent

PEERS = {"drain3": "drain3_templates.py", "hdbscan": "hdbscan_prompts.py"}
TRAFFIC = {"mix": traffic_mix.applications, "fresh": traffic_fresh.applications}
LONGEST = 256
"""Tokens of a prompt that are embedded."""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--records", type=int, default=20_000)
    words.add_argument("--seeds", type=int, default=5)
    words.add_argument("--sample", type=int, default=10_000, help="records for the peers, at most")
    words.add_argument("--peer-seeds", type=int, default=2, help="seeds on which the peers run; they take longer")
    words.add_argument("--peers", default=os.environ.get("SHOKUNIN_PEER_PYTHON"), help="without one only ours runs")
    words.add_argument("--traffic", choices=sorted(TRAFFIC), default="mix")
    words.add_argument("--options", default="", help="further ones for discover, for instance '--budget 0.5'")
    words.add_argument("--quick", action="store_true", help="few records and one seed, to try it; nothing is kept")
    asked = words.parse_args()
    if asked.quick:
        asked.records, asked.seeds, asked.sample = 3_000, 1, 1_000
    result = harness.record("discover_tasks", asked.quick)
    del result["settings"]
    result |= {
        "traffic": asked.traffic,
        "records": asked.records,
        "sample": asked.sample,
        "options": asked.options,
        "seeds": [],
    }
    for seed in range(asked.seeds):
        peers = asked.peers if seed < asked.peer_seeds else None
        result["seeds"].append(one_seed(seed, asked.records, asked.sample, peers, asked.options.split(), asked.traffic))
    result["summary"] = summary(result["seeds"])
    print(json.dumps(result["summary"], indent=1))
    if not asked.quick:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = "discover_tasks" if asked.traffic == "mix" else f"discover_tasks-{asked.traffic}"
        path = harness.RESULTS / f"{name}-{stamp}-{result['commit']}.json"
        write_json(path, result)
        print(path)


def one_seed(
    seed: int, records: int, sample: int, peers: str | None, options: Sequence[str] = (), traffic: str = "mix"
) -> dict[str, Any]:
    """Ours on all records of one traffic, and everybody on a sample of them."""
    with tempfile.TemporaryDirectory(prefix="discover-") as name:
        folder = Path(name)
        traffic_mix.write_traffic(folder, records=records, seed=seed, later=0, tasks=TRAFFIC[traffic]())
        truth = read_truth(folder)
        found, cost = discover(folder / "history.jsonl", folder, *options)
        result = {"seed": seed, "cost": cost, **score(found, truth)}
        print(lines(result), flush=True)
        if peers is not None:
            ids = sorted(truth["history"])
            ids = random.Random(seed).sample(ids, min(sample, len(ids)))
            result["sampled"] = {"records": len(ids), "shokunin": sampled(found, truth, ids)}
            expected = [truth["history"][i]["task"] for i in ids]
            for peer in PEERS:
                result["sampled"][peer] = peer_runs(peer, prompts(folder / "history.jsonl", ids), expected, seed, peers)
                print(
                    peer, [(r["setting"], r["ari"], r["groups"]) for r in result["sampled"][peer]["runs"]], flush=True
                )
    return result


def prompts(path: Path, ids: Sequence[str]) -> list[str]:
    """The text of all messages of these records, in the order of `ids`."""
    wanted, texts = set(ids), {}
    with path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line)
                name = record["response"]["id"]
            except (ValueError, TypeError, KeyError):
                continue
            if name in wanted:
                texts[name] = "\n".join(message["content"] for message in record["request"]["messages"])
    return [texts[name] for name in ids]


def peer_runs(peer: str, texts: list[str], expected: Sequence[str], seed: int, python: str) -> dict[str, Any]:
    """Every setting of one peer, scored."""
    with tempfile.TemporaryDirectory(prefix="discover-peer-") as name:
        folder = Path(name)
        job: dict[str, Any] = {"seed": seed}
        before = 0.0
        if peer == "hdbscan":
            start = time.perf_counter()
            np.save(
                folder / "embeddings.npy",
                TextEncoder(resolve(DEFAULT_ENCODER), max_length=LONGEST).embed(texts, silent),
            )
            before, job["embeddings"] = time.perf_counter() - start, "embeddings.npy"
        else:
            job["texts"] = texts
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        command = [python, str(harness.PEERS / PEERS[peer]), "job.json", "out.json"]
        cost = harness.measure(command, folder)
        if cost["exit_code"] != 0:
            raise SystemExit((folder / "log.txt").read_text(encoding="utf-8", errors="replace")[-2000:])
        out = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    runs = [
        {
            "setting": run["setting"],
            "default": run["default"],
            "seconds": round(run["seconds"] + before, 3),
            **grouping(expected, run["clusters"]),
        }
        for run in out["runs"]
    ]
    return {"runs": runs, "versions": out["versions"], "cost": cost, "embedding_seconds": round(before, 3)}


def summary(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and worst of the adjusted Rand index, of ours and, on the samples, of everybody."""
    found: dict[str, Any] = {
        "ari": _spread([one["ari"] for one in seeds]),
        "all_right": sum(one["all_right"] for one in seeds),
        "seeds": len(seeds),
        "wall_seconds": _spread([one["cost"]["wall_seconds"] for one in seeds]),
        "peak_rss_mb": max(one["cost"]["peak_rss_mb"] for one in seeds),
    }
    both = [one["sampled"] for one in seeds if "sampled" in one]
    if both:
        found["on_samples"] = {"shokunin": _spread([one["shokunin"]["ari"] for one in both])}
        for peer in PEERS:
            by_setting: dict[str, list[float]] = {}
            for one in both:
                for run in one[peer]["runs"]:
                    by_setting.setdefault(run["setting"], []).append(run["ari"])
            default = next(run["setting"] for run in both[0][peer]["runs"] if run["default"])
            best = max(by_setting, key=lambda setting: statistics.fmean(by_setting[setting]))
            for label, setting in (("default", default), ("best of its settings", best)):
                found["on_samples"][f"{peer}, {label}"] = {"setting": setting, **_spread(by_setting[setting])}
    return found


def lines(result: dict[str, Any]) -> str:
    """One seed, readable."""
    counts = result["counts"]
    told = [
        f"seed {result['seed']}: ARI {result['ari']:.4f}, {result['groups']} groups, {result['left_over']} left over, counts "
        f"{'right' if counts['right'] else counts}, {result['cost']['wall_seconds']:.1f} s, "
        f"{result['cost']['peak_rss_mb']} MB"
    ]
    for one in result["applications"]:
        wrong = {key: one[key] for key in ("labels", "fields") if key in one and not one[key]["exact"]}
        told.append(
            f"  {'ok ' if one['right'] else 'NO '} {one['application']:<18} {', '.join(one['found_kinds']):<22} "
            f"{', '.join(one['verdicts']):<20} {100 * one['in_main_task']:5.1f} % in one of {len(one['tasks'])} tasks, "
            f"{100 * one['in_right_kind']:5.1f} % in the right kind"
            f"{'' if not wrong else f' {wrong}'}"
        )
    return "\n".join(told)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": round(statistics.fmean(values), 4), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
