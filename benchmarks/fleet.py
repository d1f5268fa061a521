"""Synthetic fleets with and without signal: what the published protocol says of them, and what honest ones say.

32 units, 1,091 days, windows of 90 days, an excursion 30 days ahead; the 28 statistics and the published settings of
the trees. Rows of the table: the published protocol (the test windows are among the training windows), a random split
without them, chronological with a purge. With signal also the question an owner has: does a
failure come within 30 days?

`python -m benchmarks.fleet [--units 32] [--days 1091] [--rounds 300]`
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.fleet_rows import fleet
from benchmarks.series_results import result, write
from shokunin.pipeline.anticipating import Anticipation, fit_rungs, prepare, published_protocol
from shokunin.series.alarms import row_scores, threshold_for_f1
from shokunin.series.plan import Plan
from shokunin.series.proof import Sides, as_json, judge, sentence
from shokunin.series.ranking import blocks_of, ranking
from shokunin.series.trees import TreeOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--days", type=int, default=1091)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = result("fleet", {"settings": vars(asked)})
    for signal in (False, True):
        name = "with signal" if signal else "without signal"
        made = fleet(asked.units, asked.days, signal=signal, seed=asked.seed)
        trees = TreeOptions(rounds=asked.rounds, patience=50, weigh_positives=True)
        plan = Plan(
            horizons=(30,), when="at", offset=1, target="excursions", rungs=("statistics",), trees=trees, seed=42
        )
        table: dict[str, Any] = {}
        runs = {
            "published: test inside training": lambda p, f, m=made: published_protocol(m.readings, p, f),
            "random windows": lambda p, f, m=made: published_protocol(m.readings, p, f, inside=False),
            "chronological, purged": lambda p, f, m=made: fit_rungs(prepare(m.readings, p), f),
        }
        for label, run in runs.items():
            with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
                start = time.perf_counter()
                table[label] = {**judged(run(plan, Path(folder)), best=label.startswith(("pub", "random")))}
                table[label]["seconds"] = round(time.perf_counter() - start, 1)
            print(f"{name}: {label}: {table[label]['summary']} ({table[label]['seconds']} s)", flush=True)
        found[name] = {"protocols": table}
        if signal:
            within = Plan(horizons=(30,), rungs=("base_rate", "last_outside", "outside_30", "statistics"), seed=42)
            with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
                owned = fit_rungs(prepare(made.readings, within, failures=made.failures), Path(folder))
            found[name]["failures within 30 days"] = failures_within(owned)
    print(write(found))


def judged(found: Anticipation, *, best: bool) -> dict[str, Any]:
    """Areas on the test side, and F1 at the published choice of threshold (on the test side itself) or at validation's."""
    p = found.prepared
    test, y = found.test[:, 0], p.labels[p.split.test, 0]
    windows = p.windows.take(p.split.test)
    blocks = blocks_of(windows.unit, windows.step, 120)
    ranked = ranking(test, y, blocks)
    side = (test, y) if best else (found.validation[:, 0], p.labels[p.split.validation, 0])
    rows = row_scores(test, y, threshold_for_f1(*side))
    always = 2 * ranked.base_rate / (1 + ranked.base_rate)
    told = (
        f"ROC-AUC {ranked.roc_auc.value:.3f} [{ranked.roc_auc.low:.3f}, {ranked.roc_auc.high:.3f}], F1 {rows['f1']:.3f}"
    )
    return {
        "summary": told, "roc_auc": vars(ranked.roc_auc), "pr_auc": vars(ranked.pr_auc), "base_rate": ranked.base_rate,
        "rows": rows, "f1_of_ringing_always": always, "threshold_from": "test" if best else "validation",
        "trees": list(found.chosen[0].rung.model.about["trees"]), "bytes": found.chosen[0].rung.weights.size_bytes(),
        "split": p.split.facts,
    }  # fmt: skip


def failures_within(found: Anticipation) -> dict[str, Any]:
    """Every rung on the owner's question."""
    p = found.prepared
    out: dict[str, Any] = {"why": found.chosen[0].why}
    for rung in found.rungs:
        sides = [
            Sides(p.windows.take(rows), p.labels[rows], logits)
            for rows, logits in ((p.split.validation, rung.validation), (p.split.test, rung.test))
        ]
        worth = judge(p.plan.horizons, *sides, p.events, p.readings.grid, seed=0)[0]
        out[rung.name] = as_json(worth)
        print(f"failures: {rung.name}: {sentence(worth, p.readings.grid)}", flush=True)
    return out


if __name__ == "__main__":
    main()
