"""A smaller specialist from a published one: compress the weights, calibrate and prove again, publish with the parent named."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shokunin import registry
from shokunin.compress import compressor
from shokunin.dataset import read_dataset
from shokunin.engines import engine_for
from shokunin.errors import UsageError
from shokunin.files import folder_in_making, read_json
from shokunin.pipeline.answering import codec_of, open_specialist
from shokunin.pipeline.calibrating import calibration_of
from shokunin.pipeline.judged import Judged, judged_by
from shokunin.pipeline.ladder import Ladder
from shokunin.pipeline.mixing import shrink_members
from shokunin.pipeline.publish import publish
from shokunin.pipeline.rows import dataset_folder
from shokunin.pipeline.rungs import Climb, median_latency_ms
from shokunin.progress import Progress, silent
from shokunin.project import open_project
from shokunin.prove.wording import p_value
from shokunin.report import Rung
from shokunin.specialist import Specialist
from shokunin.tasks import kind
from shokunin.weights import Weights


def compress(
    reference: str | Path, *, method: str = "integer", project: str | Path | None = None, progress: Progress = silent
) -> Specialist:
    """Publish a smaller version of a specialist, measured again from validation rows to replay.

    Args:
        reference: what `load` takes.
        method: a compressor's name.
        project: the project's folder; by default the current one.
        progress: told how far it is.

    Raises:
        UsageError: the method reads neither this specialist's format nor, of a mixture, that of any member.
        ProjectError: the specialist or the dataset it was trained on is not in the project.
        ReplayError: more served answers differ from the tested ones than is allowed for compressed weights.
    """
    place = open_project(None if project is None else Path(project))
    parent = registry.read(place.specialists, reference)
    module = compressor(method)
    if parent.weights.format not in (*module.FORMATS, "mixture"):
        raise UsageError(
            f"{method!r} compresses weights of format {', '.join(module.FORMATS)}; {parent.id!r} has {parent.weights.format!r}"
        )
    # The parent's task is the dataset's, but for the goals that were given when it was trained.
    dataset = replace(read_dataset(dataset_folder(place, parent)), task=parent.task)
    codec = codec_of(parent)
    seed, candidates = _history(parent)
    labels = kind(dataset.task.kind).LABELS
    judged = judged_by(dataset.validation or dataset.train, codec, dataset.task.metric, labels=labels)
    with folder_in_making(place.work) as made:
        progress("making the weights smaller", 0, 1)
        start = time.perf_counter()
        lessons, options = codec.lessons(dataset.train, parent.weights.form), module.Options()
        weights = shrink_members(
            parent.weights, lambda w, folder: module.shrink(w, lessons, options, folder), made, formats=module.FORMATS
        )
        climbs = [
            _measure(str(parent.id), parent.weights, judged, 0.0),
            _measure(method, weights, judged, time.perf_counter() - start),
        ]
        ladder = _two_rungs(climbs, judged, seed, held_out=bool(dataset.validation))
        calibration = codec.calibration
        if dataset.validation:
            calibration = calibration_of(ladder, dataset, candidates=candidates, exact=True, seed=seed)
        steps = [*parent.manifest["steps"], {"step": "compress", "method": method, "candidates": candidates}]
        specialist = publish(
            dataset, ladder, calibration, place, replayed=True, progress=progress, steps=steps, parent=parent.id
        )
    return open_specialist(specialist)


def _measure(name: str, weights: Weights, judged: Judged, seconds: float) -> Climb:
    session = engine_for(weights.format).load(weights)
    forms = judged.codec.encode(judged.inputs, weights.form)
    return Climb(name, weights, session.run(forms), seconds, median_latency_ms(session, forms))


def _history(parent: Specialist) -> tuple[int, int]:
    """The seed of the training, and how many models the validation rows have chosen among, the one to come included.

    Specialists of before this was recorded say it by the ladder in their report.
    """
    steps: Sequence[Mapping[str, Any]] = parent.manifest["steps"]
    seed = next((int(step["seed"]) for step in steps if "seed" in step), 0)
    recorded = [int(step["candidates"]) for step in steps if "candidates" in step]
    if recorded:
        return seed, recorded[-1] + 1
    ladder = read_json(parent.folder / "report.json")["ladder"]
    return seed, sum(rung["score"] is not None for rung in ladder) + 1


def _two_rungs(climbs: list[Climb], judged: Judged, seed: int, *, held_out: bool) -> Ladder:
    small, large = climbs[1].weights.size_bytes(), climbs[0].weights.size_bytes()
    smaller = f"asked for: {large / small:.1f} times smaller than {climbs[0].name}"
    if not held_out:
        # Both were fitted on the only rows there are, so neither has an honest score before the sealed rows are opened.
        note = "not scored: there are no rows that it was not fitted on"
        rungs = [
            Rung(c.name, None, None, None, c.train_seconds, c.latency_ms, c.weights.size_bytes(), chosen, note)
            for c, chosen in zip(climbs, (False, True), strict=True)
        ]
        why = (
            f"{smaller}; with no rows set apart for choosing, what that costs was not measured before this proof, and the "
            "promise is the one made for the larger weights"
        )
        return Ladder(climbs, rungs, climbs[1], why, judged, out_of_fold=True)
    before, after = (judged.score(c.raw, seed) for c in climbs)
    p_worse = judged.worse(climbs[1].raw, climbs[0].raw, seed)
    rungs = [
        Rung(
            c.name, score, p, before.value - score.value, c.train_seconds, c.latency_ms, c.weights.size_bytes(), chosen,
        )
        for c, score, p, chosen in zip(climbs, (before, after), (None, p_worse), (False, True), strict=True)
    ]  # fmt: skip
    why = (
        f"{smaller}, {(before.value - after.value) * 100:+.2f} points lost on {len(judged):,} validation rows "
        f"(paired test {p_value(p_worse)})"
    )
    return Ladder(climbs, rungs, climbs[1], why, judged, out_of_fold=False)
