"""Quality against the share that is passed to the large model, on real rows.

    python -m benchmarks.escalation [--answers FOLDER] [--only banking77]

**Specialist and large model** (banking77, hwu64; official split). The specialist is trained on the training rows. The large
model is the recorded label with 3 % errors, each one of the three labels whose training texts are most alike (TF-IDF
centroids). Right is the recorded label. Rows are passed on from the least sure. Beside it: rows passed on at random, and
an oracle that passes on first what the specialist gets wrong. Marked: the thresholds that risk control promises from validation
rows, and hand-set ones. Test rows are only counted on. `APGR` is the area under the share of the gap between the two models
that is closed, `CPT(80 %)` the share passed on that closes 80 % of it (Ong et al., arXiv 2406.18665).

**Two large models** (routellm_eval): per question, whether the weak and the strong one are right. A router learns from outcomes
of other questions which of both is right (four labels) and ranks by P(only the strong) - P(only the weak). Five folds, drawn
within domains (a business that has outcomes of the same sort of requests) or by whole domains (it has not). Rows that the source
marks as contaminated are left out. The data holds no scores of the published routers, so they cannot be shown beside ours.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupKFold, StratifiedKFold

from benchmarks import harness
from benchmarks.answered import LEARNERS, Answered, all_rows, answers
from benchmarks.curve_plot import Curve, page
from benchmarks.rows import Row, data_file
from shokunin.encoders.base_models import DEFAULT_ENCODER, resolve
from shokunin.encoders.linear_head import fit_linear_head
from shokunin.encoders.text_encoder import TextEncoder
from shokunin.engines import engine_for
from shokunin.files import write_json, write_text
from shokunin.forms import TextLessons
from shokunin.metrics import mcnemar, wilson
from shokunin.pipeline.mixing import fit_shares
from shokunin.progress import silent
from shokunin.prove.calibrate import fit_temperature, promise
from shokunin.train import learner

NOISE, NEAR, DRAWS = 0.03, 3, 200
LIMITS = (0.02, 0.03, 0.05, 0.1)
HAND_SET = (0.9, 0.8)
SHARES = np.linspace(0, 1, 101)
NEIGHBOURS = 100
RESAMPLES = 300

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--answers", type=Path, help="keep answers and embeddings here, or take them from here")
    words.add_argument("--only", default="", help="only the data sets with this in their name; nothing is kept")
    asked = words.parse_args()
    result = harness.record("escalation", quick=bool(asked.only))
    del result["settings"]
    result |= {"noise": NOISE, "cascades": [], "routers": []}
    plots: list[tuple[str, list[Curve]]] = []
    for name in ("banking77", "hwu64"):
        if asked.only in name:
            found, curves = cascade(name, asked.answers)
            result["cascades"].append(found)
            plots.append((f"{name}: specialist, then large model", curves))
    if asked.only in "routellm_eval":
        for found, curves in routers(asked.answers):
            result["routers"].append(found)
            plots.append((f"{found['benchmark']}, folds {found['folds']}: weak or strong model", curves))
    if not asked.only:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = harness.RESULTS / f"escalation-{stamp}-{result['commit']}.json"
        write_json(path, result)
        write_text(path.with_suffix(".svg"), page(plots))
        print(path)


def cascade(name: str, keep: Path | None) -> tuple[dict[str, Any], list[Curve]]:
    """One specialist in front of a large model that errs in 3 % of the rows."""
    train, test = all_rows(name)
    made = answers(name, train, test, max_error=0.05, keep=keep)
    label, value, sure = np.asarray(made.label), np.asarray(made.value), np.asarray(made.confidence)
    right = label == value
    near = near_labels(train)
    rng = np.random.default_rng(0)
    # The large model's answers, drawn anew so often that its luck does not matter; shape (draws, rows).
    errs = rng.random((DRAWS, len(label))) < NOISE
    others = np.asarray([[near[x][i] for x in made.label] for i in range(NEAR)])
    reference = np.where(errs, others[rng.integers(0, NEAR, errs.shape), np.arange(len(label))], label)
    upstream = (reference == label).mean(axis=0)
    by_confidence = gain_curve(-sure, right.astype(float), upstream)
    oracle = gain_curve((~right).astype(float), right.astype(float), upstream)
    low, high = float(right.mean()), float(upstream.mean())
    marks = [
        {"way": f"promised: at most {100 * limit:g} %", **mark(made, threshold, right, upstream, reference)}
        for limit in LIMITS
        if (threshold := promised(made, limit)) <= 1
    ]
    marks += [{"way": f"hand-set {t}", **mark(made, t, right, upstream, reference)} for t in HAND_SET]
    found = {
        "data": name,
        "learner": made.learner,
        "rows": len(label),
        "specialist": wilson(int(right.sum()), len(right)).__dict__,
        "large_model": round(high, 4),
        "apgr": round(apgr(by_confidence, low, high), 4),
        "cpt80": cpt(by_confidence, low, high, 0.8),
        "cpt50": cpt(by_confidence, low, high, 0.5),
        "apgr_oracle": round(apgr(oracle, low, high), 4),
        "best_quality": round(float(by_confidence.max()), 4),
        "best_quality_at": round(float(SHARES[by_confidence.argmax()]), 2),
        "marks": marks,
        "curve": [round(float(q), 5) for q in by_confidence],
    }
    print(name, {k: v for k, v in found.items() if k not in ("marks", "curve")})
    for one in marks:
        print("  ", one, flush=True)
    curves = [
        Curve("by confidence", SHARES, by_confidence, [(m["way"], m["escalated"], m["quality"]) for m in marks]),
        Curve("at random", SHARES, low + (high - low) * SHARES),
        Curve("oracle", SHARES, oracle),
    ]
    return found, curves


def near_labels(train: Sequence[Row]) -> dict[str, list[str]]:
    """For each label the three whose training texts are most alike, nearest first."""
    names = sorted({label for _, label in train})
    texts = [" ".join(text for text, label in train if label == name) for name in names]
    rows = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    alike = (rows @ rows.T).toarray() - 2 * np.eye(len(names))
    return {name: [names[j] for j in np.argsort(-alike[i])[:NEAR]] for i, name in enumerate(names)}


def promised(made: Answered, limit: float) -> float:
    """The threshold for another limit, from the validation rows that carry the specialist's own promise."""
    if limit == made.promise["bound"]:
        return made.threshold
    sure = np.asarray([c for c, _ in made.tested])
    right = np.asarray([r for _, r in made.tested])
    # The validation rows chose among the ladder's rungs and their mixtures.
    found = promise(sure, right, max_error=limit, confidence_level=0.95, candidates=len(LEARNERS) + 1)
    return found.threshold


