"""AutoGluon Tabular on flattened windows: `python autogluon_tabular.py job.npz out.json`; validation by groups of units.

`job.npz`: rows (n, columns), labels (n,), part (n,): the group of each training row, -1 for rows of the test.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import autogluon.tabular
import numpy as np
import pandas as pd
from autogluon.tabular import TabularPredictor


def main() -> None:
    job = np.load(sys.argv[1])
    table = pd.DataFrame(job["rows"], columns=[f"r{i}" for i in range(job["rows"].shape[1])])
    table["label"], table["part"] = job["labels"], job["part"]
    train, test = table[table["part"] >= 0], table[table["part"] < 0]
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor(
            label="label", groups="part", eval_metric="average_precision", path=folder, verbosity=0
        )  # fmt: skip
        predictor.fit(
            train, hyperparameters={"GBM": {}, "XGB": {}}, num_bag_folds=int(train["part"].nunique()), num_stack_levels=0,
            time_limit=float(job["seconds"]), ag_args_ensemble={"fold_fitting_strategy": "sequential_local"},
        )  # fmt: skip
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
        out = {
            "seconds": seconds, "cpu_seconds": used, "version": autogluon.tabular.__version__,
            "models": predictor.model_names(),
            "validation": predictor.predict_proba_oof()[1].to_numpy().tolist(),
            "test": predictor.predict_proba(test.drop(columns=["label", "part"]))[1].to_numpy().tolist(),
        }  # fmt: skip
    Path(sys.argv[2]).write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
