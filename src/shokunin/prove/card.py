"""The model card: Markdown with the front matter that model hubs read, made from the report and the manifest alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from shokunin.metrics import Interval
from shokunin.prove.costs import basis, cost_in_line
from shokunin.prove.page import Tone, tone
from shokunin.prove.wording import (
    metric_name,
    milliseconds,
    percent,
    points,
    printable,
    round_percent,
    share,
    size,
    speaker,
    whole,
)
from shokunin.report import Report
from shokunin.tasks import kind

VERDICTS: dict[Tone, str] = {
    "yes": "ready to use",
    "half": "better than the trivial answer, but nothing can be promised",
    "no": "not ready to use",
}
AREAS = ("pr_auc", "roc_auc")
HUB_METRICS = {"accuracy": "accuracy", "macro_f1": "f1"}


def model_card(report: Report, manifest: Mapping[str, Any]) -> str:
    """The card of one specialist.

    Args:
        report: the proof.
        manifest: the specialist's manifest; `weights.facts.base` names the base model and its licence, if there is one.
    """
    base = ((manifest.get("weights") or {}).get("facts") or {}).get("base") or {}
    return "\n".join([*_front_matter(report, base), *_body(report, manifest, base), ""])


def _front_matter(report: Report, base: Mapping[str, Any]) -> list[str]:
    licence = str(base.get("licence") or "").lower()
    lines = ["---", f"license: {_yaml(licence if licence and ' ' not in licence else 'other')}"]
    if "/" in str(base.get("name") or ""):
        lines += [f"base_model: {_yaml(base['name'])}", "base_model_relation: finetune"]
    tag = kind(report.kind).HUB_TASK
    lines += ["library_name: shokunin", *([f"pipeline_tag: {tag}"] if tag else [])]
    lines += [
        "tags:",
        "- shokunin",
        "- specialist",
        "metrics:",
        *(f"- {HUB_METRICS.get(m, m)}" for m in whole(report.scores)),
    ]
    lines += ["model-index:", f"- name: {_yaml(f'{report.specialist}@{report.version}')}", "  results:"]
    lines += ["  - task:", f"      type: {tag or report.kind}", "    dataset:"]
    lines += [
        f"      name: {_yaml(f'sealed {_rows(report)} of {report.specialist}')}",
        f"      type: {_yaml(report.specialist)}",
    ]
    if report.dataset.get("digest"):
        lines += [f"      revision: {_yaml(report.dataset['digest'])}"]
    lines += ["    metrics:"]
    for metric in whole(report.scores):
        lines += [
            f"    - type: {HUB_METRICS.get(metric, metric)}",
            f"      name: {_yaml(_metric(metric, report))}",
            f"      value: {report.scores[metric].value:.4f}",
        ]
    return [*lines, "---"]


def _body(report: Report, manifest: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    verdict = VERDICTS[tone(report)]
    lines = ["", f"# {_md(report.specialist)}, version {report.version}", "", f"**{verdict.capitalize()}.**"]
    lines += [_md(" ".join(report.reasons)), "", "## What it does", "", _described(report, manifest)]
    lines += [
        "",
        "## How good it is",
        "",
        f"On {report.rows:,} sealed {_rows(report)}{_of(report)}, with 95 % intervals:",
        "",
    ]
    lines += [
        "| | " + " | ".join(_md(_metric(m, report)) for m in report.scores) + " |",
        "|---" * (1 + len(report.scores)) + "|",
    ]
    lines += [f"| **this specialist** | {' | '.join(_figure(m, i) for m, i in report.scores.items())} |"]
    trivial = report.baseline
    always = "" if report.anticipation is not None else "always "
    lines += [f"| {always}{_code(trivial['label'])} | {_row(trivial, report)} |"]
    if report.against is not None:
        lines += [f"| {_md(report.against['name'])} | {_row(report.against, report)} |", ""]
        lines += [f"{_md(report.against['sentence'])} Difference: {points(report.against['difference'])}."]
    asks = "When it raises an alarm" if report.anticipation is not None else "When it asks for help"
    lines += ["", f"## {asks}", "", *_promise(report), "", "## What it costs to run", ""]
    ms = report.latency_ms
    lines += [
        f"- One answer: {milliseconds(ms['p50'])} (p95 {milliseconds(ms['p95'])}, p99 {milliseconds(ms['p99'])}); "
        f"{report.throughput:,.0f} a second in batches",
        f"- Size: {size(report.size_bytes)}; memory of the process that proved it, with what a training in it left "
        f"behind: {size(report.peak_memory_bytes)}",
        f"- Measured on: {_md(str(report.machine.get('processor')))}, {report.machine.get('cores')} cores",
        *_cost(report),
    ]
    lines += ["", "## Where it comes from", "", f"- Dataset: {_code(report.dataset.get('digest'))}"]
    if base:
        lines += [
            f"- Base model: {_md(str(base.get('name')))}, licence {_md(str(base.get('licence')))}, "
            f"SHA-256 {_code(base.get('sha256'))}"
        ]
    steps = [
        str(step.get("step")) + " " + str(step.get("learner") or step.get("method") or "")
        for step in manifest.get("steps") or ()
    ]
    if steps:
        lines += [f"- Steps: {_md(', then '.join(s.strip() for s in steps))}"]
    if manifest.get("parent"):
        lines += [f"- Derived from: {_md(str(manifest['parent']))}"]
    return [*lines, f"- Sealed {_rows(report)} opened: {report.openings:,} times", f"- Made: {report.created}"]


def _described(report: Report, manifest: Mapping[str, Any]) -> str:
    """What it does, as its kind says it."""
    options = (manifest.get("task") or {}).get("options") or {}
    sentence, names = kind(report.kind).described(options, manifest.get("labels") or ())
    return _md(sentence).replace("{}", ", ".join(map(_code, names)), 1)


def _of(report: Report) -> str:
    recorded = report.dataset.get("recorded")
    return f", beside the recorded answers of {_md(speaker(recorded['models']))}" if recorded else ""


def _cost(report: Report) -> list[str]:
    if report.cost is None:
        return []
    if "missing" in report.cost:
        return [f"- {_md(cost_in_line(report.cost))}"]
    sentence = printable(report.cost["break_even"]["sentence"], 600)
    return [f"- {_md(cost_in_line(report.cost))}. {_md(sentence)} {_md(basis(report.cost))}"]


def _promise(report: Report) -> list[str]:
    t = report.threshold
    if report.anticipation is not None and report.anticipation["target"] == "normal":
        return [f"- {_md(line)}" for line in report.reasons]
    if report.anticipation is not None:
        return [f"- {_md(row['sentence'])}" for row in report.anticipation["horizons"]]
    if t.get("value") is None or t["value"] > 1:
        return [
            f"No threshold can be promised: {_md(str(t.get('reason')))}. "
            "Every request is passed on where there is a large model."
        ]
    exact = "" if t["exact"] else ", scored out of fold,"
    return [
        f"It answers when its confidence is at least {t['value']:.4g}. Of the answers it gives itself at most "
        f"{round_percent(t['bound'])} are wrong, with {round_percent(t['confidence'])} confidence over the draw of the "
        f"{t['rows']:,} rows{exact} that this was tested on. On the sealed rows it answered "
        f"{percent(t['coverage_here'])} itself; {percent(t['error_here'])} of those were wrong."
    ]


def _row(scored: Mapping[str, Any], report: Report) -> str:
    return " | ".join(_figure(m, scored["scores"][m]) for m in report.scores)


def _rows(report: Report) -> str:
    """What was sealed."""
    return "rows" if report.anticipation is None else "windows"


def _metric(metric: str, report: Report) -> str:
    """A metric's name; of the areas with the horizon that they are of."""
    name, _, horizon = metric.removesuffix("]").partition("[")
    if name not in AREAS or report.anticipation is None:
        return metric_name(metric)
    rows = report.anticipation["horizons"]
    row = next((r for r in rows if str(r["horizon"]) == horizon), rows[0])
    return f"{metric_name(name)} {'in' if report.anticipation['when'] == 'at' else 'within'} {row['span']}"


def _figure(metric: str, value: Interval | Mapping[str, float]) -> str:
    """A share in percent; an area under a curve is none."""
    if metric.partition("[")[0] not in AREAS:
        return share(value)
    number = asdict(value) if isinstance(value, Interval) else value
    return f"{number['value']:.3f} ({number['low']:.3f}–{number['high']:.3f})"


def _yaml(text: Any) -> str:
    """A JSON string is a YAML string."""
    return json.dumps(printable(text, 400))


def _code(text: Any) -> str:
    """Text between backticks that nothing in it can end, also within a table."""
    plain = " ".join(printable(text, 80).replace("`", "´").replace("|", "¦").split())
    return f"`{plain or ' '}`"


def _md(text: str) -> str:
    """Text that Markdown shows as it is."""
    plain = " ".join(printable(text, 2_000).split())
    return "".join("\\" + c if c in "\\`*_[]<>|#~" else c for c in plain)
