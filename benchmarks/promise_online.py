"""Does the promise hold while the world changes? Thousands of deployments on real rows that drift.

    python -m benchmarks.promise_online [--deployments 250] [--requests 5000] [--answers FOLDER] [--quick]

A specialist is trained once for each data set, on half of its rows and without a fifth of its labels. A deployment draws
requests from the other half, at random with replacement; what it does with each answer is up to one of the ways below. The
reference is the recorded label, or what a stream makes of it. Streams:

- `steady`: nothing changes;
- `new labels at once`, `… early`, `… slowly`: requests with the labels left out of training come in, 30 % of all from half
  way on, or from the 500th request, or rising from none to 40 %;
- `new labels in bursts`: 30 % in every fourth stretch of 500 requests;
- `two meanings swapped`, `twelve …`: from a third of the way the reference calls one label by another's name, for the most
  frequent labels of the pool in pairs;
- `reference errs`: all the while it says its next likely label (the specialist's, where that differs) for 3 % of requests.

Ways:

- `watch`: `PromiseWatch` with audits that thin out to 10 % of local answers at the least;
- `calibrated`: the calibrated threshold, and no watch;
- `hand-set 0.9`: answers with a confidence of 0.9 or more, and no watch;
- `naive watch`: the calibrated threshold and audits of 10 %; after every audit a Clopper-Pearson interval of those so far;
  hands back when its lower end is above the limit. `shown` says how often the upper end of that interval, which would be
  shown to the owner, was at some time below the true share of disagreements.

The promise is kept if at *every* moment at most 5 % of the first max(n, settle) local answers differ from the reference.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.answered import Answered, all_rows, answers
from benchmarks.rows import Row
from shokunin.files import write_json
from shokunin.metrics import clopper_pearson_upper, wilson
from shokunin.watch.limit import settle_at
from shokunin.watch.promise import PromiseWatch

MAX_ERROR, LEVEL, SETTLE = 0.05, 0.95, settle_at(0.05)
DATA = ("banking77", "hwu64")
LEFT_OUT = 0.2
REFERENCE_ERRS = 0.03

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """What can be asked: rows with labels that were trained on, and rows of labels that were not."""

    known: npt.NDArray[np.int64]
    new: npt.NDArray[np.int64]
    label: npt.NDArray[np.str_]
    value: npt.NDArray[np.str_]
    second: npt.NDArray[np.str_]
    confidence: Floats
    threshold: float


@dataclass
class Outcome:
    """What became of one deployment.

    Attributes:
        given: local answers.
        wrong: those that differ from the reference.
        audits: of them audited.
        kept: whether the promise held at every moment.
        back: number of the request at which everything was handed back, or None.
        wrong_after: local answers that differ, of those since the change.
        shown_wrong: whether a bound that would have been shown was at some time below the truth.
        raised: numbers of the requests at which the threshold was raised, or lowered but not to the calibrated one.
    """

    given: int = 0
    wrong: int = 0
    audits: int = 0
    kept: bool = True
    back: int | None = None
    wrong_after: int = 0
    shown_wrong: bool = False
    raised: list[int] = field(default_factory=list)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--deployments", type=int, default=250, help="for each data set and stream")
    words.add_argument("--requests", type=int, default=5_000, help="in each deployment")
    words.add_argument("--answers", type=Path, help="keep the specialists' answers here, or take them from here")
    words.add_argument("--data", default="", help="only this data set")
    words.add_argument("--quick", action="store_true", help="few short deployments, to try the script; nothing is kept")
    asked = words.parse_args()
    deployments, requests = (4, 2000) if asked.quick else (asked.deployments, asked.requests)
    result = {**harness.record("promise_online", asked.quick), "max_error": MAX_ERROR, "confidence": LEVEL}
    result |= {"settle": SETTLE, "requests": requests, "deployments": deployments, "data": []}
    del result["settings"]
    for name in DATA:
        if asked.data in name:
            result["data"].append(measured(name, deployments, requests, asked.answers))
    if not asked.quick:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = harness.RESULTS / f"promise_online-{stamp}-{result['commit']}.json"
        write_json(path, result)
        print(path)


def measured(name: str, deployments: int, requests: int, keep: Path | None) -> dict[str, Any]:
    """Every stream and way on one data set."""
    pool, about = pool_of(name, keep)
    found = []
    for stream, (make, change) in streams(requests).items():
        start, outcomes = time.perf_counter(), {way: [] for way in WAYS}
        for seed in range(deployments):
            rows, differs = make(pool, np.random.default_rng(seed))
            sure = pool.confidence[rows]
            for way, run in WAYS.items():
                outcomes[way].append(run(pool.threshold, sure, differs, change, seed))
        print(f"{name}, {stream} ({time.perf_counter() - start:.0f} s)")
        for way, of_way in outcomes.items():
            found.append({"stream": stream, "way": way, **summary(of_way, requests, change)})
            print(line(found[-1]), flush=True)
    return {"data": name, **about, "outcomes": found}


def pool_of(name: str, keep: Path | None) -> tuple[Pool, dict[str, Any]]:
    """Half of the rows of four fifths of the labels train; the rest is asked."""
    rows: list[Row] = [row for part in all_rows(name) for row in part]
    labels = sorted({label for _, label in rows})
    rng = random.Random(0)
    left_out = set(rng.sample(labels, round(LEFT_OUT * len(labels))))
    known = [row for row in rows if row[1] not in left_out]
    rng.shuffle(known)
    half = len(known) // 2
    seen = {text for text, _ in known[:half]}
    asked = [row for row in (*known[half:], *(r for r in rows if r[1] in left_out)) if row[0] not in seen]
    made: Answered = answers(f"{name}-online", known[:half], asked, max_error=MAX_ERROR, keep=keep)
    label = np.asarray(made.label)
    is_new = np.isin(label, sorted(left_out))
    confidence = np.asarray(made.confidence)
    pool = Pool(
        np.flatnonzero(~is_new), np.flatnonzero(is_new), label, np.asarray(made.value), np.asarray(made.second), confidence,
        made.threshold,
    )  # fmt: skip
    given = confidence >= made.threshold
    wrong = label != pool.value
    about = {
        "trained_on": made.trained_on,
        "learner": made.learner,
        "promise": made.promise,
        "pool_rows": len(pool.known),
        "pool_rows_of_new_labels": len(pool.new),
        "labels": len(labels) - len(left_out),
        "new_labels": len(left_out),
        "answered": round(float(given[pool.known].mean()), 4),
        "wrong_of_answered": round(float(wrong[pool.known][given[pool.known]].mean()), 4),
        "new_answered": round(float(given[pool.new].mean()), 4),
    }
    print(about, flush=True)
    return pool, about


Stream = Callable[[Pool, np.random.Generator], tuple[npt.NDArray[np.int64], Bools]]
"""The rows that are asked, and whether the specialist's answer differs from the reference's."""


def streams(requests: int) -> dict[str, tuple[Stream, int]]:
    """How each stream is made, and at which request it changes (0: never, or always)."""
    at = np.arange(requests)
    half, third = requests // 2, requests // 3
    return {
        "steady": (_mixed(np.zeros(requests)), 0),
        "new labels at once": (_mixed(np.where(at < half, 0.0, 0.3)), half),
        "new labels early": (_mixed(np.where(at < 500, 0.0, 0.3)), 500),
        "new labels slowly": (_mixed(0.4 * at / requests), 0),
        "new labels in bursts": (_mixed(np.where(at // 500 % 4 == 3, 0.3, 0.0)), 1500),
        "two meanings swapped": (_relabelled(requests, third, 1), third),
        "twelve meanings swapped": (_relabelled(requests, third, 6), third),
        "reference errs": (_erring(requests), 0),
    }


def _mixed(share_of_new: Floats) -> Stream:
    def make(pool: Pool, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], Bools]:
        new = rng.random(len(share_of_new)) < share_of_new
        rows = np.where(new, rng.choice(pool.new, len(new)), rng.choice(pool.known, len(new)))
        return rows, pool.label[rows] != pool.value[rows]

    return make


def _relabelled(requests: int, change: int, pairs: int) -> Stream:
    def make(pool: Pool, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], Bools]:
        rows = rng.choice(pool.known, requests)
        names, counts = np.unique(pool.label[pool.known], return_counts=True)
        frequent = names[np.argsort(-counts, kind="stable")][: 2 * pairs]
        swapped: dict[str, str] = {}
        for a, b in zip(frequent[::2], frequent[1::2], strict=True):
            swapped |= {a: b, b: a}
        of_row = np.asarray([swapped.get(label, label) for label in pool.label])
        reference = np.where(np.arange(requests) < change, pool.label[rows], of_row[rows])
        return rows, reference != pool.value[rows]

    return make


def _erring(requests: int) -> Stream:
    def make(pool: Pool, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], Bools]:
        rows = rng.choice(pool.known, requests)
        label, value, second = pool.label[rows], pool.value[rows], pool.second[rows]
        near = np.where(value != label, value, second)
        reference = np.where(rng.random(requests) < REFERENCE_ERRS, near, label)
        return rows, reference != value

    return make


def watched(share: float) -> Callable[..., Outcome]:
    """`PromiseWatch` with this audit share; audits return at once."""

    def run(threshold: float, sure: Floats, differs: Bools, change: int, seed: int) -> Outcome:
        made, watch = Outcome(), PromiseWatch(
            max_error=MAX_ERROR, confidence=LEVEL, threshold=threshold, audit_share=share, rng=random.Random(seed),
            settle=SETTLE,
        )  # fmt: skip
        for i, (confidence, differs_here) in enumerate(zip(sure.tolist(), differs.tolist(), strict=True)):
            decision = watch.decide(confidence)
            if decision.give:
                _count(made, differs_here, i >= change)
                if decision.audit:
                    made.audits += 1
                    watch.audited(decision.rate, not differs_here, confidence, term=decision.term)
            else:
                watch.compared(confidence, not differs_here)
            for event in watch.take_events():
                if event.after == "handed_back":
                    made.back = i
                    return made
                if event.threshold > threshold:
                    made.raised.append(i)
        return made

    return run


def at_threshold(fixed: float | None) -> Callable[..., Outcome]:
    """A threshold, by default the calibrated one, and nothing else."""

    def run(threshold: float, sure: Floats, differs: Bools, change: int, seed: int) -> Outcome:
        given = sure >= (threshold if fixed is None else fixed)
        wrong = given & differs
        n, s = np.cumsum(given), np.cumsum(wrong)
        kept = bool((s <= MAX_ERROR * np.maximum(n, SETTLE) + 1e-9).all())
        return Outcome(int(n[-1]), int(s[-1]), 0, kept, wrong_after=int(wrong[change:].sum()))

    return run


def naive(threshold: float, sure: Floats, differs: Bools, change: int, seed: int) -> Outcome:
    """Audits a tenth and looks at a Clopper-Pearson interval after each."""
    made, coin, seen, bad = Outcome(), random.Random(seed), 0, 0
    for i, (confidence, differs_here) in enumerate(zip(sure.tolist(), differs.tolist(), strict=True)):
        if confidence < threshold:
            continue
        _count(made, differs_here, i >= change)
        if coin.random() < 0.1:
            made.audits, seen, bad = made.audits + 1, seen + 1, bad + differs_here
            upper = clopper_pearson_upper(bad, seen, 1 - LEVEL)
            made.shown_wrong |= upper < made.wrong / made.given
            # The lower end, by symmetry.
            if 1 - clopper_pearson_upper(seen - bad, seen, 1 - LEVEL) > MAX_ERROR:
                made.back = i
                return made
    return made


WAYS: dict[str, Callable[..., Outcome]] = {
    "watch": watched(0.1),
    "calibrated": at_threshold(None),
    "hand-set 0.9": at_threshold(0.9),
    "naive watch": naive,
}


def _count(made: Outcome, differs: bool, after: bool) -> None:
    made.given += 1
    if differs:
        made.wrong += 1
        made.wrong_after += after
        if made.wrong > MAX_ERROR * max(made.given, SETTLE) + 1e-9:
            made.kept = False


def summary(outcomes: Sequence[Outcome], requests: int, change: int) -> dict[str, Any]:
    """Over deployments: how often the promise was kept, and what that took."""
    kept = wilson(sum(o.kept for o in outcomes), len(outcomes))
    error = [o.wrong / o.given for o in outcomes if o.given]
    back = [o.back for o in outcomes if o.back is not None]
    too_soon = sum(b < change for b in back)
    raised = [min(after) for o in outcomes if (after := [i for i in o.raised if i >= change])]
    acts = [[i - change for i in (*o.raised, *([] if o.back is None else [o.back])) if i >= change] for o in outcomes]
    acted = [min(after) for after in acts if after]
    handed = [b - change for b in back if b >= change]
    return {
        "deployments": len(outcomes),
        "kept": round(kept.value, 4),
        "kept_low": round(kept.low, 4),
        "kept_high": round(kept.high, 4),
        "error": round(float(np.mean(error)), 4) if error else None,
        "error_p95": round(float(np.quantile(error, 0.95)), 4) if error else None,
        "answered": round(float(np.mean([o.given / requests for o in outcomes])), 4),
        "audited": round(float(np.mean([o.audits / max(1, o.given) for o in outcomes])), 4),
        "wrong_after_change": round(float(np.mean([o.wrong_after for o in outcomes])), 1),
        "tightened": round(len(raised) / len(outcomes), 4),
        "handed_back": round(len(back) / len(outcomes), 4),
        "requests_until_first_act": round(float(np.median(acted))) if acted else None,
        "handed_back_before_change": round(too_soon / len(outcomes), 4),
        "requests_until_handed_back": round(float(np.median(handed))) if handed else None,
        "shown_bound_wrong": round(float(np.mean([o.shown_wrong for o in outcomes])), 4),
    }


def line(found: dict[str, Any]) -> str:
    """One way, readable."""
    error = "–" if found["error"] is None else f"{100 * found['error']:.1f} %"
    return (
        f"  {found['way']:<13} kept in {100 * found['kept']:5.1f} %, answers {100 * found['answered']:5.1f} %, of those wrong "
        f"{error}, audited {100 * found['audited']:5.1f} %, tightened in {100 * found['tightened']:5.1f} %, handed back in "
        f"{100 * found['handed_back']:5.1f} %, first act after {found['requests_until_first_act']}"
    )


if __name__ == "__main__":
    main()
