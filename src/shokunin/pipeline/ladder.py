"""The ladder: fit the learners from the cheapest to the dearest, then keep the smallest that is not measurably worse.

Every rung is scored on the same rows, none of which it was fitted on: the dataset's validation rows or, where there are too
few rows to set any aside, out of fold. A finished rung is kept in the scratch folder, so an interrupted run goes on there.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from shokunin.answer import Inputs
from shokunin.dataset import Dataset
from shokunin.engines.fields_by_member import MOST_MEMBERS as MOST_READERS
from shokunin.engines.mixture import MOST_MEMBERS, mix
from shokunin.errors import BaseModelError, DataError, LessonsError, MissingExtraError, UsageError
from shokunin.forms import Form, FoundFields, Lessons, Raw, TextLessons, Written
from shokunin.metrics import Interval
from shokunin.pipeline.bases import Family, check_families, family_of
from shokunin.pipeline.by_member import Member, fields_by_member
from shokunin.pipeline.cascading import cascade_of
from shokunin.pipeline.judged import Judged, judged_by
from shokunin.pipeline.learner_options import LearnerOptions
from shokunin.pipeline.mixing import Mixture, fit_shares
from shokunin.pipeline.rungs import Climb, fit_rung, folds_of, read_rung, session_of, too_long
from shokunin.pipeline.smallest import smallest_good_enough
from shokunin.progress import Progress
from shokunin.prove.wording import p_value
from shokunin.report import Rung
from shokunin.tasks import Codec, Kind
from shokunin.tasks import kind as kind_of
from shokunin.train import EATS, LEARNERS, Learner, learner
from shokunin.version import __version__
from shokunin.weights import Weights

FAR_SMALLER = 10
"""A writer is asked before another one that is so many times its size."""
LEAST_OF_TRAINING = 0.6
"""A learner that can be shortened is tried while this share of its time is left: about half of its epochs and the rest."""


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
    judged: Judged
    out_of_fold: bool

    def raw_of(self, inputs: Sequence[Inputs]) -> Raw | None:
        """The chosen learner's raw outputs for further inputs; None if there are none."""
        weights = self.chosen.weights
        return session_of(weights).run(self.judged.codec.encode(inputs, weights.form)) if inputs else None


def climb(
    dataset: Dataset,
    codec: Codec,
    work: Path,
    *,
    bases: Mapping[str, Family],
    budget_seconds: float,
    seed: int,
    learners: Sequence[str] | None,
    shaping: Callable[[int], npt.NDArray[np.bool_]],
    progress: Progress,
    learner_options: LearnerOptions | None = None,
) -> Ladder:
    """Fit what fits into the budget, mix, and choose.

    A learner that cannot learn from these rows, or whose libraries are missing, is left out with the reason.

    Args:
        dataset: its training and validation rows are used, never the sealed ones.
        codec: the kind's.
        work: scratch folder of this dataset.
        bases: base models for the learners that use one of their family, each tried; none: the learners' default.
        budget_seconds: for all fits together.
        seed: of folds and fits.
        learners: only these; None: all.
        shaping: which of n judging rows may shape a mixture; the others carry the promise.
        progress: told how far it is.
        learner_options: checked options by learner, where they are not to be the defaults.

    Raises:
        UsageError: no learner could be fitted, or nothing but the baseline since the others cannot learn from these rows; or
            there are options of a learner that does not fit this kind of work.
        BaseModelError: one of `bases` cannot be used.
        DataError: there are no rows to validate on, and too few groups of rows to validate out of fold.
    """
    kind = kind_of(dataset.task.kind)
    folds, judged = None, judged_by(dataset.validation or dataset.train, codec, dataset.task.metric, labels=kind.LABELS)
    if not dataset.validation:
        if judged.lessons is None:
            raise DataError(
                f"there are no rows to choose by: {len(dataset.train):,} to learn from are too few to set some aside; add rows"
            )
        folds = folds_of(judged.lessons, seed)
    check_families(bases, kind.FORMS)
    told = learner_options or {}
    _check_told(kind, told, bases)
    end = time.monotonic() + budget_seconds
    climbs: list[Climb] = []
    notes: dict[str, str] = {}
    lessons_of: dict[Form, Lessons] = {}
    unable: set[str] = set()
    tried = fitting(kind, learners)
    for name, module, base, given in _tries(tried, bases, told, notes):
        try:
            lessons = lessons_of.setdefault(module.EATS, codec.lessons(dataset.train, module.EATS))
            fits = 1 if folds is None else len(folds) + 1
            settings = module.Options(**given).model_dump_json()
            place = work / f"{name.replace(':', '-')}-{seed}-{_key(base, settings)}"
            if not (place / "climb.json").exists():
                options = _options(module, base, end - time.monotonic(), fits, {**codec.hints, **given})
                needed = fits * _seconds(module, lessons, options, shortened=bool(given.get("minutes")))
                note = _too_dear(module, needed, end - time.monotonic())
                if climbs and note:
                    notes[name] = note
                    continue
                fit_rung(module, name, lessons, judged, folds, options, place, seed, progress)
            climbs.append(read_rung(name, place, judged))
        except MissingExtraError as error:
            notes[name] = f"not tried: {error}"
        except BaseModelError as error:
            if base is not None:
                raise
            notes[name] = f"not tried: {error}"  # nobody asked for this base; the default one is a download of its own
        except LessonsError as error:
            notes[name] = f"left out: {error}"
            unable.add(name)
    if not climbs or (unable and all(c.name == "baseline" for c in climbs)):
        raise _nothing(
            notes, baseline=bool(climbs), others=[n for n in fitting(kind, None) if n not in ("baseline", *tried)]
        )
    if judged.lessons is not None:
        climbs.extend(_mixtures(climbs, judged.lessons, shaping))
    else:
        climbs.extend([*_cascades(climbs, judged, shaping), *_by_member(climbs, judged, shaping, seed)])
    climbs.sort(key=lambda c: c.weights.size_bytes())
    return _choose(climbs, judged, notes, out_of_fold=folds is not None, seed=seed)


