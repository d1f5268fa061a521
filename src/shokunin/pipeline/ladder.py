"""The ladder: fit the learners from the cheapest to the dearest, then keep the smallest that is not measurably worse.

Every rung is scored on the same rows, none of which it was fitted on: the dataset's validation rows or, where there are too
few rows to set any aside, out of fold. A finished rung is kept in the scratch folder, so an interrupted run goes on there.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from shokunin import metrics
from shokunin.dataset import Dataset
from shokunin.encoders.base_models import resolve
from shokunin.engines import Session, engine_for
from shokunin.engines.mixture import MOST_MEMBERS, mix
from shokunin.errors import BaseModelError, DataError, MissingExtraError, UsageError
from shokunin.files import folder_in_making, publish_folder, read_json, write_json
from shokunin.forms import Lessons
from shokunin.metrics import Interval
from shokunin.pipeline.mixing import Mixture, fit_shares
from shokunin.progress import Progress, silent
from shokunin.prove.wording import p_value
from shokunin.report import Rung
from shokunin.tasks import Codec
from shokunin.train import LEARNERS, Learner, learner
from shokunin.weights import Weights

FOLDS = 5
TOLERANCE = 0.005
"""A smaller model may be chosen while it is at most half a point behind and no test can tell it from the best."""
SAME_SIZE = 1.5
"""Models less than this far apart in size are as small as each other; among those the better score decides."""
LEVEL = 0.05
LATENCY_ROWS = 50
LEAST_OF_TRAINING = 0.6
"""A learner that can be shortened is tried while this share of its time is left: about half of its epochs and the rest."""

Fold = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Row numbers to fit on and to judge by."""


@dataclass(frozen=True)
class Climb:
    """What one learner did: its weights, fitted on all training rows, and its raw scores on the judging rows, shape (n, k)."""

    name: str
    weights: Weights | Mixture
    raw: npt.NDArray[np.float32]
    train_seconds: float
    latency_ms: float


@dataclass(frozen=True)
class Ladder:
    """All rungs, which one was chosen and why.

    Attributes:
        climbs: the learners that were fitted, cheapest first.
        rungs: one for every learner, for the report.
        chosen: the climb that becomes the specialist.
        why: one sentence.
        judged: the judging rows.
        out_of_fold: whether the judging rows are the training rows, scored out of fold.
    """

    climbs: list[Climb]
    rungs: list[Rung]
    chosen: Climb
    why: str
    judged: Lessons
    out_of_fold: bool

    def raw_of(self, forms: Sequence[Any]) -> npt.NDArray[np.float32] | None:
        """The chosen learner's raw scores of further forms, shape (m, k); None if there are none."""
        return _session(self.chosen.weights).run(forms) if forms else None


def check_bases(bases: Sequence[str]) -> None:
    """Find every base model before any work is done.

    Raises:
        BaseModelError: one of them cannot be found, or is not what it claims to be.
    """
    for base in bases:
        resolve(base)


def climb(
    dataset: Dataset,
    codec: Codec,
    work: Path,
    *,
    bases: Sequence[str],
    budget_seconds: float,
    seed: int,
    learners: Sequence[str] | None,
    shaping: Callable[[int], npt.NDArray[np.bool_]],
    progress: Progress,
) -> Ladder:
    """Fit what fits into the budget, mix, and choose.

    Args:
        dataset: its training and validation rows are used, never the sealed ones.
        codec: the kind's.
        work: scratch folder of this dataset.
        bases: base encoders for the learners that use one, each tried; none: the learners' default.
        budget_seconds: for all fits together.
        seed: of folds and fits.
        learners: only these; None: all.
        shaping: which of n judging rows may shape a mixture; the others carry the promise.
        progress: told how far it is.

    Raises:
        UsageError: no learner could be fitted.
        BaseModelError: one of `bases` cannot be used.
        DataError: there are no rows to validate on, and too few groups of rows to validate out of fold.
    """
    lessons = codec.lessons(dataset.train)
    judged = codec.lessons(dataset.validation) if dataset.validation else lessons
    folds = None if dataset.validation else folds_of(lessons, seed)
    end = time.monotonic() + budget_seconds
    climbs: list[Climb] = []
    notes: dict[str, str] = {}
    for name, module, base in _tries(learners or tuple(LEARNERS), bases, notes):
        try:
            fits = 1 if folds is None else len(folds) + 1
            place = work / f"{name.replace(':', '-')}-{seed}-{_key(base)}"
            if not (place / "climb.json").exists():
                options = _options(module, base, end - time.monotonic(), fits)
                note = _too_dear(module, module.forecast(lessons, options) * fits, end - time.monotonic())
                if climbs and note:
                    notes[name] = note
                    continue
                _fit_rung(module, name, lessons, judged, folds, options, place, seed, progress)
            climbs.append(_read_rung(name, place, judged))
        except MissingExtraError as error:
            notes[name] = f"not tried: {error}"
        except BaseModelError as error:
            if base is not None:
                raise
            notes[name] = f"not tried: {error}"  # nobody asked for this base; the default one is a download of its own
    if not climbs:
        reasons = "; ".join(f"{name}: {note}" for name, note in notes.items())
        raise UsageError(f"nothing could be fitted ({reasons}); add another learner, such as 'text_linear'")
    climbs.extend(_mixtures(climbs, judged, shaping))
    climbs.sort(key=lambda c: c.weights.size_bytes())
    return _choose(dataset, climbs, judged, notes, out_of_fold=folds is not None, seed=seed)