def mark(
    made: Answered, threshold: float, right: Bools, upstream: Floats, reference: npt.NDArray[np.str_]
) -> dict[str, Any]:
    """What one threshold comes to on the test rows."""
    local = np.asarray(made.confidence) >= threshold
    n, wrong = int(local.sum()), int((~right)[local].sum())
    error = wilson(wrong, n)
    together = np.where(local, right, reference[0] == np.asarray(made.label))
    alone = reference[0] == np.asarray(made.label)
    return {
        "threshold": round(threshold, 4),
        "escalated": round(1 - n / len(local), 4),
        "quality": round(float(np.where(local, right, upstream).mean()), 4),
        "quality_of_large_model": round(float(upstream.mean()), 4),
        "p_equal": round(mcnemar(together, alone), 4),
        "wrong_of_local": round(error.value, 4),
        "wrong_low": round(error.low, 4),
        "wrong_high": round(error.high, 4),
        "differs_from_large_model": round(float((reference != np.asarray(made.value))[:, local].mean()), 4),
    }


def gain_curve(score: Floats, weak: Floats, strong: Floats) -> Floats:
    """Mean quality when the rows with the highest scores go to the strong model, at each share of `SHARES`."""
    order = np.argsort(-score, kind="stable")
    steps = np.concatenate([[0.0], np.cumsum((strong - weak)[order])]) / len(score)
    return np.asarray(weak.mean() + np.interp(SHARES * len(score), np.arange(len(score) + 1), steps))


def apgr(curve: Floats, low: float, high: float) -> float:
    """The area under the share of the gap that is closed; 0.5 at random."""
    return float(np.trapezoid((curve - low) / (high - low), SHARES))


def cpt(curve: Floats, low: float, high: float, closed: float) -> float | None:
    """The smallest share sent to the strong model that closes so much of the gap."""
    enough = np.flatnonzero(curve >= low + closed * (high - low) - 1e-12)
    return round(float(SHARES[enough[0]]), 2) if len(enough) else None


