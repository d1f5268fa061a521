"""Figures in the words that a page for people uses, the same on paper, in the terminal and in the card."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shokunin.metrics import Interval

METRIC_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "field_f1": "field F1",
    "document_exact": "documents all right",
    "exact_match": "exact match",
    "execution": "same result when run",
    "rouge_l": "ROUGE-L",
    "chrf": "chrF",
    "power": "injected faults found",
    "pr_auc": "average precision",
    "roc_auc": "ROC-AUC",
}
METRIC_MEANINGS = {
    "accuracy": "The share of answers that are right.",
    "macro_f1": "How well each kind of answer is found, every kind counting the same, however rare it is.",
    "field_f1": "Of the values that it should have found and those that it gave, how many were right. A value left out is "
    "not a wrong one.",
    "document_exact": "The share of documents of which every field is right.",
    "exact_match": "The share of answers that are the expected text, apart from white space and full or half width.",
    "execution": "The share of queries that find the same as the expected ones when both are run on the database.",
    "rouge_l": "How much of the expected text comes in the answer, word by word in the same order, and the other way round. "
    "It tells how alike two texts are, not whether the answer is right.",
    "chrf": "How alike two texts are by their short sequences of characters, not whether the answer is right.",
}
SHARES = ("accuracy", "document_exact", "exact_match", "execution")
"""Metrics that are a share of right answers."""
LEVEL = 0.05
"""A difference counts as measured when its p-value is below this."""
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of the text around them."""


def metric_name(metric: str) -> str:
    """A metric's name for people; one of a single field is named after it: `f1[total]` is `total (F1)`."""
    if metric.startswith("f1[") and metric.endswith("]"):
        return f"{metric[3:-1]} (F1)"
    return METRIC_NAMES.get(metric, metric)


def whole(scores: Iterable[str]) -> list[str]:
    """The metrics about whole answers, without those of a single field."""
    return [metric for metric in scores if not metric.startswith("f1[")]


def percent(share: float | None, digits: int = 1) -> str:
    """A measured share: `94.3 %`."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def round_percent(share: float | None) -> str:
    """A chosen share, without needless digits: `5 %`, `2.5 %`."""
    return "–" if share is None else f"{round(100 * share, 6):g} %"


def span(interval: Interval | Mapping[str, float]) -> str:
    """The ends of an interval: `93.5–95.1 %`."""
    low, high = _ends(interval)
    return f"{100 * low:.1f}–{100 * high:.1f} %"


def share(interval: Interval | Mapping[str, float]) -> str:
    """A share with its interval: `94.3 % (93.5–95.1 %)`."""
    value = interval.value if isinstance(interval, Interval) else interval["value"]
    return f"{100 * value:.1f} % ({span(interval)})"


def points(difference: Interval | Mapping[str, float]) -> str:
    """A difference of shares with its interval: `+0.4 points (−0.2 to +0.9)`."""
    value = difference.value if isinstance(difference, Interval) else difference["value"]
    low, high = (f"{100 * end:+.1f}".replace("-", "−") for end in _ends(difference))
    return f"{100 * value:+.1f} points ({low} to {high})".replace("-", "−")


def p_value(p: float | None) -> str:
    """A p-value as one writes it: `p = 0.17`, `p < 0.001`."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `83 s`, `19 min`, `1.5 h`."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def milliseconds(ms: float | None) -> str:
    """`0.62 ms`, `6.1 ms`, `140 ms`."""
    if ms is None:
        return "–"
    return f"{ms:.2f} ms" if ms < 1 else f"{ms:.1f} ms" if ms < 100 else f"{ms:,.0f} ms"


def size(n: int | None) -> str:
    """Bytes in decimal units, as disks are sold: `900 B`, `4.2 MB`."""
    if n is None:
        return "–"
    value = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5 or unit == "GB":
            return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def opened(times: int) -> str:
    """How often sealed rows were opened."""
    return "once, for this proof" if times == 1 else f"{times:,} times, this one included"


def speaker(models: Sequence[str], most: int = 3) -> str:
    """Whose answers were recorded: `gpt-4o-mini`, `gpt-4o-mini and gpt-4o`, or `the large model` where no name was."""
    if not models:
        return "the large model"
    shown = [printable(model, 60) for model in models[: most if len(models) <= most else most - 1]]
    if len(shown) < len(models):
        shown.append(f"{len(models) - len(shown):,} more models")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def printable(text: Any, longest: int = 10_000) -> str:
    """Any text as one that can be encoded and shown: no lone surrogates or control characters, cut with `…`."""
    clean = str(text).encode("utf-8", "replace").decode("utf-8")
    clean = _UNSEEN.sub("\ufffd", clean)
    return clean if len(clean) <= longest else clean[: longest - 1].rstrip() + "…"


def _ends(interval: Interval | Mapping[str, float]) -> tuple[float, float]:
    if isinstance(interval, Interval):
        return interval.low, interval.high
    return interval["low"], interval["high"]