def fitting(kind: Kind, wanted: Sequence[str] | None) -> list[str]:
    """The learners that eat a form which the kind gives, cheapest first; of `wanted` all.

    Raises:
        UsageError: one that is wanted is unknown or eats none of the kind's forms.
    """
    for name in wanted or ():
        if EATS.get(name) not in kind.FORMS:
            fit = ", ".join(n for n in LEARNERS if EATS[n] in kind.FORMS)
            raise UsageError(f"the learner {name!r} does not fit this kind of work; expected some of {fit}")
    return list(wanted) if wanted else [name for name in LEARNERS if EATS[name] in kind.FORMS]


def _check_told(kind: Kind, told: LearnerOptions, bases: Mapping[str, Family]) -> None:
    """Do nothing if every learner with options fits this kind of work, and no base is named for it twice."""
    for name in fitting(kind, list(told)) if told else []:
        others = [base for base, family in bases.items() if family == family_of(EATS[name])]
        if others and "base" in told[name]:
            raise UsageError(
                f"the base of {name!r} is named twice, {others[0]!r} and {told[name]['base']!r}; leave one of them out"
            )


def _nothing(notes: Mapping[str, str], *, baseline: bool, others: Sequence[str]) -> UsageError:
    """What is said where no learner is left."""
    reasons = "; ".join(f"{name}: {note}" for name, note in notes.items())
    advice = f"; add another learner: {', '.join(others)}" if others else ""
    return UsageError(f"nothing {'but the baseline ' if baseline else ''}could be fitted ({reasons}){advice}")


def _seconds(module: Learner, lessons: Lessons, options: Any, *, shortened: bool) -> float:
    """What one fit needs; at most its minutes where the owner has said himself that it shall be shortened to them."""
    needed = module.forecast(lessons, options)
    return min(needed, 60 * options.minutes) if shortened else needed


def _too_dear(module: Learner, seconds: float, left: float) -> str | None:
    """Why a learner that needs `seconds` is not tried, or None; one with an option `minutes` can do with fewer epochs."""
    share = LEAST_OF_TRAINING if "minutes" in module.Options.model_fields else 1.0
    if seconds * share <= left:
        return None
    return f"not tried: about {seconds / 60:.1f} min needed, {max(0.0, left) / 60:.1f} min left; raise --budget"


def _tries(
    learners: Sequence[str], bases: Mapping[str, Family], told: LearnerOptions, notes: dict[str, str]
) -> Iterator[tuple[str, Learner, str | None, Mapping[str, Any]]]:
    """Each learner with its given options, once for every base where it has one; beyond the first base the rung is named
    after it too.
    """
    for name in learners:
        try:
            module = learner(name)
        except MissingExtraError as error:
            notes[name] = f"not tried: {error}"
            continue
        named: set[str] = set()
        given = told.get(name, {})
        fit = [base for base, family in bases.items() if family == family_of(module.EATS)]
        for base in fit if fit and "base" in module.Options.model_fields else [given.get("base")]:
            rung = name if not named else f"{name}:{_short(str(base))}"
            if rung in named:
                rung += f"-{_key(base)}"
            named.add(rung)
            yield rung, module, base, given


