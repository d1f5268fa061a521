"""Writes the tables of README and docs/benchmarks.md from the newest results: `python -m benchmarks.table`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from benchmarks import harness
from benchmarks.rows import ROOT
from shokunin.metrics import Comparison, Interval, accuracy, compare_accuracy, wilson

START, END = "<!-- results -->", "<!-- /results -->"
NAMES = {
    "shokunin": "Shokunin",
    "shokunin-frozen": "Shokunin without LoRA",
    "shokunin-mpnet": "Shokunin, mpnet as a second base",
    "shokunin-mpnet-lora": "Shokunin, mpnet as a second base, tuned",
    "tfidf": "TF-IDF + LinearSVC",
    "frozen": "frozen encoder + logistic regression",
    "setfit": "SetFit",
    "setfit-head": "SetFit, head only",
}
NOTE = (
    "Accuracy on the test rows with its 95 % interval, and the time from rows to answers; "
    "Shokunin's time includes curation, proof and replay. † The machine was busy with other work."
)
ALMOST_SURE = 0.05
BUSY = 5.0
"""The load of the machine from which a time says little; the run before it leaves about 2 behind."""


@dataclass(frozen=True)
class Run:
    """One competitor on one split, with the result file it is from and the test rows it was asked."""

    facts: dict[str, Any]
    split: dict[str, Any]
    origin: dict[str, Any]

    @property
    def correct(self) -> list[bool]:
        return [a == b for a, b in zip(self.split["expected"], self.facts["given"], strict=True)]


@dataclass(frozen=True)
class Standing:
    """One competitor in one setting, all splits together.

    Attributes:
        accuracy: Wilson's interval over the test rows; where they were asked several times, a bootstrap over rows.
        against: our accuracy minus theirs on the splits that both ran, paired by test row; None for ours.
        wall: median seconds of a run, from the start of the process to its end.
        memory: the largest memory of a run in MB, children included.
    """

    competitor: str
    splits: int
    of: int
    accuracy: Interval
    spread: float | None
    macro_f1: float
    against: Comparison | None
    wall: float
    memory: int
    origins: tuple[str, ...]
    cut: bool
    busy: bool

    @property
    def time(self) -> str:
        """The wall time, marked where the machine had other work."""
        return duration(self.wall) + (" †" if self.busy else "")


def main(words: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a table is not up to date")
    options.add_argument("--results", type=Path, default=harness.RESULTS)
    asked = options.parse_args(words)
    results = newest(asked.results)
    stale = []
    for name, make in (("README.md", short), ("docs/benchmarks.md", of_results)):
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        new = between(old, make(results), name)
        if new != old:
            stale.append(name)
            if not asked.check:
                path.write_text(new, encoding="utf-8")
    if stale:
        print(f"{'not up to date' if asked.check else 'written'}: {', '.join(stale)}")
    raise SystemExit(1 if stale and asked.check else 0)


def newest(folder: Path) -> list[dict[str, Any]]:
    """The results in a folder, oldest first; small pieces run to try the scripts are left out."""
    results = []
    for path in sorted(folder.glob("*.json")):
        head = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(head, dict) and "benchmark" in head and not head.get("quick"):
            results.append(harness.read(path) if isinstance(head.get("settings"), list) else head)
    return sorted(results, key=lambda result: str(result.get("created", "")))


def between(text: str, table: str, name: str) -> str:
    """The text with the table between its marks."""
    if text.count(START) != 1 or text.count(END) != 1:
        raise SystemExit(f"{name!r} must hold {START!r} and {END!r} once each, the table goes between them")
    before, rest = text.split(START)
    return (
        f"{before}{START}\n{table.rstrip()}\n{END}{rest.split(END)[1]}"
        if table.strip()
        else f"{before}{START}\n{END}{rest.split(END)[1]}"
    )


def of_results(results: Sequence[dict[str, Any]]) -> str:
    """The long table: one row a competitor."""
    out = []
    for (benchmark, setting), (published, runs) in collect(results).items():
        lines = standings(runs)
        if not lines:
            continue
        out += [f"**{benchmark}, {setting}**" + (f" (published: {published})" if published else ""), ""]
        out += [
            "| | accuracy | macro-F1 | ours − theirs | wall time | memory | runs |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for line in lines:
            spread = f", sd {line.spread:.4f}" if line.spread is not None else ""
            cells = (
                NAMES[line.competitor] + (" (cut by its time cap)" if line.cut else ""),
                f"{line.accuracy.value:.4f} [{line.accuracy.low:.4f}, {line.accuracy.high:.4f}]{spread}",
                f"{line.macro_f1:.4f}",
                difference(line.against),
                line.time,
                f"{line.memory} MB",
                f"{line.splits} of {line.of}, {', '.join(line.origins)}",
            )
            out.append("| " + " | ".join(cells) + " |")
        out.append("")
    whole = whole_process(results)
    machines = sorted({said(r["machine"]) for r in results if isinstance(r.get("settings"), list)})
    return "\n".join([*whole, *out, *(f"Machine: {m}." for m in machines)])


def short(results: Sequence[dict[str, Any]]) -> str:
    """The short table: one row a setting."""
    ran = {competitor for _, runs in collect(results).values() for competitor in runs}
    columns = [c for c in NAMES if c in ran and c != "setfit-head"]
    out = ["| | " + " | ".join(NAMES[c] for c in columns) + " |", "| --- |" + " --- |" * len(columns)]
    for (benchmark, setting), (_, runs) in collect(results).items():
        lines = {line.competitor: line for line in standings(runs)}
        if not any(name.startswith(harness.OURS) for name in lines):
            continue
        best = max(line.accuracy.value for line in lines.values())
        cells = [brief(lines.get(c), best) for c in columns]
        out.append(f"| {benchmark}, {setting} | " + " | ".join(cells) + " |")
    if len(out) == 2:
        return ""
    machines = sorted({said(r["machine"]) for r in results if isinstance(r.get("settings"), list)})
    return "\n".join([*out, "", *whole_process(results), f"{NOTE} Machine: {'; '.join(machines)}."])


Runs = dict[str, dict[int, Run]]


def collect(results: Iterable[dict[str, Any]]) -> dict[tuple[str, str], tuple[str, Runs]]:
    """The newest good run of every competitor on every split, by benchmark and setting."""
    found: dict[tuple[str, str], tuple[str, Runs]] = {}
    for result in results:
        settings = result.get("settings")
        for setting in settings if isinstance(settings, list) else ():  # elsewhere the word means options
            _, runs = found.setdefault((result["benchmark"], setting["setting"]), (setting["published"], {}))
            splits = {
                split["seed"]: {**split, "design": setting["design"], "of": len(setting["splits"])}
                for split in setting["splits"]
            }
            for facts in setting["runs"]:
                if "error" not in facts:
                    runs.setdefault(facts["competitor"], {})[facts["seed"]] = Run(facts, splits[facts["seed"]], result)
    return found


def standings(runs: Runs) -> list[Standing]:
    """Where every competitor stands, in the order of `NAMES`."""
    # Where the whole ladder was not run, the nearest form of ours that was is what the others are compared with.
    us = next((name for name in NAMES if name.startswith(harness.OURS) and name in runs), harness.OURS)
    ours = runs.get(us, {})
    return [standing(name, runs[name], ours if name != us else {}) for name in NAMES if name in runs]


def standing(competitor: str, runs: dict[int, Run], ours: dict[int, Run]) -> Standing:
    """One competitor's splits put together and compared with ours on those that both ran on the same test rows."""
    listed = [runs[seed] for seed in sorted(runs)]
    correct, ids = joined(listed)
    repeated = len(set(ids)) < len(ids)
    both = [
        (ours[s], runs[s]) for s in sorted(runs) if s in ours and ours[s].split["test_sha"] == runs[s].split["test_sha"]
    ]
    against = None
    if both:
        a, groups = joined([pair[0] for pair in both])
        b, _ = joined([pair[1] for pair in both])
        against = compare_accuracy(a, b, groups if len(set(groups)) < len(groups) else None)
    expected = [x for run in listed for x in run.split["expected"]]
    given = [x or "" for run in listed for x in run.facts["given"]]
    single = [run.facts["accuracy"] for run in listed]
    return Standing(
        competitor=competitor,
        splits=len(listed),
        of=listed[0].split["of"],
        accuracy=accuracy(correct, ids) if repeated else wilson(sum(correct), len(correct)),
        spread=float(np.std(single, ddof=1)) if repeated and len(single) > 1 else None,
        macro_f1=float(f1_score(expected, given, labels=sorted(set(expected)), average="macro")),
        against=against,
        wall=float(np.median([run.facts["wall_seconds"] for run in listed])),
        memory=max(max(run.facts["peak_tree_mb"], run.facts["peak_rss_mb"]) for run in listed),
        origins=tuple(sorted({run.origin["commit"] + ("+" if run.origin["dirty"] else "") for run in listed})),
        cut=any((run.facts.get("facts") or {}).get("cut_by_cap") for run in listed),
        busy=any((run.facts.get("load_at_start") or 0.0) > BUSY for run in listed),
    )


