"""The proof of a specialist that foresees failures: each horizon's worth, beside the published way to judge, as a Report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from shokunin.metrics import Interval
from shokunin.pipeline.anticipating import Anticipation, FittedRung, Prepared, fit_rungs
from shokunin.pipeline.fleet_reporting import machines_report, sides_of
from shokunin.pipeline.fleet_rows import Fleet
from shokunin.progress import Progress, silent
from shokunin.report import Case, Report, Rung
from shokunin.series.alarms import row_scores, threshold_for_f1, watched_events
from shokunin.series.proof import Worth, as_json, sentence
from shokunin.series.ranking import Ranking, blocks_of, compare_rankings, ranking
from shokunin.series.split import random_windows
from shokunin.series.telling import alarm_text
from shokunin.series.timeline import timeline
from shokunin.series.windows import Windows
from shokunin.specialist import Specialist

LEVEL = 0.05
MOST_PUBLISHED = 40_000
"""Windows that the published way is judged on; more are thinned, as neighbours hardly differ."""
EXPLAINED = 400
TIMELINES = 6
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """Everything a report of a fleet is made of.

    Attributes:
        fleet: what was read.
        prepared: how it was split.
        found: the rungs, and which one was chosen for each horizon.
        worths: of the chosen ones on the test side.
        published: of the published way to judge, one a horizon.
        seconds: the fits took.
    """

    fleet: Fleet
    prepared: Prepared
    found: Anticipation
    worths: tuple[Worth, ...]
    published: tuple[dict[str, Any], ...]
    seconds: float


def judged_as_published(prepared: Prepared, folder: Path, *, progress: Progress = silent) -> list[dict[str, Any]]:
    """The very labels of this fleet, judged as the published code judges: what a leak of this sort would have claimed.

    A random 15 % of the windows test, training keeps them, ranges have seen the whole history, positives are weighed
    up, and the threshold is the best one on the test windows (Yasuno, arXiv 2602.15089, and its code).
    """
    known = np.flatnonzero((prepared.labels >= 0).all(axis=1))
    known = known[:: max(1, len(known) // MOST_PUBLISHED)]
    windows, labels = prepared.windows.take(known), prepared.labels[known]
    split = random_windows(prepared.readings, windows, inside=True)
    plan = prepared.plan
    trees = plan.trees.model_copy(update={"weigh_positives": True})
    told = plan.model_copy(
        update={"trees": trees, "rungs": ("statistics",), "split": "time", "scale": plan.measured_by}
    )
    mixed = [
        j for j in range(len(plan.horizons)) if all(0 < labels[s, j].mean() < 1 for s in (split.train, split.test))
    ]
    if not mixed:
        return []
    told = told.model_copy(update={"horizons": tuple(plan.horizons[j] for j in mixed)})
    leaky = replace(prepared, plan=told, windows=windows, labels=labels[:, mixed], split=split)
    found = fit_rungs(leaky, folder, progress=progress)
    out = []
    for j, horizon in enumerate(told.horizons):
        risks, truth = expit(found.test[:, j]), leaky.labels[split.test, j]
        ranked = _ranked(found.test[:, j], truth, windows.take(split.test), windows.length + horizon)
        if ranked is not None:
            best = row_scores(risks, truth, threshold_for_f1(risks, truth))
            out.append({"horizon": horizon, **_areas(ranked), "f1": best["f1"], "windows": len(split.test)})
    return out


def fleet_report(
    specialist: Specialist,
    judged: Judged,
    sample: Sequence[tuple[dict[str, str], int, str]],
    *,
    progress: Progress = silent,
) -> Report:
    """The report.

    Args:
        specialist: open; its answers to the sample become the report's cases.
        judged: the proof.
        sample: windows of the test side as they would be sent, their numbers, and until when each is.
        progress: told how far it is.
    """
    prepared, worths = judged.prepared, judged.worths
    main = worths[0]
    answers = specialist.predict([inputs for inputs, _, _ in sample])
    cases = [
        _case(inputs, answer, until, prepared.labels[row], prepared)
        for (inputs, row, until), answer in zip(sample, answers, strict=True)
    ]
    scores, baseline = _scores(judged)
    outcome, reasons = _verdict(judged, specialist.task.target_score, specialist.task.metric)
    split, threshold = prepared.split, main.alarms.threshold
    return machines_report(
        specialist,
        [inputs for inputs, _, _ in sample],
        verdict=outcome,
        reasons=reasons,
        rows=len(split.test),
        metric=specialist.task.metric,
        scores=scores,
        baseline=baseline,
        ladder=_ladder(judged, specialist.task.metric),
        why_chosen=judged.found.chosen[0].why,
        threshold=threshold if np.isfinite(threshold) else None,
        calibration=main.calibration,
        dataset=sides_of(len(split.train), len(split.validation), len(split.test), prepared.readings),
        anticipation=_anticipation(judged),
        cases=cases,
        progress=progress,
    )


def _scores(judged: Judged) -> tuple[dict[str, Interval], dict[str, Any]]:
    """Areas of the first horizon under their own names, of the others as `pr_auc[60]`; and those without any skill."""
    scores: dict[str, Interval] = {}
    base: dict[str, Any] = {}
    for place, worth in enumerate(judged.worths):
        ranked = worth.ranking
        for metric in ("pr_auc", "roc_auc"):
            name = metric if place == 0 else f"{metric}[{worth.horizon}]"
            value = Interval(0.0, 0.0, 1.0) if ranked is None else getattr(ranked, metric)
            scores[name] = value
            without = 0.5 if metric == "roc_auc" else (0.0 if ranked is None else ranked.base_rate)
            base[name] = asdict(Interval(without, without, without))
    return scores, {"label": "the base rate", "scores": base, "p": _p_of_chance(judged)}


def _p_of_chance(judged: Judged) -> float:
    """How likely the first horizon's ranking would be without any skill: paired with the base rate, on the test side."""
    prepared, chosen = judged.prepared, judged.found.chosen[0]
    rows = prepared.split.test
    windows, labels = prepared.windows.take(rows), prepared.labels[rows, 0]
    if judged.worths[0].ranking is None:
        return 1.0
    blocks = blocks_of(windows.unit, windows.step, windows.length + chosen.horizon)
    found = compare_rankings(np.zeros(len(rows)), chosen.rung.test[:, 0], labels, blocks, seed=prepared.plan.seed)
    return float(found["roc_auc"].p_worse)