def folds_of(lessons: Lessons, seed: int) -> list[Fold]:
    """Pairs of (fit, judge) row numbers: stratified where that is possible, groups whole, every row judged once.

    Raises:
        DataError: there are too few groups: some could only be left out together with all but one label.
    """
    groups = len(np.unique(lessons.groups))
    counts = np.unique(lessons.labels, return_counts=True)[1]
    count = min(FOLDS, max(2, int(counts.min())), groups)
    if count >= 2:
        ways: list[Any] = [GroupKFold(count)]
        if counts.max() >= count:
            ways.insert(0, StratifiedGroupKFold(count, shuffle=True, random_state=seed))
        for way in ways:
            folds = _split(way, lessons)
            if all(len(np.unique(lessons.labels[fit])) >= 2 for fit, _ in folds):
                return folds
    raise DataError(
        f"{len(lessons):,} rows in {groups:,} groups (near-duplicates, or one value of the group column) are too few groups to "
        "validate out of fold: with one left out, two labels must stay to learn from; add rows that are not alike for every label"
    )


def _split(way: Any, lessons: Lessons) -> list[Fold]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds is judged where it can be
        pairs = way.split(lessons.labels, lessons.labels, lessons.groups)
        return [(fit.astype(np.int64), judge.astype(np.int64)) for fit, judge in pairs if len(judge)]


def out_of_fold(
    module: Learner,
    lessons: Lessons,
    folds: Sequence[Fold],
    options: Any,
    scratch: Path,
    *,
    seed: int,
    progress: Progress,
    workers: int = 1,
) -> npt.NDArray[np.float32]:
    """Raw scores of every lesson by a model that was not fitted on its group, shape (n, k).

    More than one worker pays for learners that use one thread each.
    """
    raw = np.zeros((len(lessons), len(lessons.names)), dtype=np.float32)

    def one(number: int, fit: npt.NDArray[np.int64], judge: npt.NDArray[np.int64]) -> None:
        def within(what: str, done: float, total: float | None) -> None:
            progress(f"{what} (part {number} of {len(folds)})", done, total)

        with folder_in_making(scratch) as folder:
            weights = module.fit(
                lessons.take(fit), options, folder, seed=seed, progress=within if workers == 1 else silent
            )
            raw[judge] = _session(weights).run([lessons.texts[i] for i in judge])

    if workers == 1:
        for number, fold in enumerate(folds, 1):
            one(number, *fold)
        return raw
    with ThreadPoolExecutor(workers) as pool:
        try:
            for done in [pool.submit(one, number, *fold) for number, fold in enumerate(folds, 1)]:
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else the block would end only after every fold
            raise
    return raw


def _too_dear(module: Learner, seconds: float, left: float) -> str | None:
    """Why a learner that needs `seconds` is not tried, or None; one with an option `minutes` can do with fewer epochs."""
    share = LEAST_OF_TRAINING if "minutes" in module.Options.model_fields else 1.0
    if seconds * share <= left:
        return None
    return f"not tried: about {seconds / 60:.1f} min needed, {max(0.0, left) / 60:.1f} min left; raise --budget"


