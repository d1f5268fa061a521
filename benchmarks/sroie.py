"""Four fields from 626 scanned receipts (SROIE 2019), five folds by id modulo 5: the cheap rungs against trivial baselines.

The learners' settings were chosen on the training part of fold 0 alone (receipts whose id modulo 5 is not 0); fold 0 is therefore
also shown by itself. "Unseen shops" are the receipts whose company no receipt of their training part has.

`fields_by_member` needs rows to choose by: of each training part four fifths teach and the rest chooses. `field_tagger` and
`field_candidates_four_fifths` learn from the same four fifths, so that the three differ in nothing else. Tuning an encoder
takes minutes; `--folds 0,1` keeps it short.
`python -m benchmarks.sroie [--only NAME,…] [--folds N,…] [--quick]`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.rows import data_file
from shokunin.dataset import Example
from shokunin.engines import engine_for
from shokunin.fields.amounts import find_amounts
from shokunin.fields.dates import find_dates
from shokunin.fields.normalise import is_missing
from shokunin.fields.places import Places
from shokunin.fields.scoring import f1, field_scores
from shokunin.fields.spelling import key, tidy
from shokunin.files import read_json, write_json
from shokunin.forms import Document, Field, FieldLessons, Line
from shokunin.pipeline.by_member import Member, fields_by_member
from shokunin.pipeline.judged import judged_by
from shokunin.progress import silent
from shokunin.task import Task
from shokunin.tasks.extract_fields import codec
from shokunin.train import learner
from shokunin.weights import Weights

FOLDS = 5
DRAWS = 2_000
REFERENCE, SAME_LESSONS = "field_candidates_four_fifths", ("field_tagger", "fields_by_member")
FIELDS = (Field("company"), Field("address"), Field("date", "date"), Field("total", "money"))
NAMES = tuple(f.name for f in FIELDS)
Answers = list[dict[str, Any]]
PUBLISHED = (
    "on the official test set, so only roughly comparable: LayoutLM 0.952 (Xu et al. 2020), "
    "character LSTM 0.756 (the repository that carries the data)"
)


@dataclass(frozen=True)
class Receipts:
    """n receipts: what they say, what was asked for, and the fold each is tested in."""

    documents: tuple[Document, ...]
    expected: tuple[dict[str, Any], ...]
    fold: np.ndarray


@dataclass(frozen=True)
class Given:
    """What one competitor answered to one fold, and what that cost."""

    answers: Answers
    facts: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(COMPETITORS), help="competitors, parted by commas")
    parser.add_argument("--folds", default=",".join(map(str, range(FOLDS))), help="folds to test, parted by commas")
    parser.add_argument(
        "--keep", type=Path, help="a folder for weights, so that a run that was stopped need not learn again"
    )
    parser.add_argument("--quick", action="store_true", help="one fold, to see whether it runs")
    arguments = parser.parse_args()
    _PLACE.extend([arguments.keep] if arguments.keep else [])
    receipts = read_receipts()
    folds = [0] if arguments.quick else [int(number) for number in arguments.folds.split(",")]
    result: dict[str, Any] = {
        **harness.record("sroie", arguments.quick),
        "receipts": len(receipts.documents),
        "folds": folds,
        "published": PUBLISHED,
        "compared": "date as a date, total as a number, texts by letters and digits (case, blanks, punctuation ignored)",
        "competitors": {},
    }
    result.pop("settings")
    stamp = result["created"].replace("-", "").replace(":", "")
    path = harness.RESULTS / f"sroie-{stamp}-{result['commit']}.json"
    tested = np.flatnonzero(np.isin(receipts.fold, folds))
    counts: dict[str, np.ndarray] = {}
    for name in arguments.only.split(","):
        answers: Answers = [{} for _ in receipts.documents]
        runs = []
        for fold in folds:
            test = np.flatnonzero(receipts.fold == fold)
            given = COMPETITORS[name](receipts, np.flatnonzero(receipts.fold != fold), test)
            for i, answer in zip(test, given.answers, strict=True):
                answers[i] = answer
            runs.append({"fold": fold, **given.facts})
        counts[name] = counts_of(receipts, answers, tested)
        result["competitors"][name] = {**measured(receipts, answers, tested), "runs": runs}
        if REFERENCE in counts and name in SAME_LESSONS:
            result["competitors"][name]["ahead_of_" + REFERENCE] = ahead(counts[name], counts[REFERENCE])
        if not arguments.quick:
            write_json(path, result)
        print(name, json.dumps({k: v for k, v in result["competitors"][name].items() if k != "right"}, indent=1))
    if not arguments.quick:
        print(f"written to {path.name}")


def read_receipts() -> Receipts:
    """All receipts in the file's order; a value that is empty there is one that nobody found."""
    with data_file("sroie_receipts", "receipts.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    documents = tuple(Document(tuple(Line(x["text"], tuple(x["box"])) for x in row["lines"])) for row in rows)
    expected = tuple({n: row["fields"].get(n) or None for n in NAMES} for row in rows)
    return Receipts(documents, expected, np.asarray([int(row["id"]) % FOLDS for row in rows]))


def trained(
    name: str, boxes: bool = True, most: int | None = None, **options: Any
) -> Callable[[Receipts, np.ndarray, np.ndarray], Given]:
    """A competitor: a learner with these options, on documents with or without boxes, on at most so many lessons."""

    def run(receipts: Receipts, train: np.ndarray, test: np.ndarray) -> Given:
        documents = receipts.documents if boxes else tuple(map(_without_boxes, receipts.documents))
        train = train if most is None else np.sort(np.random.default_rng(0).permutation(train)[:most])
        lessons = FieldLessons(
            tuple(documents[i] for i in train), tuple(receipts.expected[i] for i in train), FIELDS, train
        )
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            module = learner(name)
            began, cpu = time.perf_counter(), time.process_time()
            weights = module.fit(lessons, module.Options(**options), Path(folder), seed=0, progress=silent)
            facts: dict[str, Any] = {
                "fit_seconds": round(time.perf_counter() - began, 2),
                "fit_cpu_seconds": round(time.process_time() - cpu, 2),
                "size_bytes": weights.size_bytes(),
            }
            began = time.perf_counter()
            session = engine_for(weights.format).load(weights, threads=1)
            facts["load_seconds"] = round(time.perf_counter() - began, 3)
            session.run([documents[train[0]]])
            answers, wall, busy = [], [], []
            for i in test:
                began, cpu = time.perf_counter(), time.process_time()
                found = session.run([documents[i]])[0]
                wall.append(time.perf_counter() - began)
                busy.append(time.process_time() - cpu)
                answers.append({f: told.value for f, told in found.items()})
        for what, seconds in (("latency_ms", wall), ("latency_cpu_ms", busy)):
            facts[what] = {f"p{q}": round(float(np.percentile(seconds, q)) * 1000, 2) for q in (50, 95)}
        return Given(answers, facts)

    return run


def on_four_fifths(name: str) -> Callable[[Receipts, np.ndarray, np.ndarray], Given]:
    """A competitor: a learner with its defaults on four fifths of the training part."""

    def run(receipts: Receipts, train: np.ndarray, test: np.ndarray) -> Given:
        fitted = _fitted(name, receipts, train, test)
        answers = [{f: told.value for f, told in fitted.raw[i].items()} for i in test]
        return Given(answers, fitted.facts)

    return run


def by_member(receipts: Receipts, train: np.ndarray, test: np.ndarray) -> Given:
    """Both learners, each field read by those that read it best on the last fifth of the training part."""
    chosen_by = train[~_four_fifths(train)]
    fitted = [_fitted(name, receipts, train, test) for name in ("field_candidates", "field_tagger")]
    task = Task("receipts", "extract_fields", ("text",), options={"fields": {f.name: f.type for f in FIELDS}})
    examples = [
        Example({"text": receipts.documents[i].text}, json.dumps(receipts.expected[i]), str(i), int(i))
        for i in chosen_by
    ]
    judged = judged_by(examples, codec(task, Path()), "field_f1", labels=False)
    members = [Member(f.weights.format, f.weights, [f.raw[i] for i in chosen_by]) for f in fitted]
    made = fields_by_member(members, judged, np.ones(len(judged), bool), 0)
    if made is None:
        right = [float(judged.score(m.raw, 0).value) for m in members]
        best = fitted[int(np.argmax(right))]
        return Given(
            [{f: t.value for f, t in best.raw[i].items()} for i in test], {"read_by": "one for all", "chosen_by": right}
        )
    names = [name for name, _ in made[0].members]
    session = made[0].session()
    answers, wall = [], []
    for i in test:
        began = time.perf_counter()
        found = session.run([receipts.documents[i]])[0]
        wall.append(time.perf_counter() - began)
        answers.append({f: told.value for f, told in found.items()})
    facts = {
        "read_by": {f: [names[n] for n in readers] for f, readers in made[0].plan.fields.items()},
        "asked_where_chosen": dict(zip(names, (round(share, 4) for share in made[2]), strict=True)),
        "size_bytes": made[0].size_bytes(),
        "latency_ms": {f"p{q}": round(float(np.percentile(wall, q)) * 1000, 2) for q in (50, 95)},
    }
    return Given(answers, facts)


@dataclass(frozen=True)
class Fitted:
    """A learner's weights, what it finds in the receipts that choose or test (by number), and what that cost."""

    weights: Weights
    raw: dict[int, Any]
    facts: dict[str, Any]


_KEPT: dict[tuple[str, bytes], Fitted] = {}
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
_PLACE: list[Path] = []


def _fitted(name: str, receipts: Receipts, train: np.ndarray, test: np.ndarray) -> Fitted:
    """The learner on four fifths of the training part; once for all competitors that need it."""
    known = (name, train.tobytes())
    if known not in _KEPT:
        fifths = _four_fifths(train)
        rows = train[fifths]
        lessons = FieldLessons(
            tuple(receipts.documents[i] for i in rows), tuple(receipts.expected[i] for i in rows), FIELDS, rows
        )
        weights, facts = _learned(name, lessons, rows)
        session = engine_for(weights.format).load(weights, threads=1)
        raw, wall, busy = {}, [], []
        for i in [*train[~fifths], *test]:
            began, cpu = time.perf_counter(), time.process_time()
            raw[int(i)] = session.run([receipts.documents[i]])[0]
            wall.append(time.perf_counter() - began)
            busy.append(time.process_time() - cpu)
        for what, seconds in (("latency_ms", wall), ("latency_cpu_ms", busy)):
            facts[what] = {f"p{q}": round(float(np.percentile(seconds, q)) * 1000, 2) for q in (50, 95)}
        _KEPT[known] = Fitted(weights, raw, facts)
    return _KEPT[known]


def _learned(name: str, lessons: FieldLessons, rows: np.ndarray) -> tuple[Weights, dict[str, Any]]:
    """The learner's weights and what they cost; with `--keep` from there, if they were left there by an earlier run."""
    if _PLACE:
        place = _PLACE[0] / f"{name}-{hashlib.sha256(rows.tobytes()).hexdigest()[:12]}"
    else:
        _FOLDERS.append(tempfile.TemporaryDirectory(prefix="benchmark-"))
        place = Path(_FOLDERS[-1].name)
    about = place / "about.json"
    if not about.exists():
        (place / "weights").mkdir(parents=True)
        module = learner(name)
        began, cpu = time.perf_counter(), time.process_time()
        weights = module.fit(lessons, module.Options(), place / "weights", seed=0, progress=silent)
        told = {"epochs", "held_back", "not_in_the_document", "max_length", "windows", "training_precision"}
        facts = {
            "lessons": len(rows),
            "fit_seconds": round(time.perf_counter() - began, 1),
            "fit_cpu_seconds": round(time.process_time() - cpu, 1),
            "size_bytes": weights.size_bytes(),
            **{what: told_of for what, told_of in weights.facts.items() if what in told},
        }
        write_json(about, {"form": weights.form, "format": weights.format, "facts": facts})
    kept = read_json(about)
    return Weights(place / "weights", kept["form"], kept["format"], True, kept["facts"]), kept["facts"]


def _four_fifths(train: np.ndarray) -> np.ndarray:
    """Which rows of a training part are learned from where the others choose."""
    return np.random.default_rng(0).permutation(len(train)) >= len(train) // 5


def regular_expressions(receipts: Receipts, train: np.ndarray, test: np.ndarray) -> Given:
    """What one writes in an hour: first line, lines 2 to 4, first date, largest amount on a row that says "total"."""
    return Given([_by_rule(receipts.documents[i]) for i in test], {})


def majority(receipts: Receipts, train: np.ndarray, test: np.ndarray) -> Given:
    """For every receipt the most frequent value of each field."""
    usual = {n: Counter(receipts.expected[i][n] for i in train).most_common(1)[0][0] for n in NAMES}
    return Given([usual] * len(test), {})


def measured(receipts: Receipts, answers: Answers, tested: np.ndarray) -> dict[str, Any]:
    """Scores with 95 % intervals (bootstrap over receipts), and for each receipt which fields were right."""
    expected = [receipts.expected[i] for i in tested]
    given = [answers[i] for i in tested]
    unseen = np.asarray([_is_unseen(receipts, i) for i in tested])
    fold = receipts.fold[tested]
    scores = field_scores(FIELDS, expected, given)
    right = {n: scores.counts[n][:, 0].astype(bool) for n in NAMES}
    counts = np.stack([scores.counts[n] for n in NAMES])
    draws = np.random.default_rng(0).integers(0, len(tested), (DRAWS, len(tested)))
    out: dict[str, Any] = {
        "mean_f1": _interval(counts, draws),
        "f1": {n: _interval(counts[[k]], draws) for k, n in enumerate(NAMES)},
        "all_right": _share(scores.exact, draws),
        "mean_f1_fold_0": round(_mean_f1(counts[:, fold == 0]), 4),
        "unseen_shops": {
            "receipts": int(unseen.sum()),
            "mean_f1": round(_mean_f1(counts[:, unseen]), 4),
            "f1": {n: round(f1(counts[k, unseen].sum(0)), 4) for k, n in enumerate(NAMES)},
            "all_right": round(float(scores.exact[unseen].mean()), 4),
        },
        "spelled_alike": _spelling(expected, given, lambda n, v: tidy(v).upper() if n in ("company", "address") else v),
        "letter_for_letter": _spelling(expected, given, lambda n, v: v),
        "right": {n: "".join("01"[int(r)] for r in right[n]) for n in NAMES},
    }
    return out


def _spelling(expected: Sequence[dict[str, Any]], given: Answers, spell: Callable[[str, str], str]) -> dict[str, float]:
    """Shares of receipts whose value is the same after `spell`, by field, and their mean."""
    out = {}
    for name in NAMES:
        pairs = [(e[name], g.get(name)) for e, g in zip(expected, given, strict=True)]
        same = [a == b if is_missing(a) or is_missing(b) else spell(name, a) == spell(name, str(b)) for a, b in pairs]
        out[name] = round(float(np.mean(same)), 4)
    return {**out, "mean": round(float(np.mean(list(out.values()))), 4)}


def counts_of(receipts: Receipts, answers: Answers, tested: np.ndarray) -> np.ndarray:
    """Right, made up and missed, shape (fields, n, 3)."""
    scores = field_scores(FIELDS, [receipts.expected[i] for i in tested], [answers[i] for i in tested])
    return np.stack([scores.counts[n] for n in NAMES])


def ahead(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Mean F1 of a less that of b on the same receipts, with its interval (paired bootstrap); by field too."""
    n = a.shape[1]
    draws = np.random.default_rng(0).integers(0, n, (DRAWS, n))

    def drawn(counts: np.ndarray) -> np.ndarray:
        summed = np.stack([part[draws].sum(axis=1) for part in counts])
        return 2 * summed[..., 0] / np.maximum(2 * summed[..., 0] + summed[..., 1] + summed[..., 2], 1)

    apart = drawn(a) - drawn(b)
    low, high = np.quantile(apart.mean(axis=0), [0.025, 0.975])
    return {
        "mean_f1": {
            "value": round(_mean_f1(a) - _mean_f1(b), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
        },
        "f1": {name: round(_mean_f1(a[[k]]) - _mean_f1(b[[k]]), 4) for k, name in enumerate(NAMES)},
    }


def _interval(counts: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """Mean F1 over the fields of `counts` (fields, n, 3), with its interval."""
    summed = np.stack([part[draws].sum(axis=1) for part in counts])
    drawn = (2 * summed[..., 0] / np.maximum(2 * summed[..., 0] + summed[..., 1] + summed[..., 2], 1)).mean(axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"value": round(_mean_f1(counts), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def _share(flags: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(flags[draws].mean(axis=1), [0.025, 0.975])
    return {"value": round(float(flags.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def _mean_f1(counts: np.ndarray) -> float:
    return float(np.mean([f1(part.sum(axis=0)) for part in counts]))


def _is_unseen(receipts: Receipts, row: int) -> bool:
    mine = key(receipts.expected[row]["company"] or "")
    others = np.flatnonzero(receipts.fold != receipts.fold[row])
    return mine not in {key(receipts.expected[i]["company"] or "") for i in others}


def _by_rule(document: Document) -> dict[str, Any]:
    page = Places(document)
    dates = find_dates(page.text)
    rows = [" ".join(page.lines[i] for i in row) for row in page.rows]
    said = [a for text in rows if re.search(r"total", text, re.I) for a in find_amounts(text) if a.decimals == 2]
    amounts = said or [a for a in find_amounts(page.text) if a.decimals == 2]
    return {
        "company": page.lines[0] if page.lines else None,
        "address": " ".join(page.lines[1:4]) or None,
        "date": page.text[dates[0].start : dates[0].end] if dates else None,
        "total": str(max(a.value for a in amounts)) if amounts else None,
    }


def _without_boxes(document: Document) -> Document:
    return Document(tuple(Line(line.text) for line in document.lines))


COMPETITORS: dict[str, Callable[[Receipts, np.ndarray, np.ndarray], Given]] = {
    "majority": majority,
    "regular_expressions": regular_expressions,
    "field_candidates": trained("field_candidates"),
    "field_candidates_without_memory": trained("field_candidates", memory=False),
    "field_candidates_without_boxes": trained("field_candidates", boxes=False),
    "field_candidates_100_lessons": trained("field_candidates", most=100),
    "field_candidates_four_fifths": on_four_fifths("field_candidates"),
    "field_tagger": on_four_fifths("field_tagger"),
    "fields_by_member": by_member,
}

if __name__ == "__main__":
    main()
