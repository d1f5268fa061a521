"""tsfresh's features of windows (n, length, channels): `tsfresh_features.py windows.npz out.json [features.npy [minimal]]`."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tsfresh
from tsfresh.feature_extraction import EfficientFCParameters, MinimalFCParameters, extract_features


def main() -> None:
    windows = np.load(sys.argv[1])["windows"]
    n, length, channels = windows.shape
    table = pd.DataFrame(windows.reshape(n * length, channels), columns=[f"c{i}" for i in range(channels)])
    table["id"], table["time"] = np.repeat(np.arange(n), length), np.tile(np.arange(length), n)
    # What is compiled or read at the first call is no work on windows.
    extract_features(table[table["id"] < 2], **asked())
    start, cpu = time.perf_counter(), processor()
    found = extract_features(table, **{**asked(), "n_jobs": 2})
    out = {
        "seconds": time.perf_counter() - start, "cpu_seconds": processor() - cpu, "columns": found.shape[1],
        "processes": 2, "version": tsfresh.__version__,
    }  # fmt: skip
    if len(sys.argv) > 3:
        np.save(sys.argv[3], found.to_numpy(dtype=np.float32))
    Path(sys.argv[2]).write_text(json.dumps(out), encoding="utf-8")


def processor() -> float:
    """Seconds of the processor, of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


def asked() -> dict:
    parameters = MinimalFCParameters() if "minimal" in sys.argv[4:] else EfficientFCParameters()
    return {
        "column_id": "id", "column_sort": "time", "default_fc_parameters": parameters, "n_jobs": 0,
        "disable_progressbar": True,
    }  # fmt: skip


if __name__ == "__main__":
    main()
