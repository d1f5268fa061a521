"""tsfresh's efficient features of windows (n, length, channels): `python tsfresh_features.py windows.npz out.json`."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tsfresh
from tsfresh.feature_extraction import EfficientFCParameters, extract_features


def main() -> None:
    windows = np.load(sys.argv[1])["windows"]
    n, length, channels = windows.shape
    table = pd.DataFrame(windows.reshape(n * length, channels), columns=[f"c{i}" for i in range(channels)])
    table["id"], table["time"] = np.repeat(np.arange(n), length), np.tile(np.arange(length), n)
    start = time.perf_counter()
    found = extract_features(
        table, column_id="id", column_sort="time", default_fc_parameters=EfficientFCParameters(), n_jobs=0,
        disable_progressbar=True,
    )  # fmt: skip
    out = {"seconds": time.perf_counter() - start, "columns": found.shape[1], "version": tsfresh.__version__}
    Path(sys.argv[2]).write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