def _tries(
    learners: Sequence[str], bases: Sequence[str], notes: dict[str, str]
) -> Iterator[tuple[str, Learner, str | None]]:
    """Each learner, once for every base where it has one; beyond the first base the rung is named after it too."""
    for name in learners:
        try:
            module = learner(name)
        except MissingExtraError as error:
            notes[name] = f"not tried: {error}"
            continue
        named: set[str] = set()
        for base in dict.fromkeys(bases if bases and "base" in module.Options.model_fields else [None]):
            rung = name if not named else f"{name}:{_short(str(base))}"
            if rung in named:
                rung += f"-{_key(base)}"
            named.add(rung)
            yield rung, module, base


def _short(base: str) -> str:
    """The last word of a base model's name, fit for a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", base.rstrip("/").rpartition("/")[2].removeprefix("pkg:"))[:60]


def _key(base: str | None) -> str:
    """Tells a rung of one base from the same rung of another, which an interrupted training may have left behind."""
    return hashlib.sha256(str(base).encode()).hexdigest()[:8]


def _options(module: Learner, base: str | None, seconds_left: float, fits: int) -> Any:
    """The learner's defaults, with the base model and the time that are left to it where it has such options."""
    fields = module.Options.model_fields
    given: dict[str, Any] = {}
    if base is not None and "base" in fields:
        given["base"] = base
    if "minutes" in fields:
        given["minutes"] = max(0.5, seconds_left / 60 / fits)
    return module.Options(**given)


def _fit_rung(
    module: Learner,
    name: str,
    lessons: Lessons,
    judged: Lessons,
    folds: Sequence[Fold] | None,
    options: Any,
    place: Path,
    seed: int,
    progress: Progress,
) -> None:
    with folder_in_making(place.parent) as made:
        start = time.perf_counter()
        raw = None
        if folds is not None:
            raw = out_of_fold(module, lessons, folds, options, place.parent, seed=seed, progress=progress)
        (made / "weights").mkdir()
        fit_start = time.perf_counter()
        weights = module.fit(lessons, options, made / "weights", seed=seed, progress=progress)
        fitted = time.perf_counter()
        session = _session(weights)
        if raw is None:
            raw = session.run(list(judged.texts))
        np.save(made / "raw.npy", raw, allow_pickle=False)
        write_json(made / "climb.json", {
            "format": weights.format, "form": weights.form, "exact": weights.exact, "facts": weights.facts,
            "train_seconds": fitted - (fit_start if folds is None else start), "latency_ms": median_latency_ms(session, judged),
        })  # fmt: skip
        shutil.rmtree(place, ignore_errors=True)
        publish_folder(made, place)


def _read_rung(name: str, place: Path, judged: Lessons) -> Climb:
    about = read_json(place / "climb.json")
    weights = Weights(place / "weights", about["form"], about["format"], about["exact"], about["facts"])
    raw = np.load(place / "raw.npy", allow_pickle=False)
    if raw.shape != (len(judged), len(judged.names)):
        raise UsageError(
            f"the scratch folder {str(place)!r} is of other rows; remove it and run the same command again"
        )
    return Climb(name, weights, raw, about["train_seconds"], about["latency_ms"])


def _mixtures(climbs: list[Climb], judged: Lessons, shaping: Callable[[int], npt.NDArray[np.bool_]]) -> list[Climb]:
    rows = shaping(len(judged))
    made: list[Climb] = []
    for members in mixtures([c for c in climbs if c.name != "baseline"]) if rows.sum() >= 2 else []:
        shares = fit_shares([c.raw[rows] for c in members], judged.labels[rows])
        weights = Mixture(tuple((c.name, c.weights) for c in members if isinstance(c.weights, Weights)), shares)
        raw = mix([c.raw for c in members], shares)
        seconds, latency = sum(c.train_seconds for c in members), sum(c.latency_ms for c in members)
        made.append(Climb("+".join(c.name for c in members), weights, raw, seconds, latency))
    return made


def mixtures(climbs: Sequence[Climb]) -> list[list[Climb]]:
    """Words with each encoder, words with all frozen ones, words with all: words know spellings, encoders know meanings."""
    words = [c for c in climbs if c.name == "text_linear"]
    encoders = [c for c in climbs if c.weights.format == "onnx_text"]
    frozen = [c for c in encoders if c.name.startswith("encoder_head")]
    groups = [*([e] for e in encoders), frozen, encoders]
    made = [[*words, *group] for i, group in enumerate(groups) if words and group and group not in groups[:i]]
    return [members for members in made if len(members) <= MOST_MEMBERS]


