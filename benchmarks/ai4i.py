"""AI4I 2020: a milling machine, failure or not, rows without a history; five-fold cross-validation in which nothing leaks.

The number of trees and the threshold come from an inner cross-validation of each fold's training rows. The columns of
the failure modes are no inputs. Two sets of columns: the five sensors and the type as they are, and with four physical
products of them (power, temperature difference, strain, wear in speed), which use nothing but the row itself. Beside
them stands what one would score who knew the generator's documented rules exactly.

`python -m benchmarks.ai4i`
"""

from __future__ import annotations

import csv

import numpy as np
from sklearn.model_selection import StratifiedKFold

from benchmarks.rows import data_file
from benchmarks.series_results import result, write
from shokunin.series.alarms import row_scores, threshold_for_f1
from shokunin.series.ranking import ranking
from shokunin.series.trees import TreeOptions, fit_trees

SENSORS = ("Air temperature [K]", "Process temperature [K]", "Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]")
PUBLISHED = {"system": "XGBoost, leakage-free cross-validation (Rismawan & Nirmala 2026)", "f1": 0.8952}


def rows() -> tuple[np.ndarray, np.ndarray]:
    with data_file("ai4i2020", "ai4i2020.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    x = [[*(float(row[name]) for name in SENSORS), "LMH".index(row["Type"])] for row in table]
    return np.asarray(x, dtype=np.float32), np.asarray([int(row["Machine failure"]) for row in table], dtype=np.int8)


def with_products(x: np.ndarray) -> np.ndarray:
    air, process, speed, torque, wear, _ = x.T
    return np.c_[x, speed * torque, process - air, wear * torque, speed * wear].astype(np.float32)


def by_the_rules(x: np.ndarray) -> np.ndarray:
    """What the documentation of the generator says fails for certain: heat, power, overstrain. Worn tools fail by a lot."""
    air, process, speed, torque, wear, kind = x.T.astype(np.float64)
    power = torque * speed * 2 * np.pi / 60
    heat = (np.round(process - air, 1) < 8.6) & (speed < 1380)
    strain = wear * torque > np.asarray([11_000, 12_000, 13_000])[kind.astype(int)]
    return heat | (power < 3500) | (power > 9000) | strain


def main() -> None:
    x, y = rows()
    found = result("ai4i2020", {"published": PUBLISHED, "rows": len(y), "failures": int(y.sum()), "columns": {}})
    ceiling = row_scores(by_the_rules(x).astype(float), y, 0.5)
    found["ceiling"] = {"what": "the generator's documented certain failures, known exactly", **ceiling}
    print(f"the generator's own rules: {ceiling}")
    options = TreeOptions(rounds=1000, patience=50, metric="average_precision", min_child_samples=5)
    for name, columns in {"sensors": x, "sensors and products": with_products(x)}.items():
        scores, hot = np.zeros(len(y)), np.zeros(len(y), dtype=bool)
        by_fold = []
        for fold, (train, test) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(x, y)):
            inside, trees = np.zeros(len(train)), []
            for fit, stop in StratifiedKFold(5, shuffle=True, random_state=fold).split(train, y[train]):
                a, b = train[fit], train[stop]
                part = fit_trees(columns[a], y[a], (columns[b], y[b]), options, seed=fold)
                inside[stop] = part.open().raw(columns[b])
                trees.append(part.trees)
            threshold = threshold_for_f1(inside, y[train])
            whole = options.model_copy(update={"rounds": max(20, round(float(np.mean(trees))))})
            forest = fit_trees(columns[train], y[train], None, whole, seed=fold).open()
            scores[test] = forest.raw(columns[test])
            hot[test] = scores[test] >= threshold
            by_fold.append(row_scores(scores[test], y[test], threshold)["f1"])
        pooled = row_scores(hot.astype(float), y, 0.5)
        ranked = ranking(scores, y, np.arange(len(y)))
        draws = np.random.default_rng(0)
        f1 = []
        for _ in range(1000):
            drawn = draws.integers(0, len(y), len(y))
            f1.append(row_scores(hot[drawn].astype(float), y[drawn], 0.5)["f1"])
        low, high = np.quantile(f1, [0.025, 0.975])
        found["columns"][name] = {
            "f1": {"value": pooled["f1"], "low": float(low), "high": float(high)}, "f1_by_fold": by_fold, "rows": pooled,
            "roc_auc": vars(ranked.roc_auc), "pr_auc": vars(ranked.pr_auc), "base_rate": ranked.base_rate,
            "f1_of_ringing_always": 2 * ranked.base_rate / (1 + ranked.base_rate),
        }  # fmt: skip
        print(
            f"{name}: F1 {pooled['f1']:.3f} [{low:.3f}, {high:.3f}], PR {ranked.pr_auc}, ROC {ranked.roc_auc.value:.4f}"
        )
    print(write(found))


if __name__ == "__main__":
    main()