def routers(keep: Path | None) -> Iterator[tuple[dict[str, Any], list[Curve]]]:
    """Routers on routellm_eval, for both ways to draw folds and both benchmarks."""
    with data_file("routellm_eval", "outcomes.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["contaminated"] == "0"]
    prompts, domains = [r["prompt"] for r in rows], np.asarray([r["domain"] for r in rows])
    weak, strong = (np.asarray([r[key] == "1" for r in rows]) for key in ("mixtral_8x7b_correct", "gpt4_1106_correct"))
    outcomes = (weak + 2 * strong).astype(np.int64)
    embeddings = embedded(prompts, keep)
    ways = {
        "within domains": StratifiedKFold(5, shuffle=True, random_state=0).split(prompts, domains),
        "by domain": GroupKFold(5).split(prompts, outcomes, domains),
    }
    for folds, splits in ways.items():
        scores: dict[str, Floats] = {}
        for fold, (train, test) in enumerate(splits):
            for router, score in fold_scores(prompts, embeddings, domains, outcomes, train, test, fold).items():
                scores.setdefault(router, np.zeros(len(rows)))[test] = score
            print(f"routellm_eval, {folds}, fold {fold + 1}", flush=True)
        if folds == "by domain":
            del scores["mean of its domain"]
        for benchmark in ("mmlu", "gsm8k"):
            here = np.asarray([r["benchmark"] == benchmark for r in rows])
            yield judged(benchmark, folds, {k: v[here] for k, v in scores.items()}, weak[here], strong[here])


def embedded(prompts: Sequence[str], keep: Path | None) -> npt.NDArray[np.float32]:
    """The default encoder's embeddings."""
    place = None if keep is None else keep / "routellm.npy"
    if place is not None and place.is_file():
        return np.asarray(np.load(place, allow_pickle=False))
    made = TextEncoder(resolve(DEFAULT_ENCODER), max_length=128, threads=1).embed(prompts, silent)
    if place is not None:
        np.save(place, made)
    return made


def fold_scores(
    prompts: Sequence[str],
    embeddings: npt.NDArray[np.float32],
    domains: npt.NDArray[np.str_],
    outcomes: npt.NDArray[np.int64],
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    seed: int,
) -> dict[str, Floats]:
    """How much more often the strong model is expected to be right, for the test rows, by each router."""
    shuffled = np.random.default_rng(seed).permutation(train)
    shape, fit = shuffled[: len(train) // 7], shuffled[len(train) // 7 :]
    names = ("neither", "weak only", "strong only", "both")
    lessons = TextLessons(tuple(prompts[i] for i in fit), outcomes[fit], names, np.arange(len(fit)))
    module = learner("text_linear")
    with tempfile.TemporaryDirectory() as folder:
        weights = module.fit(lessons, module.Options(), Path(folder), seed=seed, progress=silent)
        session = engine_for(weights.format).load(weights)
        words = [session.run([prompts[i] for i in part]) for part in (shape, test)]
    weight, bias = fit_linear_head(embeddings[fit], outcomes[fit], np.arange(len(fit)), 4, seed=seed).head
    head = [
        np.asarray(log_softmax(embeddings[part] @ weight.T + bias, axis=1), dtype=np.float32) for part in (shape, test)
    ]
    shares = fit_shares([words[0], head[0]], outcomes[shape])
    both = [shares[0] * w + shares[1] * h for w, h in zip(words, head, strict=True)]
    gain = np.asarray([0.0, -1.0, 1.0, 0.0])
    scores = {
        name: softmax(raw[1] / fit_temperature(raw[0], outcomes[shape]), axis=1) @ gain
        for name, raw in (("words", words), ("encoder", head), ("words + encoder", both))
    }
    alike = embeddings[test] @ embeddings[train].T
    nearest = np.argpartition(-alike, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    scores[f"{NEIGHBOURS} nearest"] = gain[outcomes[train]][nearest].mean(axis=1)
    mean = {d: float(gain[outcomes[train[domains[train] == d]]].mean()) for d in np.unique(domains[train])}
    scores["mean of its domain"] = np.asarray([mean.get(d, 0.0) for d in domains[test]])
    return scores


def judged(
    benchmark: str, folds: str, scores: dict[str, Floats], weak: Bools, strong: Bools
) -> tuple[dict[str, Any], list[Curve]]:
    """APGR and CPT of every router on one benchmark, with bootstrap intervals over questions."""
    low, high = float(weak.mean()), float(strong.mean())
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(weak), len(weak)) for _ in range(RESAMPLES)]
    table, curves = [], []
    for router, score in scores.items():
        curve = gain_curve(score, weak.astype(float), strong.astype(float))
        again = [
            apgr(gain_curve(score[d], weak[d].astype(float), strong[d].astype(float)), weak[d].mean(), strong[d].mean())
            for d in draws
        ]
        table.append(
            {
                "router": router,
                "apgr": round(apgr(curve, low, high), 4),
                "apgr_low": round(float(np.quantile(again, 0.025)), 4),
                "apgr_high": round(float(np.quantile(again, 0.975)), 4),
                "cpt50": cpt(curve, low, high, 0.5),
                "cpt80": cpt(curve, low, high, 0.8),
                "best_quality": round(float(curve.max()), 4),
                "best_quality_at": round(float(SHARES[curve.argmax()]), 2),
            }
        )
        curves.append(Curve(router, SHARES, curve))
    table.append({"router": "at random", "apgr": 0.5, "cpt50": 0.5, "cpt80": 0.8})
    curves.append(Curve("at random", SHARES, low + (high - low) * SHARES))
    outcomes = Counter(zip(weak.tolist(), strong.tolist(), strict=True))
    found = {
        "benchmark": benchmark,
        "folds": folds,
        "rows": len(weak),
        "weak": round(low, 4),
        "strong": round(high, 4),
        "only_weak_right": outcomes[(True, False)],
        "only_strong_right": outcomes[(False, True)],
        "routers": table,
    }
    print(benchmark, folds, f"weak {low:.4f}, strong {high:.4f}")
    for one in table:
        print("  ", one, flush=True)
    return found, curves


if __name__ == "__main__":
    main()
