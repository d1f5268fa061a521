"""Turbofans (FD003) beside tsfresh with LightGBM and AutoGluon Tabular: the same windows, folds of engines and alarms.

Every window that ends within 30 cycles of the failure, and of the rest every thirtieth (`--every`), since tsfresh's efficient set
takes a second of one core for a window (`--all` with `--set minimal`: all windows); the base rate is then far above that
of all windows, for all systems alike. tsfresh's features are learnt
from as ours are: the same LightGBM settings, the same parts of the training engines to stop and calibrate by.
AutoGluon has the flattened readings of the window, bags over the same parts, and does the rest by itself. Channels
that never move are left out for both.

`SHOKUNIN_TSFRESH_PYTHON=… SHOKUNIN_AUTOGLUON_PYTHON=… python -m benchmarks.cmapss_peers [--systems ours,tsfresh]`
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cmapss import HORIZONS, WINDOW, engines, judged
from benchmarks.harness import PEERS
from benchmarks.series_results import result, write
from shokunin.pipeline.anticipating import Prepared, fit_rungs, prepare
from shokunin.series.crossing import worth
from shokunin.series.labels import apart
from shokunin.series.plan import Plan
from shokunin.series.readings import Readings
from shokunin.series.risk import fit_risk
from shokunin.series.trees import CrossedTrees, TreeOptions, fit_trees
from shokunin.series.windows import cut, windows_of

OPTIONS = TreeOptions(rounds=300, metric="average_precision")
RUNGS = ("base_rate", "last_outside", "outside_30", "statistics")
NEAR, EVERY = 30, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default="ours,tsfresh,autogluon")
    parser.add_argument("--set", choices=("efficient", "minimal"), default="efficient", help="of tsfresh's features")
    parser.add_argument("--all", action="store_true", help="all windows")
    parser.add_argument("--every", type=int, default=EVERY, help="of the windows that end long before the failure")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--features", help="where tsfresh's features are kept, to be used again")
    parser.add_argument("--seconds", type=float, default=60, help="AutoGluon's limit a fold and horizon")
    asked = parser.parse_args()
    readings = engines()
    plans = [
        Plan(
            window=WINDOW, horizons=HORIZONS, target="remaining", column="remaining_cycles", split="unit", fold=fold,
            folds=asked.folds, rungs=RUNGS, trees=OPTIONS,
        )
        for fold in range(asked.folds)
    ]  # fmt: skip
    folds = [prepare(readings, plan) for plan in plans]
    taken = np.arange(len(folds[0].windows)) if asked.all else sample(readings, asked.every)
    folds = [only(prepared, taken) for prepared in folds]
    settings = {"near": NEAR, "window": WINDOW, **vars(asked)}
    settings.pop("features")
    found = result("cmapss_peers", {"settings": settings, "windows": len(taken), "costs": {}, "systems": {}})
    costs: dict[str, Any] = found["costs"]
    parts: dict[str, list[tuple[Prepared, np.ndarray, np.ndarray]]] = {}
    if "ours" in asked.systems:
        clock = Clock()
        found["chosen_by_fold"] = []
        for prepared in folds:
            with tempfile.TemporaryDirectory(prefix="cmapss-") as folder:
                fitted = fit_rungs(prepared, Path(folder))
            found["chosen_by_fold"].append([c.rung.name for c in fitted.chosen])
            for rung in fitted.rungs:
                parts.setdefault(rung.name, []).append((prepared, rung.validation, rung.test))
            parts.setdefault("chosen", []).append((prepared, fitted.validation, fitted.test))
        costs["ours"] = {"what": "all rungs and folds: featurising each part anew, training, choosing", **clock.read()}
        print(costs, found["chosen_by_fold"], flush=True)
    # What never moves says nothing, and costs tsfresh time.
    moving = [i for i, c in enumerate(folds[0].readings.channels) if c not in readings.facts["constant_channels"]]
    windows = folds[0].windows
    whole = np.zeros((len(windows), WINDOW, len(moving)), dtype=np.float32)
    whole[taken] = np.concatenate([v for _, v, _ in cut(folds[0].readings, windows.take(taken), None)])[:, :, moving]
    found["channels"] = {"in": len(folds[0].readings.channels), "that_move": len(moving)}
    with tempfile.TemporaryDirectory(prefix="cmapss-") as name:
        if "tsfresh" in asked.systems:
            made, cost = tsfresh(whole[taken], Path(asked.features or name), asked.set)
            useful = np.isfinite(made).all(axis=0) & (made.min(axis=0) < made.max(axis=0))
            features = np.zeros((len(windows), int(useful.sum())), dtype=np.float32)
            features[taken] = made[:, useful]
            clock = Clock()
            parts[f"tsfresh ({asked.set}) + LightGBM"] = [(p, *learnt(p, features)) for p in folds]
            costs["tsfresh"] = {"features": cost, "columns_used": features.shape[1], "training": clock.read()}
        if "autogluon" in asked.systems:
            given = [autogluon(p, whole, Path(name), asked.seconds) for p in folds]
            parts["AutoGluon Tabular"] = [(p, v, t) for p, (v, t, _) in zip(folds, given, strict=True)]
            costs["autogluon"] = [cost for *_, cost in given]
    for system, each in parts.items():
        found["systems"][system] = [judged(each, j, readings.grid) for j in range(len(HORIZONS))]
        for told in found["systems"][system]:
            print(f"{system:20} {told['summary']}", flush=True)
    print(costs)
    print(write(found))


class Clock:
    """Seconds by the clock and of the processor since it was made; on a shared machine the second is what counts."""

    def __init__(self) -> None:
        self._start, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._start, "cpu_seconds": time.process_time() - self._cpu}


def sample(readings: Readings, every: int) -> np.ndarray:
    """Numbers of the windows that all systems get."""
    rest, taken = apart(readings, ["remaining_cycles"])
    windows = windows_of(rest, WINDOW)
    left = np.asarray([taken["remaining_cycles"][s][e] for s, e in zip(windows.stretch, windows.end, strict=True)])
    return np.flatnonzero((left <= NEAR) | (windows.step % every == 0))


def only(prepared: Prepared, taken: np.ndarray) -> Prepared:
    """With these windows alone on every side."""
    split = prepared.split
    sides = {name: np.intersect1d(getattr(split, name), taken) for name in ("train", "validation", "test")}
    return replace(prepared, split=replace(split, **sides))


def tsfresh(windows: np.ndarray, folder: Path, which: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Features (n, columns) of windows, and what they cost."""
    features, told = folder / "features.npy", folder / "tsfresh.json"
    if not features.exists():
        np.savez(folder / "windows.npz", windows=windows)
        files = [str(folder / "windows.npz"), str(told), str(features)]
        command = [python("SHOKUNIN_TSFRESH_PYTHON"), "-W", "ignore", str(PEERS / "tsfresh_features.py"), *files, which]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found = np.load(features)
    if len(found) != len(windows):
        raise SystemExit(f"the kept features are of {len(found)} windows, not of {len(windows)}; remove them")
    return found, json.loads(told.read_text(encoding="utf-8"))