def _short(base: str) -> str:
    """The last word of a base model's name, fit for a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", base.rstrip("/").rpartition("/")[2].removeprefix("pkg:"))[:60]


def _key(base: str | None, options: str = "") -> str:
    """Tells a rung from the same one of another base, version or options, which an interrupted training may have left behind."""
    return hashlib.sha256(f"{base}\n{__version__}\n{options}".encode()).hexdigest()[:8]


def _options(module: Learner, base: str | None, seconds_left: float, fits: int, said: Mapping[str, Any]) -> Any:
    """What is said of the learner's options, with the base model and the time that are left to it where it has such options."""
    fields = module.Options.model_fields
    given: dict[str, Any] = {name: value for name, value in said.items() if name in fields}
    if base is not None and "base" in fields:
        given["base"] = base
    if "minutes" in fields:
        given["minutes"] = min(given.get("minutes") or math.inf, max(0.5, seconds_left / 60 / fits))
    return module.Options(**given)


def _mixtures(climbs: list[Climb], judged: TextLessons, shaping: Callable[[int], npt.NDArray[np.bool_]]) -> list[Climb]:
    rows = shaping(len(judged))
    made: list[Climb] = []
    for members in mixtures([c for c in climbs if c.name != "baseline"]) if rows.sum() >= 2 else []:
        shares = fit_shares([c.scores[rows] for c in members], judged.labels[rows])
        weights = Mixture(tuple((c.name, c.weights) for c in members if isinstance(c.weights, Weights)), shares)
        raw = mix([c.scores for c in members], shares)
        seconds, latency = sum(c.train_seconds for c in members), sum(c.latency_ms for c in members)
        made.append(Climb("+".join(c.name for c in members), weights, raw, seconds, latency))
    return made


def _cascades(climbs: list[Climb], judged: Judged, shaping: Callable[[int], npt.NDArray[np.bool_]]) -> list[Climb]:
    """Each writer behind the best of those that are far smaller, if there is one."""
    writers = [c for c in climbs if c.weights.form == "conversation" and isinstance(c.weights, Weights)]
    rows, made = shaping(len(judged)), []
    for large in writers if rows.sum() >= 2 else []:
        small = [c for c in writers if FAR_SMALLER * c.weights.size_bytes() <= large.weights.size_bytes()]
        if not small:
            continue
        first = max(small, key=lambda c: judged.score(c.raw, 0).value)
        pair = [(c.name, cast(Weights, c.weights), cast(Sequence[Written], c.raw)) for c in (first, large)]
        weights, raw, asked = cascade_of(pair[0], pair[1], judged, rows)
        latency = first.latency_ms + asked * large.latency_ms
        seconds = first.train_seconds + large.train_seconds
        made.append(Climb(f"{first.name}>{large.name}", weights, raw, seconds, latency))
    return made


def _by_member(
    climbs: list[Climb], judged: Judged, shaping: Callable[[int], npt.NDArray[np.bool_]], seed: int
) -> list[Climb]:
    """The readers of fields as one, each field read by those that read it best, if that is not one of them for all."""
    readers = [c for c in climbs if c.weights.form == "labelled_fields" and isinstance(c.weights, Weights)]
    readers = sorted(readers, key=lambda c: c.weights.size_bytes())[:MOST_READERS]
    rows = shaping(len(judged))
    if len(readers) < 2 or rows.sum() < 2:
        return []
    members = [Member(c.name, cast(Weights, c.weights), cast(Sequence[FoundFields], c.raw)) for c in readers]
    made = fields_by_member(members, judged, rows, seed)
    if made is None:
        return []
    weights, raw, asked = made
    used = [next(c for c in readers if c.name == name) for name, _ in weights.members]
    latency = sum(share * c.latency_ms for share, c in zip(asked, used, strict=True))
    return [Climb("|".join(c.name for c in used), weights, raw, sum(c.train_seconds for c in used), latency)]


def mixtures(climbs: Sequence[Climb]) -> list[list[Climb]]:
    """Words with each encoder, words with all frozen ones, words with all: words know spellings, encoders know meanings."""
    words = [c for c in climbs if c.name == "text_linear"]
    encoders = [c for c in climbs if c.weights.format == "onnx_text"]
    frozen = [c for c in encoders if c.name.startswith("encoder_head")]
    groups = [*([e] for e in encoders), frozen, encoders]
    made = [[*words, *group] for i, group in enumerate(groups) if words and group and group not in groups[:i]]
    return [members for members in made if len(members) <= MOST_MEMBERS]


def _choose(climbs: list[Climb], judged: Judged, notes: dict[str, str], *, out_of_fold: bool, seed: int) -> Ladder:
    scores = [judged.score(c.raw, seed) for c in climbs]
    best = max(range(len(climbs)), key=lambda i: scores[i].value)
    worse = [1.0 if i == best else judged.worse(climbs[i].raw, climbs[best].raw, seed) for i in range(len(climbs))]
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
                c.weights.size_bytes(), i == chosen, too_long(c.weights),
            ))  # fmt: skip
    rows = "out of fold on the training rows" if out_of_fold else f"on {len(judged):,} validation rows"
    return Ladder(
        climbs, rungs, climbs[chosen], _why(climbs, scores, worse, behind, chosen, best, rows), judged, out_of_fold
    )


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
