"""The page that a bank manager can read: the verdict first, in plain words; one file, no network, nothing unescaped."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any, Literal

from jinja2 import Template
from markupsafe import Markup

from shokunin.prove import plots
from shokunin.prove.costs import basis, cost_in_line, items_per_1000, per_1000
from shokunin.prove.documents import wrong_fields
from shokunin.prove.fleet_page import fleet_html
from shokunin.prove.normal_page import normal_html
from shokunin.prove.sheet import environment, machine_facts, style
from shokunin.prove.wording import (
    LEVEL,
    METRIC_MEANINGS,
    SHARES,
    metric_name,
    opened,
    p_value,
    percent,
    points,
    printable,
    round_percent,
    share,
    speaker,
    whole,
)
from shokunin.report import Case, Report, Rung
from shokunin.tasks import kind

WORST_CASES = 12
Tone = Literal["yes", "half", "no"]
TITLES: dict[Tone, str] = {"yes": "ready to use", "half": "nothing promised", "no": "not ready"}
DUPLICATES = {"duplicates": "duplicates", "leaks": "test rows found in training"}


def report_html(report: Report) -> str:
    """The whole report as one HTML page with its styles and plots inside."""
    if report.anticipation is not None:
        return (normal_html if report.anticipation["target"] == "normal" else fleet_html)(report)
    made = promised(report)
    wrong = [c for c in report.cases if not c.correct]
    covered, error = report.threshold.get("coverage_here") or 0.0, report.threshold.get("error_here") or 0.0
    rivals = _rivals(report)
    order = [report.metric, *(m for m in whole(report.scores) if m != report.metric)]
    own = [row["scores"] for row in rivals[1:]]
    scales = {m: plots.scale_of([scores[m] for scores in own]) for m in order}
    return _template().render(
        style=Markup(style()),
        r=report,
        t=report.threshold,
        tone=tone(report),
        title=TITLES[tone(report)],
        headline=headline(report),
        summary=summary(report),
        main=report.scores[report.metric],
        main_told=_told(report),
        fields=[(metric_name(m), i) for m, i in report.scores.items() if m.startswith("f1[")],
        pairs=report.worst_pairs if kind(report.kind).LABELS else [],
        metric_name=metric_name(report.metric),
        promised=made,
        shares={"right": covered * (1 - error), "wrong": covered * error, "rest": 1 - covered},
        metrics=[
            {
                "key": m,
                "name": metric_name(m),
                "means": METRIC_MEANINGS.get(m),
                "low": scales[m][0],
                "high": scales[m][1],
            }
            for m in order
        ],
        rivals=rivals,
        ladder_scale=plots.scale_of([r.score for r in report.ladder if r.score is not None and _is_near(r, report)]),
        risk_plot=Markup(plots.risk_coverage_plot(report.risk_coverage, report.threshold if made else {})),
        reliability_plot=Markup(plots.reliability_plot(report.calibration["bins"])),
        worst=sorted(wrong, key=_badness)[:WORST_CASES],
        wrong_count=len(wrong),
        provenance=_provenance(report),
        machine=machine_facts(report.machine),
        cost=_cost(report),
    )


def tone(report: Report) -> Tone:
    """`yes`: it passed, and what is to be promised is; `half`: it passed, and nothing can be promised; `no`: it did not pass."""
    if report.verdict != "pass":
        return "no"
    return "yes" if report.anticipation is not None or promised(report) else "half"


def headline(report: Report) -> str:
    """The verdict in one line. A specialist that may answer nothing by itself is not called ready, however good it is."""
    how = tone(report)
    if how == "half":
        value = percent(report.scores[report.metric].value)
        good = (
            f"Right in {value} of cases"
            if report.metric in SHARES
            else f"{_capital(metric_name(report.metric))} {value}"
        )
        return f"{good}, but nothing can be promised: every request would go to the large model."
    return "Yes: ready to use." if how == "yes" else "No: not ready to use."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def summary(report: Report) -> str:
    """The figures behind the verdict in two sentences."""
    first = _scored(report)
    if not promised(report):
        return f"{first} Nothing can be promised about its answers, so it passes all of them on."
    t = report.threshold
    itself = f"{first} It answers {percent(t['coverage_here'], 0)} by itself"
    if t.get("error_here_low") is not None and t["error_here_low"] > t["bound"]:
        return (
            f"{itself}, but {percent(t['error_here'])} of those were wrong, measurably more than the promised "
            f"{round_percent(t['bound'])}."
        )
    return (
        f"{itself}; of those at most {round_percent(t['bound'])} are wrong, with {round_percent(t['confidence'])} confidence, "
        "and the rest it passes on."
    )


def _scored(report: Report) -> str:
    cases, recorded = _cases(report), report.dataset.get("recorded")
    if report.metric not in SHARES:
        beside = f" beside the recorded answers of {speaker(recorded['models'])}" if recorded else ""
        return f"Its {metric_name(report.metric)}{beside} is {share(report.scores[report.metric])} on {cases}."
    right = f"agrees with the recorded answers of {speaker(recorded['models'])}" if recorded else "is right"
    return f"It {right} in {share(report.scores[report.metric])} of {cases}."


def _told(report: Report) -> str:
    """What the first figure of the page is about."""
    if report.metric not in SHARES:
        return metric_name(report.metric)
    return "of answers are as recorded" if report.dataset.get("recorded") else "of answers are right"


@cache
def _template() -> Template:
    made = environment()
    made.filters |= {"beside": _beside, "wrong_fields": wrong_fields}
    return made.get_template("report.html.jinja")


def _cases(report: Report) -> str:
    """How many cases there were, and what is known about whether it had seen them: no more than was looked at."""
    if not _given(report):
        return f"{report.rows:,} cases it had never seen"
    if report.dataset.get("seen_in_training") is None:
        return f"{report.rows:,} given cases (whether it had seen them is not known)"
    return f"{report.rows:,} given cases, none of them found among the rows it was trained on"


def _given(report: Report) -> bool:
    """Whether the rows were given by someone, not sealed beside the training."""
    return report.dataset.get("source") is not None


def promised(report: Report) -> bool:
    """Whether a promise about its answers could be made."""
    value = report.threshold.get("value")
    return value is not None and value <= 1 and report.threshold.get("coverage_here") is not None


def _badness(case: Case) -> tuple[bool, float, str]:
    """Confidently wrong first, unanswered last."""
    return (case.problem is not None, -case.confidence, case.origin)


def _rivals(report: Report) -> list[dict[str, Any]]:
    """The rows of the comparison: the trivial baseline, the specialist, the large model, both together."""
    trivial = report.baseline
    clearly = "measurably worse" if trivial["p"] < LEVEL else "not measurably worse"
    label = f"always “{printable(trivial['label'], 60)}”"
    rows = [_rival(label, trivial["scores"], f"{clearly}, {p_value(trivial['p'])}", detail="the trivial baseline")]
    rows.append(_rival("this specialist", {m: asdict(i) for m, i in report.scores.items()}, this=True))
    other = report.against
    if other is not None:
        name, together = printable(other["name"], 60), other["together"]
        rows.append(
            _rival(
                name, other["scores"], *_against_note(other), detail="asked just now" if other["live"] else "recorded"
            )
        )
        passed = f"{percent(together['passed_on'])} of the rows passed on to {name}"
        alone = f"{points(together['difference'])}, {p_value(together['p'])}"
        rows.append(_rival("both together", together["scores"], f"beside {name} alone:", alone, detail=passed))
    return rows


def _rival(
    name: str, scores: dict[str, Any], note: str = "", difference: str = "", *, detail: str = "", this: bool = False
) -> dict[str, Any]:
    return {"name": name, "scores": scores, "note": note, "difference": difference, "detail": detail, "this": this}


def _against_note(other: dict[str, Any]) -> tuple[str, str]:
    difference = {
        "value": -other["difference"]["value"],
        "low": -other["difference"]["high"],
        "high": -other["difference"]["low"],
    }
    word = (
        "cannot be told apart"
        if other["p"] >= LEVEL
        else "measurably " + ("better" if difference["value"] > 0 else "worse")
    )
    return word, f"{points(difference)}, {p_value(other['p'])}"


def _is_near(rung: Rung, report: Report) -> bool:
    """Whether a rung belongs on the common scale; the trivial baseline would squeeze the others together."""
    best = max((r.score.value for r in report.ladder if r.score is not None), default=0.0)
    return rung.score is not None and best - rung.score.value < 0.3


def _beside(rung: Rung) -> str:
    if rung.shortfall is None:
        return ""
    if rung.worse_than_best is None or rung.shortfall <= 0:
        return "the best"
    behind = f"{100 * rung.shortfall:.1f} points behind"
    told = "measurably worse" if rung.worse_than_best < LEVEL else "not measurably worse"
    return f"{behind}, {told} ({p_value(rung.worse_than_best)})"


def _provenance(report: Report) -> list[tuple[str, str]]:
    about = report.dataset
    facts: list[tuple[str, str]] = []
    for key, name in (("source", "rows from"), ("digest", "dataset"), ("labels", "labels")):
        if about.get(key) is not None:
            facts.append((name, f"{about[key]:,}" if isinstance(about[key], int) else printable(about[key], 200)))
    parts = [
        f"{about[k]:,} {word}"
        for k, word in (
            ("train", "to learn from"),
            ("validation", "to choose by"),
            ("test", "given for the proof" if _given(report) else "sealed for the proof"),
        )
        if about.get(k)
    ]
    if parts:
        facts.append(("rows", ", ".join(parts)))
    for key in ("rows_in", "without_answer", "broken"):
        if about.get(key):
            facts.append((key.replace("_", " "), f"{about[key]:,}"))
    if about.get("seen_in_training"):
        facts.append(("left out", f"{about['seen_in_training']:,} that repeat rows it was trained on"))
    if about.get("labels_never_learnt"):
        facts.append(("labels it never learnt", printable(", ".join(map(str, about["labels_never_learnt"])), 400)))
    facts += _care(about.get("facts") or {})
    if report.openings:
        facts.append(("sealed rows opened", opened(report.openings)))
    if report.replay is not None:
        rows, differ = report.replay.get("rows", 0), report.replay.get("disagreements", 0)
        facts.append(
            ("replay", f"{rows:,} rows were sent through the running server; {differ:,} were answered differently")
        )
    if report.calibration.get("temperature") is not None:
        facts.append(("temperature", f"{report.calibration['temperature']:.2f} (set on validation rows)"))
    return facts


def _care(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What curation found, as far as the dataset says."""
    found: list[tuple[str, str]] = []
    aside = (facts.get("rows") or {}).get("set_aside") or {}
    if aside:
        found.append(("set aside", printable("; ".join(f"{n:,} {reason}" for reason, n in aside.items()), 400)))
    for key in ("duplicates", "leaks"):
        about = facts.get(key) or {}
        if about.get("exact") is not None and about.get("near") is not None:
            action = f"; {about['action']}" if about.get("action") else ""
            found.append((DUPLICATES[key], printable(f"{about['exact']:,} exact, {about['near']:,} near{action}", 400)))
    personal = facts.get("personal_data") or {}
    if personal:
        found.append(("personal data", printable(", ".join(f"{n:,} {kind}" for kind, n in personal.items()), 400)))
    return found


def _cost(report: Report) -> dict[str, Any] | None:
    """The section on cost, ready to be shown; None in reports of earlier releases."""
    cost = report.cost
    if cost is None or "missing" in cost:
        return None if cost is None else {"missing": cost_in_line(cost)}
    rented, owned = per_1000(cost)
    return {
        "model": printable(cost["model"], 60),
        "rented": rented,
        "owned": owned,
        "items": items_per_1000(cost),
        "sentence": printable(cost["break_even"]["sentence"], 600),
        "basis": basis(cost),
    }