def python(variable: str) -> str:
    """The Python of a peer's environment."""
    if named := os.environ.get(variable):
        return named
    raise SystemExit(f"set {variable} to the Python of an environment with that peer")


def learnt(prepared: Prepared, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated log-odds of the training windows, out of their part, and of the test windows, from rows of any features."""
    lessons, split = prepared.lessons(), prepared.split
    crossed = CrossedTrees(OPTIONS, 0)
    labels, places = [], []
    for part in lessons.parts():
        some = lessons.without(part)
        crossed.add(x[some.train], x[some.validation])
        labels.append(some.labels[some.train])
        places.append(np.flatnonzero(np.isin(split.validation, some.validation)))
    place = np.concatenate(places)
    validation, test = (np.empty((len(rows), len(HORIZONS))) for rows in (split.validation, split.test))
    for j in range(len(HORIZONS)):
        truth = prepared.labels[split.validation, j]
        raw = np.empty(len(truth))

        def better(scores: np.ndarray, truth: np.ndarray = truth[place]) -> float:
            return worth(scores, truth, OPTIONS.metric)

        trees, raw[place] = crossed.grow([y[:, j] for y in labels], better)
        whole = fit_trees(
            x[split.train], prepared.labels[split.train, j], None, OPTIONS.model_copy(update={"rounds": trees}), seed=0
        )
        risk = fit_risk(raw, truth)
        validation[:, j], test[:, j] = risk.logit(raw), risk.logit(whole.open().raw(x[split.test]))
    return validation, test


def autogluon(
    prepared: Prepared, windows: np.ndarray, folder: Path, seconds: float
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Log-odds of the training windows, out of their part, and of the test windows; and what each horizon cost."""
    split = prepared.split
    assert split.folds is not None
    rows = np.r_[split.train, split.test]
    sides = [np.empty((len(side), len(HORIZONS))) for side in (split.train, split.test)]
    costs = []
    for j, horizon in enumerate(HORIZONS):
        np.savez(
            folder / "job.npz", rows=windows[rows].reshape(len(rows), -1), labels=prepared.labels[rows, j],
            part=split.folds[prepared.windows.unit[rows]], seconds=seconds,
        )  # fmt: skip
        command = [python("SHOKUNIN_AUTOGLUON_PYTHON"), "-W", "ignore", str(PEERS / "autogluon_tabular.py")]
        subprocess.run(
            [*command, "job.npz", "out.json"],
            check=True,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
        )
        out = json.loads((folder / "out.json").read_text(encoding="utf-8"))
        for side, name in zip(sides, ("validation", "test"), strict=True):
            p = np.clip(np.asarray(out.pop(name)), 1e-9, 1 - 1e-9)
            side[:, j] = np.log(p / (1 - p))
        costs.append({"horizon": horizon, **out})
        print(costs[-1], flush=True)
    return sides[0], sides[1], costs


if __name__ == "__main__":
    main()