def _verdict(judged: Judged, target: float | None, metric: str) -> tuple[str, list[str]]:
    """Pass where the first horizon is foreseen measurably better than by chance, and as well as was asked."""
    fleet, grid, main = judged.fleet, judged.prepared.readings.grid, judged.worths[0]
    reasons = [sentence(worth, grid)[0].upper() + sentence(worth, grid)[1:] + "." for worth in judged.worths]
    rules = judged.found.chosen[0].rung.name == "base_rate"
    good = main.skill and not rules
    if not good:
        what = alarm_text(fleet.options.event, grid.span(main.horizon), main.when)
        reasons.insert(
            0, f"{'An' if what[:1] in 'aeiou' else 'A'} {what} is not foreseen measurably better than by chance."
        )
    if good and target is not None and main.ranking is not None:
        reached = getattr(main.ranking, metric)
        if reached.low < target:
            good = False
            reasons.insert(0, f"The lower end of {metric}, {reached.low:.3f}, does not reach the target of {target:g}.")
    gone = [leak for leak in judged.prepared.leaks if leak.channel not in judged.prepared.plan.keep_leaks]
    reasons += [f"Channel {leak.channel!r} was taken out: {leak.why}." for leak in gone]
    return ("pass" if good else "fail"), reasons


def _ladder(judged: Judged, metric: str) -> list[Rung]:
    """Every rung as it did on the validation side at the first horizon."""
    prepared, found = judged.prepared, judged.found
    rows = prepared.split.validation
    windows, labels = prepared.windows.take(rows), prepared.labels[rows, 0]
    span = windows.length + prepared.plan.horizons[0]
    best = max(found.rungs, key=lambda r: _value(_ranked(r.validation[:, 0], labels, windows, span), metric))
    out = []
    for rung in found.rungs:
        ranked = _ranked(rung.validation[:, 0], labels, windows, span)
        score = None if ranked is None else getattr(ranked, metric)
        compared = None
        if rung is not best and ranked is not None:
            blocks = blocks_of(windows.unit, windows.step, span)
            compared = compare_rankings(rung.validation[:, 0], best.validation[:, 0], labels, blocks)[metric]
        out.append(
            Rung(
                rung.name, score, None if compared is None else compared.p_worse,
                0.0 if compared is None else -compared.difference.value, size_bytes=rung.weights.size_bytes(),
                chosen=rung is found.chosen[0].rung, note=None if score is not None else "one kind of window only",
            )
        )  # fmt: skip
    return out + [Rung(name, None, note=note) for name, note in found.notes.items()]