def joined(runs: Sequence[Run]) -> tuple[list[bool], list[int]]:
    """Right or wrong for every asked row, and which test row it was."""
    correct: list[bool] = []
    ids: list[int] = []
    for run in runs:
        correct += run.correct
        ids += run.split["test_ids"] or range(len(run.correct))
    return correct, ids


def brief(line: Standing | None, best: float) -> str:
    """A cell of the short table."""
    if line is None:
        return ""
    value = f"{line.accuracy.value:.3f}"
    value = f"**{value}**" if line.accuracy.value >= best - 1e-9 else value
    return f"{value} [{line.accuracy.low:.3f}, {line.accuracy.high:.3f}] · {line.time}"


def difference(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    gap = comparison.difference
    word = "" if comparison.p < ALMOST_SURE else ", not measurable"
    return f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}], p {comparison.p:.2g}{word}"


def whole_process(results: Iterable[dict[str, Any]]) -> list[str]:
    """What `shokunin train` took from a CSV to a published specialist, from its newest result."""
    found = [result for result in results if result["benchmark"] == "whole_process"]
    if not found:
        return []
    new = found[-1]
    memory = max(new["train"]["peak_tree_mb"], new["train"]["peak_rss_mb"])
    parts = [
        f"From `{new['command']}` to a published, replayed specialist: {duration(new['train']['wall_seconds'])}, "
        f"{memory} MB at the peak, accuracy {new['report']['accuracy']:.4f}",
        f"`shokunin --help`: {new['help_seconds']['median']:.2f} s",
    ]
    if new.get("base_install_mb"):
        size = new["base_install_mb"]
        parts.append(f"base install {size['total']} MB, of which the encoder is {size['encoder']} MB")
    return ["; ".join(parts) + f" (commit {new['commit']}{'+' if new['dirty'] else ''}).", ""]


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def said(machine: dict[str, Any]) -> str:
    return f"{machine['cpu']}, {machine['threads']} threads, {machine['memory_gb']:.0f} GB, Python {machine['python']}"


if __name__ == "__main__":
    main()
