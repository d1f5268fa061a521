"""SKAB: a water pump's test bench, outliers in 34 files, by the source's protocol.

The first 400 rows of a file are normal, the rest is the test.
The threshold comes from those 400 rows alone: the detector is fitted on the first 300, and an alarm needs more than
the next 100 ever scored. Calling everything an outlier has an F1 of 0.70 here, so false and missed alarms stand
beside it.

`python -m benchmarks.skab [--window 10]`
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.rows import data_file
from benchmarks.series_results import result, write
from shokunin.curate.read_csv import read_csv
from shokunin.pipeline.normal_choice import choose_detector
from shokunin.pipeline.normal_period import normal_period
from shokunin.series.columns import Columns
from shokunin.series.normal import DETECTORS, fit_normal
from shokunin.series.readings import read_readings
from shokunin.series.strangeness import DETECTORS as ALL
from shokunin.tasks.anticipate_failures import Options

PUBLISHED = {
    "Conv-AE": {"f1": 0.78, "far": 13.55, "mar": 28.02}, "MSET": {"f1": 0.78, "far": 39.73, "mar": 14.13},
    "T2+Q (PCA)": {"f1": 0.76, "far": 26.62, "mar": 24.92}, "LSTM-AE": {"f1": 0.74, "far": 29.96, "mar": 25.92},
    "T2": {"f1": 0.66, "far": 19.21, "mar": 42.60}, "Isolation forest": {"f1": 0.29, "far": 2.56, "mar": 82.89},
}  # fmt: skip
FIT, NORMAL = 300, 400


def files() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, readings (rows, 8), outlier (rows,)) of each file with an anomaly."""
    out = []
    for folder in ("valve1", "valve2", "other"):
        for path in sorted(data_file("skab", "README.md").parent.joinpath(folder).glob("*.csv")):
            table = [row for _, row in read_csv(path).rows()]
            names = [c for c in table[0] if c not in ("datetime", "anomaly", "changepoint")]
            x = np.asarray([[float(row[c]) for c in names] for row in table])
            out.append((f"{folder}/{path.stem}", x, np.asarray([float(row["anomaly"]) > 0 for row in table])))
    return out


def windows(x: np.ndarray, length: int) -> np.ndarray:
    """A window for every row (the first rows' windows begin with the first row over and over)."""
    padded = np.concatenate([np.repeat(x[:1], length - 1, axis=0), x])
    return np.lib.stride_tricks.sliding_window_view(padded, length, axis=0).transpose(0, 2, 1)


def rates(hot: np.ndarray, y: np.ndarray) -> dict[str, float]:
    tp, fp, fn, tn = (int(v.sum()) for v in (hot & y, hot & ~y, ~hot & y, ~hot & ~y))
    return {
        "f1": 2 * tp / max(2 * tp + fp + fn, 1),
        "far": 100 * fp / max(fp + tn, 1),
        "mar": 100 * fn / max(fn + tp, 1),
    }


def counted(hots: list[np.ndarray], truths: list[np.ndarray]) -> dict[str, object]:
    """Rates over all rows, and F1 with its interval over files."""
    hot, y = np.concatenate(hots), np.concatenate(truths)
    drawn = np.random.default_rng(0)
    f1 = []
    for _ in range(1000):
        chosen = drawn.integers(0, len(hots), len(hots))
        f1.append(rates(np.concatenate([hots[i] for i in chosen]), np.concatenate([truths[i] for i in chosen]))["f1"])
    low, high = np.quantile(f1, [0.025, 0.975])
    return {**rates(hot, y), "f1_interval_over_files": [float(low), float(high)], "rows": len(y)}


def product(data: list[tuple[str, np.ndarray, np.ndarray]], window: int) -> dict[str, object]:
    """The label-free mode itself: each file a machine, normal up to row 400, a budget below one alarm, so that none may come.

    What is held out for thresholds begins a window later than above, since no reading is on two sides. `chosen` is the
    detector that injected faults choose for each file.
    """
    hots: dict[str, list[np.ndarray]] = {name: [] for name in (*ALL, "chosen")}
    truths, taken = [], Counter[str]()
    for name, x, y in data:
        rows = ((f"{name}:{i}", {"row": i, **dict(enumerate_channels(line))}) for i, line in enumerate(x.tolist()))
        channels = tuple(key for key, _ in enumerate_channels(x[0].tolist()))
        options = Options(
            target="normal", step="cycle", window=window, normal_until=str(NORMAL - 1), alarms_a_week=0.01,
            shares=(FIT / NORMAL, 1 - FIT / NORMAL, 0.0), time="row",
        )  # fmt: skip
        readings = read_readings(rows, Columns(time="row", channels=channels), options.grid)
        period = normal_period(readings, options, tested=False)
        with tempfile.TemporaryDirectory(prefix="skab-") as folder:
            choice = choose_detector(period, Path(folder))
        judged = period.windows.take(np.flatnonzero(period.windows.step >= NORMAL))
        for one in choice.tried:
            hot = one.model.scores(period.readings, judged) >= one.model.threshold
            hots[one.name].append(hot)
            if one is choice.chosen:
                hots["chosen"].append(hot)
        taken[choice.chosen.name] += 1
        truths.append(y[judged.step])
    return {**{name: counted(found, truths) for name, found in hots.items()}, "chosen_for_files": dict(taken)}


def enumerate_channels(line: list[float]) -> list[tuple[str, float]]:
    return [(f"c{i}", value) for i, value in enumerate(line)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--window", type=int, default=10)
    asked = parser.parse_args()
    data = files()
    found = result("skab", {"published": PUBLISHED, "window": asked.window, "files": len(data), "detectors": {}})
    truths = [y[NORMAL:] for _, _, y in data]
    for detector in DETECTORS:
        hots = []
        for _, x, _ in data:
            cut = windows(x, asked.window)
            model = fit_normal(cut[asked.window - 1 : FIT], detector, seed=0)
            scores = model.score(cut)
            hots.append(scores[NORMAL:] > scores[FIT:NORMAL].max())
        found["detectors"][detector] = counted(hots, truths)
        print(detector, found["detectors"][detector], flush=True)
    found["label_free_mode"] = product(data, asked.window)
    for name, worth in found["label_free_mode"].items():
        print("label-free mode,", name, worth)
    found["everything an outlier"] = rates(np.ones(len(np.concatenate(truths)), dtype=bool), np.concatenate(truths))
    print("everything an outlier", found["everything an outlier"])
    print(write(found))


if __name__ == "__main__":
    main()