def _value(ranked: Ranking | None, metric: str) -> float:
    return -1.0 if ranked is None else float(getattr(ranked, metric).value)


def _ranked(scores: Floats, labels: npt.NDArray[np.int8], windows: Windows, span: int) -> Ranking | None:
    known = labels >= 0
    if not known.any() or not 0 < (labels[known] == 1).mean() < 1:
        return None
    return ranking(scores, labels, blocks_of(windows.unit, windows.step, span))


def _areas(ranked: Ranking) -> dict[str, Any]:
    return {"roc_auc": asdict(ranked.roc_auc), "pr_auc": asdict(ranked.pr_auc), "base_rate": ranked.base_rate}


def _anticipation(judged: Judged) -> dict[str, Any]:
    """Everything that the page shows and no other kind has."""
    fleet, prepared, found = judged.fleet, judged.prepared, judged.found
    grid, plan = prepared.readings.grid, prepared.plan
    honest = [
        {
            "horizon": w.horizon, **({} if w.ranking is None else _areas(w.ranking)), "f1": w.rows["f1"],
            "windows": len(prepared.split.test),
        }
        for w in judged.worths
    ]  # fmt: skip
    return {
        "event": fleet.options.event,
        "target": plan.target,
        "when": plan.when,
        "grid": {"step": grid.step, "times": grid.times},
        "window": plan.window,
        "units": len(prepared.readings.units),
        "channels": list(prepared.readings.channels),
        "month": "100 cycles" if grid.step == "cycle" else "30 days",
        "budget": fleet.options.alarms_a_month,
        "horizons": [
            {
                **as_json(worth), "span": grid.span(worth.horizon), "sentence": sentence(worth, grid),
                "rung": choice.rung.name, "why": choice.why,
                "rungs": [_rung_worth(r, j, judged) for r in found.rungs],
            }
            for j, (worth, choice) in enumerate(zip(judged.worths, found.chosen, strict=True))
        ],
        "protocols": {"published": list(judged.published), "honest": honest},
        "split": prepared.split.facts,
        "leaks": [asdict(leak) for leak in prepared.leaks],
        "read": prepared.readings.facts,
        "taken": fleet.facts,
        "speaking": _speaking(judged),
        "timelines": _timelines(judged),
    }  # fmt: skip


def _rung_worth(rung: FittedRung, j: int, judged: Judged) -> dict[str, Any]:
    prepared = judged.prepared
    rows = prepared.split.test
    windows = prepared.windows.take(rows)
    ranked = _ranked(rung.test[:, j], prepared.labels[rows, j], windows, windows.length + prepared.plan.horizons[j])
    return {"rung": rung.name, **({} if ranked is None else _areas(ranked))}


