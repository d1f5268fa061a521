"""One rung of the ladder: a learner fitted and judged by rows that it was not fitted on, kept so that nothing is fitted twice."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from shokunin.engines import Session, engine_for
from shokunin.errors import DataError, UsageError
from shokunin.files import folder_in_making, publish_folder, read_json, write_json
from shokunin.forms import Lessons, Raw, TextLessons
from shokunin.pipeline.by_member import FieldsByMember
from shokunin.pipeline.cascading import Cascade
from shokunin.pipeline.judged import Judged
from shokunin.pipeline.kept_raw import keep_raw, kept_raw
from shokunin.pipeline.mixing import Mixture
from shokunin.progress import Progress, silent
from shokunin.train import Learner
from shokunin.weights import Weights

FOLDS = 5
LATENCY_ROWS, LATENCY_SECONDS = 50, 10.0

Fold = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Row numbers to fit on and to judge by."""


@dataclass(frozen=True)
class Climb:
    """What one learner did: its weights, fitted on all training rows, and its raw outputs for the judging rows."""

    name: str
    weights: Weights | Mixture | Cascade | FieldsByMember
    raw: Raw
    train_seconds: float
    latency_ms: float

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Its log-scores of the judging rows, shape (n, k); only where the answers are labels."""
        assert isinstance(self.raw, np.ndarray)
        return self.raw


def fit_rung(
    module: Learner,
    name: str,
    lessons: Lessons,
    judged: Judged,
    folds: Sequence[Fold] | None,
    options: Any,
    place: Path,
    seed: int,
    progress: Progress,
) -> None:
    """Fit one learner on all lessons and keep what came of it at `place`; with folds its raw outputs are out of fold."""
    with folder_in_making(place.parent) as made:
        start = time.perf_counter()
        raw: Raw | None = None
        if folds is not None:
            assert isinstance(lessons, TextLessons)
            raw = out_of_fold(module, lessons, folds, options, place.parent, seed=seed, progress=progress)
        (made / "weights").mkdir()
        fit_start = time.perf_counter()
        weights = module.fit(lessons, options, made / "weights", seed=seed, progress=progress)
        fitted = time.perf_counter()
        session = session_of(weights)
        forms = judged.codec.encode(judged.inputs, weights.form)
        if raw is None:
            progress(f"asking {name} the rows to judge by", 0, None)
            raw = session.run(forms)
        keep_raw(raw, made)
        write_json(made / "climb.json", {
            "format": weights.format, "form": weights.form, "exact": weights.exact, "facts": weights.facts,
            "train_seconds": fitted - (fit_start if folds is None else start), "latency_ms": median_latency_ms(session, forms),
        })  # fmt: skip
        shutil.rmtree(place, ignore_errors=True)
        publish_folder(made, place)


def read_rung(name: str, place: Path, judged: Judged) -> Climb:
    """A rung that was fitted before.

    Raises:
        UsageError: it is one of other rows.
    """
    about = read_json(place / "climb.json")
    weights = Weights(place / "weights", about["form"], about["format"], about["exact"], about["facts"])
    raw = kept_raw(place)
    if len(raw) != len(judged) or (isinstance(raw, np.ndarray) and raw.shape[1] != len(judged.names)):
        raise UsageError(
            f"the scratch folder {str(place)!r} is of other rows; remove it and run the same command again"
        )
    return Climb(name, weights, raw, about["train_seconds"], about["latency_ms"])


def folds_of(lessons: TextLessons, seed: int) -> list[Fold]:
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


def _split(way: Any, lessons: TextLessons) -> list[Fold]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds is judged where it can be
        pairs = way.split(lessons.labels, lessons.labels, lessons.groups)
        return [(fit.astype(np.int64), judge.astype(np.int64)) for fit, judge in pairs if len(judge)]


def out_of_fold(
    module: Learner,
    lessons: TextLessons,
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
            raw[judge] = session_of(weights).run([lessons.texts[i] for i in judge])

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


def session_of(weights: Weights | Mixture | Cascade | FieldsByMember) -> Session:
    """The weights, opened."""
    return (
        weights.session()
        if isinstance(weights, (Mixture, Cascade, FieldsByMember))
        else engine_for(weights.format).load(weights)
    )


def too_long(weights: Weights | Mixture | Cascade | FieldsByMember) -> str | None:
    """What is to be said of the lessons that were longer than a learner can take, of members by name; None: there were none."""
    if not isinstance(weights, Weights):
        told = {name: too_long(member) for name, member in weights.members}
        return "; ".join(f"{name}: {said}" for name, said in told.items() if said) or None
    out = weights.facts.get("rows_too_long")
    if not out:
        return None
    lessons, limit = weights.facts["rows"] + out, weights.facts["max_length"]
    return f"{out:,} of {lessons:,} lessons are longer than {limit:,} tokens and were left out"


def median_latency_ms(session: Session, forms: Sequence[Any]) -> float:
    """Median time of one answer at a time, in milliseconds, over at most `LATENCY_ROWS` rows and about `LATENCY_SECONDS`."""
    times: list[float] = []
    for i in np.linspace(0, len(forms) - 1, min(LATENCY_ROWS, len(forms))).astype(int):
        start = time.perf_counter()
        session.run([forms[i]])
        times.append(time.perf_counter() - start)
        if sum(times) > LATENCY_SECONDS:
            break
    return float(np.median(times) * 1000)
