"""Runs benchmarks and keeps their results: `python -m benchmarks.run NAME… [--only NAMES] [--seeds N] [--quick]`."""

from __future__ import annotations

import argparse
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import harness, table
from benchmarks.rows import Setting, shrink

BENCHMARKS = ("banking77", "hwu64", "sms_spam", "sib200", "jrte_ja", "medical_abstracts", "sentiment_sentences")


def main(words: list[str] | None = None) -> None:
    options = parse(words)
    failed = 0
    for name in options.names:
        settings = [
            s
            for s in import_module(f"benchmarks.{name}").settings(options.seeds)
            if not options.setting or s.name in options.setting
        ]
        if not settings:
            raise SystemExit(f"{name!r} has no setting {', '.join(options.setting)}")
        failed += run(name, [shrink(s) for s in settings] if options.quick else settings, options)
    raise SystemExit(1 if failed else 0)


def run(name: str, settings: list[Setting], options: argparse.Namespace) -> int:
    """Run one benchmark; the result is written anew after every run, so that an interruption loses one run only."""
    result = harness.record(name, options.quick)
    job = {
        "budget": options.budget,
        "max_steps": options.max_steps,
        "cap_seconds": options.cap,
        "timeout": options.timeout,
    }
    if options.quick:
        job |= {"quick": True, "cap_seconds": 30, "budget": 0.5}
    if options.learners:
        job |= {"learners": options.learners.split(",")}
    failed = 0
    for setting in settings:
        result["settings"].append(harness.setting_record(setting))
        for competitor in options.only:
            if competitor == "setfit-head" and setting.few_shot:
                continue  # the head alone is the bounded form for many rows; with few rows SetFit is what it is
            fewer = options.setfit_splits if competitor.startswith("setfit") else None
            splits = setting.splits[: fewer or options.splits]
            for split in splits:
                one = harness.run(competitor, setting, split, job)
                result["settings"][-1]["runs"].append(one)
                path = harness.write(result, options.out)
                print(f"{name} / {setting.name} / {competitor} / seed {split.seed}: {say(one)}", flush=True)
                failed += "error" in one

    print(table.of_results([harness.read(path)]))
    print(f"written to {path}")
    return failed


def say(one: dict[str, Any]) -> str:
    if "error" in one:
        return f"FAILED after {one['wall_seconds']} s\n{one['error']}"
    scores = f"accuracy {one['accuracy']:.4f}, macro-F1 {one['macro_f1']:.4f}"
    return f"{scores}, {one['wall_seconds']:.1f} s, {one['peak_tree_mb']} MB"


def parse(words: list[str] | None) -> argparse.Namespace:
    say_how = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    say_how.add_argument("names", nargs="+", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}, or all")
    say_how.add_argument(
        "--only",
        default=",".join(c for c in harness.COMPETITORS if c not in harness.BY_NAME),
        help=f"competitors, by default all but {', '.join(harness.BY_NAME)}: %(default)s",
    )
    say_how.add_argument("--setting", action="append", default=[], help="only this setting; may be given several times")
    say_how.add_argument("--seeds", type=int, default=5, help="draws of the training rows where they are drawn")
    say_how.add_argument("--splits", type=int, help="only the first so many draws or folds")
    say_how.add_argument("--setfit-splits", type=int, help="the same for SetFit alone, which is slow")
    say_how.add_argument("--budget", type=float, help="shokunin's budget in minutes; by default its own")
    say_how.add_argument("--learners", help="shokunin's learners, by default its whole ladder")
    say_how.add_argument("--max-steps", type=int, default=2000, help="SetFit's steps where its pairs have no end")
    say_how.add_argument("--cap", type=float, default=1800, help="seconds after which SetFit stops training")
    say_how.add_argument("--timeout", type=float, default=7200, help="seconds after which any run is ended")
    say_how.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    say_how.add_argument(
        "--quick", action="store_true", help="a few rows only, to see whether the scripts run; nothing is kept"
    )
    options = say_how.parse_args(words)
    options.names = list(BENCHMARKS) if options.names == ["all"] else options.names
    for name in options.names:
        if name not in BENCHMARKS:
            say_how.error(f"unknown benchmark {name!r}; expected {', '.join(BENCHMARKS)} or all")
    options.only = options.only.split(",")
    for competitor in options.only:
        if competitor not in harness.COMPETITORS:
            say_how.error(f"unknown competitor {competitor!r}; expected {', '.join(harness.COMPETITORS)}")
        harness.interpreter(competitor)  # says now what is missing, not after an hour
    if options.quick:
        options.out = Path(tempfile.mkdtemp(prefix="benchmark-quick-"))
    return options


if __name__ == "__main__":
    main()