def _speaking(judged: Judged) -> list[dict[str, Any]]:
    """Each channel's mean push, in log-odds, over windows of the test side at the first horizon; loudest first."""
    prepared, rung = judged.prepared, judged.found.chosen[0].rung
    test = prepared.split.test
    rows = test[np.unique(np.linspace(0, len(test) - 1, min(EXPLAINED, len(test))).astype(int))]
    x = rung.model.recipe.matrix(prepared.readings, prepared.windows.take(rows))
    parts = rung.model.forests[0].contributions(x)[:, :-1] * rung.model.risks[0].slope
    names = ["text" if n.startswith("text_") else n.rpartition(".")[0] for n in rung.model.recipe.names()]
    sums = {name: np.zeros(len(x)) for name in dict.fromkeys(names)}
    for name, column in zip(names, parts.T, strict=True):
        sums[name] += column
    loud = sorted(((name, float(np.abs(v).mean())) for name, v in sums.items()), key=lambda pair: -pair[1])
    return [{"channel": name, "push": push} for name, push in loud if push > 0]


def _timelines(judged: Judged) -> list[dict[str, Any]]:
    """Pictures of units of the test side: caught, missed and false alarms first, each with its loudest sensor.

    Only failures that an alarm could have been about are drawn.
    """
    prepared, worth = judged.prepared, judged.worths[0]
    test, grid = prepared.split.test, prepared.readings.grid
    windows = prepared.windows.take(test)
    risks, threshold = expit(judged.found.test[:, 0]), worth.alarms.threshold
    speaking = _speaking(judged)
    loud = next(
        (s["channel"] for s in speaking if s["channel"] in prepared.readings.channels), prepared.readings.channels[0]
    )
    place = prepared.readings.channels.index(loud)
    reach = worth.horizon if worth.when == "within" else worth.horizon + prepared.plan.offset
    told = []
    for unit in np.unique(windows.unit).tolist():
        own = [a for a in worth.alarms.alarms if a.unit == unit]
        rows = np.flatnonzero(windows.unit == unit)
        rows = rows[np.argsort(windows.step[rows])]
        events = watched_events(windows.step[rows], prepared.events.get(unit, ()), reach, worth.when)
        caught = any(a.outcome == 1 for a in own)
        what = "caught" if caught else "missed" if events else "false alarm" if own else "quiet"
        told.append((what, unit, rows, own, events))
    order = {"caught": 0, "missed": 1, "false alarm": 2, "quiet": 3}
    told.sort(key=lambda t: (order[t[0]], t[1]))
    shown: list[Any] = []
    for kind in order:
        shown += [t for t in told if t[0] == kind][: 2 if kind != "quiet" else 1]
    out = []
    for what, unit, rows, own, events in shown[:TIMELINES]:
        name = prepared.readings.units[unit]
        steps = windows.step[rows]
        values = np.asarray(
            [
                prepared.readings.stretches[s].values[e, place]
                for s, e in zip(windows.stretch[rows], windows.end[rows], strict=True)
            ]
        )
        when = [grid.when(int(step)) for step in (steps[0], steps[-1])]
        risk_of = alarm_text(judged.fleet.options.event, grid.span(worth.horizon), worth.when)
        svg = timeline(
            f"{name}: risk of a {risk_of}", steps, (loud, values),
            risks[rows], threshold, [(a.step, a.outcome) for a in own], events, when,
        )  # fmt: skip
        out.append({"unit": name, "what": what, "svg": svg})
    return out


def _case(inputs: Mapping[str, str], answer: Any, until: str, labels: npt.NDArray[np.int8], prepared: Prepared) -> Case:
    plan, grid = prepared.plan, prepared.readings.grid
    came = [h for h, label in zip(plan.horizons, labels.tolist(), strict=True) if label == 1]
    known = (labels >= 0).any()
    word = "within" if plan.when == "within" else "in"
    expected = "" if not known else (f"{word} {grid.span(came[0])}" if came else "nothing came")
    ringing = [h["steps"] for h in answer.details.get("horizons", []) if h["alarm"]]
    right = bool(set(ringing) & set(came)) if ringing else not came
    return Case(
        f"{inputs['unit']}, until {until}", {"unit": inputs["unit"], "until": until}, expected, answer.value,
        answer.confidence, right, True, problem=answer.problem, details={"said": answer.details.get("said")},
    )  # fmt: skip