def _choose(
    dataset: Dataset, climbs: list[Climb], judged: Lessons, notes: dict[str, str], *, out_of_fold: bool, seed: int
) -> Ladder:
    given = [c.raw.argmax(axis=1) for c in climbs]
    correct = [g == judged.labels for g in given]
    by_f1 = dataset.task.metric == "macro_f1"
    scores = [
        metrics.macro_f1(judged.labels, g, judged.groups, seed=seed) if by_f1 else metrics.accuracy(c, judged.groups)
        for g, c in zip(given, correct, strict=True)
    ]
    best = max(range(len(climbs)), key=lambda i: scores[i].value)
    worse = [1.0 if i == best else _p_worse(judged, given[i], given[best], by_f1, seed) for i in range(len(climbs))]
    behind = [scores[best].value - s.value for s in scores]
    sizes = [c.weights.size_bytes() for c in climbs]
    chosen = smallest_good_enough(sizes, behind, worse)
    rungs = []
    for name in dict.fromkeys([*(c.name for c in climbs), *notes]):
        i = next((i for i, c in enumerate(climbs) if c.name == name), None)
        if i is None:
            rungs.append(Rung(name, None, note=notes[name]))
        else:
            c = climbs[i]
            rungs.append(Rung(
                name, scores[i], None if i == best else worse[i], behind[i], c.train_seconds, c.latency_ms,
                c.weights.size_bytes(), i == chosen,
            ))  # fmt: skip
    rows = "out of fold on the training rows" if out_of_fold else f"on {len(judged):,} validation rows"
    return Ladder(
        climbs, rungs, climbs[chosen], _why(climbs, scores, worse, behind, chosen, best, rows), judged, out_of_fold
    )


def _p_worse(judged: Lessons, a: npt.NDArray[Any], b: npt.NDArray[Any], by_f1: bool, seed: int) -> float:
    """One-sided p-value of "a is not worse than b" on the same rows, of which those of one group count as one draw."""
    if by_f1:
        return metrics.macro_f1_worse(judged.labels, a, b, judged.groups, seed=seed)
    return metrics.compare_accuracy(a == judged.labels, b == judged.labels, judged.groups, seed=seed).p_worse


def smallest_good_enough(sizes: Sequence[int], behind: Sequence[float], worse: Sequence[float]) -> int:
    """Which rung to keep: the smallest that is not measurably worse than the best, and of those about as small the best.

    Args:
        sizes: bytes of each rung.
        behind: the best score minus each rung's; 0 for the best.
        worse: p-value of "not worse than the best" for each rung; 1 for the best.
    """
    good = [i for i in range(len(sizes)) if behind[i] <= 0 or (worse[i] > LEVEL and behind[i] <= TOLERANCE)]
    limit = SAME_SIZE * min(sizes[i] for i in good)
    return min((i for i in good if sizes[i] <= limit), key=lambda i: (behind[i], sizes[i]))


def _why(
    climbs: list[Climb],
    scores: list[Interval],
    worse: list[float],
    behind: list[float],
    chosen: int,
    best: int,
    rows: str,
) -> str:
    name = climbs[chosen].name
    if chosen != best:
        return (
            f"{name} is small and not measurably worse than the best, {climbs[best].name}: {behind[chosen] * 100:.1f} points "
            f"behind {rows} (paired test {p_value(worse[chosen])})"
        )
    if best == 0:
        return f"nothing beat {name} {rows}"
    rival = max(range(best), key=lambda i: scores[i].value)
    return (
        f"{name} has the best score {rows}; the best smaller one, {climbs[rival].name}, is {behind[rival] * 100:.1f} points "
        f"behind (paired test {p_value(worse[rival])})"
    )


def _session(weights: Weights | Mixture) -> Session:
    return weights.session() if isinstance(weights, Mixture) else engine_for(weights.format).load(weights)


def median_latency_ms(session: Session, lessons: Lessons) -> float:
    """Median time of one answer at a time, in milliseconds."""
    texts = [lessons.texts[i] for i in np.linspace(0, len(lessons) - 1, min(LATENCY_ROWS, len(lessons))).astype(int)]
    times = []
    for text in texts:
        start = time.perf_counter()
        session.run([text])
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)
