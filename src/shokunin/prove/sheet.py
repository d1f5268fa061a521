"""What all pages of reports share: the styles, and how words and figures are set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shokunin.prove import plots
from shokunin.prove.wording import duration, milliseconds, percent, printable, round_percent, share, size, span

STYLE = Path(__file__).with_name("page.css")
WORDS: dict[str, Callable[..., str]] = {
    "percent": percent,
    "round_percent": round_percent,
    "span": span,
    "share": share,
    "ms": milliseconds,
    "size": size,
    "duration": duration,
}


@cache
def style() -> str:
    """The styles."""
    return STYLE.read_text(encoding="utf-8")


def environment() -> Environment:
    """Templates of this folder that escape everything and know the filters for words and figures."""
    loader = FileSystemLoader(Path(__file__).parent)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    made.filters |= {
        **{name: _never_broken(words) for name, words in WORDS.items()},
        "clean": printable,
        "stopped": lambda text: text if text.endswith(".") else f"{text}.",
        "unbroken": _unbroken,
        "bar": lambda interval, low, high: Markup(plots.interval_bar(interval, low, high)),
    }
    return made


def machine_facts(m: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The machine of a report, in names and values."""
    facts = [
        (
            "machine",
            f"{m.get('processor', 'unknown processor')}, {m.get('cores', '?')} cores, {size(m.get('memory_bytes'))}",
        ),
        ("system", f"{m.get('system', '')}, Python {m.get('python', '')}"),
    ]
    libraries = m.get("libraries") or {}
    if libraries:
        facts.append(("libraries", ", ".join(f"{name} {version}" for name, version in libraries.items())))
    return [(name, printable(value, 400)) for name, value in facts]


def _never_broken(words: Callable[..., str]) -> Callable[..., str]:
    return lambda *arguments: _unbroken(words(*arguments))


def _unbroken(text: str) -> str:
    """No line break between a number and its unit, nor within a range."""
    text = re.sub(r"(?<=\d)–(?=\d)", "\u2060–\u2060", text)
    return re.sub(r"(?<=\d) (?=(?:%|points|ms|s|min|h|B|kB|MB|GB)(?!\w))|(?<=p) (?=[=<] )|(?<=p [=<]) ", "\u00a0", text)
