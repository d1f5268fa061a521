"""Learning one field: which words announce it, which proposal is right, and when there is none.

Two layers. A linear layer over the words around each candidate learns which of them announce the value; boosted trees (Ke et al.,
LightGBM, 2017) then judge the proposals by what that layer says, by their places, and by how they compare with each other. The
trees, and what decides about "not there", are fitted on what the layer below says of documents that it has not seen (stacking,
Wolpert 1992), so that the scores mean the same on new documents.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shokunin.fields.candidates import learned_cuts
from shokunin.fields.dates import Order
from shokunin.fields.memory import Memory, learn_memory
from shokunin.fields.normalise import canonical, find_spans, is_missing
from shokunin.fields.places import Places
from shokunin.fields.proposals import Proposals
from shokunin.fields.scalar import (
    LEAST,
    Judgement,
    ScalarModel,
    Seen,
    Setup,
    best_and_lead,
    booster,
    judge,
    look,
    propose,
    trees_library,
)
from shokunin.fields.signs import LinearSigns, Numbers, Signs, columns_of, vocabulary_of
from shokunin.fields.spelling import key
from shokunin.fields.style import learn_style
from shokunin.forms import Field

FOLDS = 5
ALIKE = 0.8
"""A block this similar to a value that the document does not hold as such shows where it stands."""
Rows = npt.NDArray[np.int64]
Cuts = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Fitting:
    """How to fit.

    Attributes:
        C: inverse regularisation strength of the linear layer.
        max_features: at most so many words.
        rounds, leaves, learning_rate: of the trees.
        memory: whether values of past rows are kept and used.
    """

    C: float = 0.5
    max_features: int = 60_000
    rounds: int = 150
    leaves: int = 15
    learning_rate: float = 0.06
    memory: bool = True


def learn_scalar(
    field: Field, pages: Sequence[Places], values: Sequence[Any], folds: Rows, seen: Sequence[Seen], cuts: Cuts,
    order: Order, fitting: Fitting, seed: int,
) -> ScalarModel:  # fmt: skip
    """A field's model from n documents and the value of each, None where it has none.

    Args:
        field: of one value.
        pages: n documents.
        values: n values.
        folds: shape (n,); the documents of one fold are judged by what the others taught.
        seen: n times what other fields looked at; added to.
        cuts: words at which lines are cut, as `cuts_of` has them.
        order: of numbers in dates.
        fitting: how.
        seed: of all that is random.
    """
    spans = _spans(field, pages, values, order)
    setup = _setup(field, pages, spans, cuts, order)
    # The first place is as good as any other for the spelling.
    written = [(d.text[s[0][0] : s[0][1]], v) for d, v, s in zip(pages, values, spans, strict=True) if s]
    style = learn_style(field, written, order)
    missing = sum(map(is_missing, values))
    if not written:
        odds = float(np.log((missing + 0.5) / (len(values) - missing + 0.5)))
        return ScalarModel(field, setup, style, Judgement((0, 0, LEAST), (0, 0, odds), odds), Memory({}, {}))
    looked = [look(d, field, setup, s) for d, s in zip(pages, seen, strict=True)]
    targets = [
        _targets(field, setup, d, v, s, found) for d, v, s, (found, _) in zip(pages, values, spans, looked, strict=True)
    ]
    vocabulary = vocabulary_of((signs for _, signs in looked), fitting.max_features)
    everything = np.arange(len(pages))
    proposals: list[Proposals] = [cast(Proposals, None)] * len(pages)
    for fold in np.unique(folds):
        rest, mine = everything[folds != fold], everything[folds == fold]
        linear = fit_signs([looked[i][1] for i in rest], [targets[i] for i in rest], vocabulary, fitting, seed)
        memory = _memory(field, [values[i] for i in rest], fitting)
        for i in mine:
            found, signs = looked[i]
            proposals[i] = propose(pages[i], field, setup, found, linear.logits(signs), memory)
    right = [_right(field, setup, p, v) for p, v in zip(proposals, values, strict=True)]
    wanted = [_nearly(pages[i], field, p, right[i], values[i]) for i, p in enumerate(proposals)]
    unseen: list[npt.NDArray[np.float64]] = [np.zeros(0)] * len(pages)
    for fold in np.unique(folds):
        rest = everything[folds != fold]
        trees = booster(_fit_trees([proposals[i].numbers for i in rest], [wanted[i] for i in rest], fitting, seed))
        for i in everything[folds == fold]:
            unseen[i] = judge(trees, proposals[i].numbers)
    return ScalarModel(
        field,
        setup,
        style,
        judgement_of(unseen, right, [is_missing(v) for v in values], seed),
        _memory(field, values, fitting),
        fit_signs([signs for _, signs in looked], targets, vocabulary, fitting, seed),
        _fit_trees([p.numbers for p in proposals], wanted, fitting, seed),
    )


def cuts_of(fields: Sequence[Field], pages: Sequence[Places], values: Sequence[Sequence[Any]]) -> Cuts:
    """Words at which lines are cut: those at the edges of the text fields' values. One set for all, so that one look will do.

    `values` has n values for each of the fields.
    """
    first = []
    for field, mine in zip(fields, values, strict=True):
        if field.type == "text":
            spans = _spans(field, pages, mine, "dmy")
            first += [(d.text, s[0]) for d, s in zip(pages, spans, strict=True) if s]
    return learned_cuts(first)


def _spans(field: Field, pages: Sequence[Places], values: Sequence[Any], order: Order) -> list[list[tuple[int, int]]]:
    return [find_spans(d.text, v, field.type, order=order) for d, v in zip(pages, values, strict=True)]


def _setup(
    field: Field, pages: Sequence[Places], spans: Sequence[Sequence[tuple[int, int]]], cuts: Cuts, order: Order
) -> Setup:
    first = [(d.text, s[0]) for d, s in zip(pages, spans, strict=True) if s]
    if field.type in ("money", "number"):
        marked = [any(c in text[a:b] for c in ".,") or not text[a:b].strip("-").isdigit() for text, (a, b) in first]
        return Setup(order, marked=bool(first) and float(np.mean(marked)) >= 0.99 and len(first) >= 20)
    if field.type != "text":
        return Setup(order)
    lines = [text.count("\n", a, b) + 1 for text, (a, b) in first]
    most = int(np.quantile(lines, 0.995, method="higher")) if lines else 1
    return Setup("dmy", *cuts, min(most, 12))


def _targets(
    field: Field, setup: Setup, page: Places, value: Any, spans: Sequence[tuple[int, int]], found: Sequence[Any]
) -> Numbers:
    """What the heads should say, shape (heads, n): 1 for the mentions of the value, or for its first, last and all pieces."""
    if field.type != "text":
        wanted = canonical(value, field.type, order=setup.order)
        return np.asarray([[m.value == wanted for m in found]], np.float32)
    out = np.zeros((3, len(found)), np.float32)
    if not spans and not is_missing(value):
        spans = _resembling(page, str(value), found, setup.most_lines)
    for a, b in spans:
        mine = [i for i, s in enumerate(found) if s.start < b and a < s.end]
        if mine:
            out[0, mine[0]] = out[1, mine[-1]] = out[2, mine] = 1
    return out


def _resembling(page: Places, value: str, found: Sequence[Any], most_lines: int) -> list[tuple[int, int]]:
    """The run of pieces most like a value that the document spells differently, if it is like it at all."""
    wanted = key(value)
    matcher = difflib.SequenceMatcher(None, b=wanted, autojunk=False)
    best, most = [], ALIKE
    keys = [key(page.text[s.start : s.end]) for s in found]
    for i in range(len(found)):
        joined = ""
        for j in range(i, min(i + most_lines + 3, len(found))):
            joined += keys[j]
            if found[j].line - found[i].line >= most_lines or len(joined) > 1.3 * len(wanted):
                break
            if len(joined) < 0.7 * len(wanted):
                continue
            matcher.set_seq1(joined)
            if matcher.real_quick_ratio() > most and matcher.quick_ratio() > most and (share := matcher.ratio()) > most:
                best, most = [(found[i].start, found[j].end)], share
    return best


def _memory(field: Field, values: Sequence[Any], fitting: Fitting) -> Memory:
    return learn_memory(values if fitting.memory and field.type == "text" else ())


def fit_signs(
    signs: Sequence[Signs], targets: Sequence[Numbers], vocabulary: dict[str, int], fitting: Fitting, seed: int
) -> LinearSigns:
    """One logistic regression a head; `targets` are n times (heads, candidates), 0 or 1."""
    from sklearn.linear_model import LogisticRegression

    columns, ends = columns_of([row for document in signs for row in document], vocabulary)
    rows = sparse.csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=(len(ends) - 1, len(vocabulary)))
    wanted = np.concatenate(targets, axis=1)
    weight = np.zeros((len(wanted), len(vocabulary)), np.float32)
    bias = np.full(len(wanted), LEAST, np.float32)
    for head, labels in enumerate(wanted):
        if labels.any() and not labels.all():
            model = LogisticRegression(C=fitting.C, solver="liblinear", random_state=seed, tol=1e-3).fit(rows, labels)
            weight[head], bias[head] = model.coef_[0], model.intercept_[0]
    return LinearSigns(vocabulary, weight.astype(np.float16).astype(np.float32), bias)


def _right(field: Field, setup: Setup, proposals: Proposals, value: Any) -> npt.NDArray[np.bool_]:
    """Which proposals are the value, shape (n,)."""
    if is_missing(value):
        return np.zeros(len(proposals.keys), bool)
    wanted = key(str(value)) if field.type == "text" else canonical(value, field.type, order=setup.order)
    return np.asarray([k == wanted for k in proposals.keys], bool)


def _nearly(
    page: Places, field: Field, proposals: Proposals, right: npt.NDArray[np.bool_], value: Any
) -> npt.NDArray[np.bool_]:
    """As `right`; where no proposal is, the one most like the value, so that the trees learn its place."""
    if right.any() or is_missing(value) or field.type != "text" or not len(right):
        return right
    wanted = key(str(value))
    likeness = [difflib.SequenceMatcher(None, k, wanted, autojunk=False).ratio() for k in proposals.keys]
    out = right.copy()
    best = int(np.argmax(likeness))
    out[best] = likeness[best] >= ALIKE
    return out


def _fit_trees(numbers: Sequence[Numbers], wanted: Sequence[npt.NDArray[np.bool_]], fitting: Fitting, seed: int) -> str:
    lightgbm = trees_library()
    rows, labels = np.concatenate(numbers), np.concatenate(wanted).astype(np.float32)
    settings = {
        "objective": "binary",
        "learning_rate": fitting.learning_rate,
        "num_leaves": fitting.leaves,
        "min_data_in_leaf": max(2, min(10, len(rows) // 100)),
        "lambda_l2": 1.0,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        # So few rows are done before a second thread has begun.
        "num_threads": 1,
        "verbosity": -1,
    }
    trees = lightgbm.train(settings, lightgbm.Dataset(rows, labels), fitting.rounds)
    return cast(str, trees.model_to_string())


def judgement_of(
    judged: Sequence[npt.NDArray[np.float64]],
    right: Sequence[npt.NDArray[np.bool_]],
    missing: Sequence[bool],
    seed: int,
) -> Judgement:
    """What decides between the best value and none, from what was said of n documents that had no part in the learning.

    A document whose right values are struck out stands for one without the field; all of these together count as much as one
    real document, so that even a field that every past row had can be found missing.

    Args:
        judged: for each document the log-odds of its values.
        right: for each document which of these are right.
        missing: which documents do not say the field.
        seed: of the regressions.
    """
    empty = [gone for scores, gone in zip(judged, missing, strict=True) if not len(scores)]
    nothing = float(np.log((sum(empty) + 0.5) / (len(empty) - sum(empty) + 0.5)))
    tops, is_right, is_absent, weights = [], [], [], []
    for scores, good, gone in zip(judged, right, missing, strict=True):
        if len(scores):
            tops.append(best_and_lead(scores))
            is_right.append(bool(good[int(scores.argmax())]))
            is_absent.append(gone)
            weights.append(1.0)
    struck = [
        best_and_lead(scores[~good])
        for scores, good in zip(judged, right, strict=True)
        if good.any() and not good.all()
    ]
    real = len(tops)
    tops += struck
    weights += [1.0 / max(len(struck), 1)] * len(struck)
    right_labels = np.asarray(is_right + [False] * len(struck), np.float64)
    absent_labels = np.asarray(is_absent + [True] * len(struck), np.float64)
    if not real:
        return Judgement((0, 0, LEAST), (0, 0, 0.0), nothing)
    x, w = np.asarray(tops), np.asarray(weights)
    return Judgement(_logistic(x, right_labels, w, seed), _logistic(x, absent_labels, w, seed), nothing)


def _logistic(
    x: npt.NDArray[np.float64], labels: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], seed: int
) -> tuple[float, float, float]:
    """Weights of the two numbers and the bias; half an observation of each label is added, so that neither is impossible."""
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([x, x.mean(0, keepdims=True), x.mean(0, keepdims=True)])
    labels = np.concatenate([labels, [0.0, 1.0]])
    weights = np.concatenate([weights, [0.25, 0.25]])
    model = LogisticRegression(C=1.0, random_state=seed).fit(x, labels, sample_weight=weights)
    return float(model.coef_[0, 0]), float(model.coef_[0, 1]), float(model.intercept_[0])
