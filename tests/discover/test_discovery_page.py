"""The page of a discovery: what it says, that it needs nothing from outside, and that text from outside stays text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from shokunin.cost import Currency
from shokunin.discover.charts import patterned_chart
from shokunin.discover.found import Found, Money, Rehearsal
from shokunin.discover.page import BARS, LABELS, discovery_html
from shokunin.discover.sentences import answered, headline, percent, saved, spent, unmeasured
from shokunin.metrics import Interval
from shokunin.template import Template, TemplateMessage

USD = Currency()
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}\x1b\u202e"
RECORDS = {
    "in": 1203,
    "used": 1200,
    "set_aside": 3,
    "set_aside_reasons": [{"reason": "not JSON", "records": 3, "first": ["calls.jsonl:7"]}],
}


def found(**more: Any) -> Found:
    """A task that is worth training: $40 a month, of which three quarters are answered here."""
    values: dict[str, Any] = {
        "name": "inbox-parts", "kind": "classify_text", "records": 800, "per_month": 1000.0, "ids": ("a", "b"),
        "templates": (Template((TemplateMessage("user", "Sort the inbox of the parts shop: {{text}}"),)),),
        "labels": ("delivery", "refund"), "schema": None, "models": {"gpt-4o": 800},
        "tokens": {"input": 120.0, "output": 3.0, "estimated": 0.0}, "latency_ms": {"p50": 700.0, "p95": 1400.0},
        "recognised": 1.0, "readable": 1.0, "patternedness": Interval(0.94, 0.92, 0.96),
        "rehearsal": Rehearsal(0.75, 0.02, Interval(0.94, 0.92, 0.96), 700, "text_linear", 0.05, 0.95),
        "money": Money(40.0, 27.0, 20.0, 0.1), "verdict": "TRAIN", "reason": "a specialist would answer about 75%",
        "quote": "Sort the inbox of the parts shop:",
    }  # fmt: skip
    return Found(**{**values, **more})


def left(**more: Any) -> Found:
    values: dict[str, Any] = {
        "name": "chat", "kind": "chat", "templates": (), "labels": (), "rehearsal": None, "verdict": "LEAVE",
        "money": Money(60.0, 0.0), "patternedness": Interval(0.0, 0.0, 1.0), "reason": "free talk",
    }  # fmt: skip
    return found(**{**values, **more})


def page(*tasks: Found, **more: Any) -> str:
    values: dict[str, Any] = {
        "records": RECORDS, "days": 24.0, "prices_as_of": "2026-11-20",
        "following": {task.name: f"shokunin train tasks/{task.name}" for task in tasks},
    }  # fmt: skip
    return discovery_html(tasks, **{**values, **more})


class _Read(HTMLParser):
    """The tags of a page, where they lead to, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_verdict_comes_first_and_in_plain_words() -> None:
    html = page(found(), left())
    assert "<h1>Of $100.00 a month, about $27.00 need not be paid: 1 task is worth training.</h1>" in html
    text = " ".join(_Read(html).text.split()).replace("\u00a0", " ")
    assert "Specialists would answer about 38 % of all calls on your own machine." in text
    assert "$27.00saved a month, over the first year; $20.00 in the first month" in text
    for part in ("not paid any more: $27.00", "checks of its answers: $3.00", "passed on: $10.00"):
        assert part in text
    assert "1,203 records were read: 1,200 used, 3 set aside." in text and "first calls.jsonl:7" in text
    assert text.index("Where the money goes") < text.index("The plan") < text.index("Task by task")


def test_the_plan_names_the_commands_in_their_order() -> None:
    more = found(name="few", verdict="COLLECT MORE", reason="about 300 more rows are needed")
    html = page(
        found(), more, left(), again="shokunin discover logs --write", serve="shokunin serve --project shop",
        following={"inbox-parts": "shokunin train tasks/inbox-parts", "few": "shokunin discover logs", "chat": None},
    )  # fmt: skip
    plan = html.partition("<h2>The plan</h2>")[2].partition("</ol>")[0]
    assert re.findall(r'<code class="cmd">(.*?)</code>', plan) == [
        "shokunin discover logs --write",
        "shokunin train tasks/inbox-parts",
        "shokunin serve --project shop",
        "shokunin discover logs",
    ]
    assert "about 300 more rows are needed." in plan and "Leave the other 1 with" in plan
    written = page(found(), following={"inbox-parts": "shokunin train tasks/inbox-parts"})
    assert "Make a folder" not in written


def test_nothing_worth_training_is_said() -> None:
    html = page(left(), following={"chat": None})
    assert "<h1>No task in this log is worth training yet.</h1>" in html
    assert "best left with the large model" in html and "shokunin train" not in html


def test_where_no_price_is_known_the_calls_are_drawn() -> None:
    unpriced = found(money=Money(None, None))
    html = page(unpriced)
    assert "Where the calls go" in html and "what that saves is not known" in html
    assert 'class="train" style="width:75.0%"' in html and "$" not in _Read(html).text


def test_text_from_outside_stays_text() -> None:
    schema = {"type": "object", "properties": {EVIL: {"type": ["string", "null"]}}, "required": []}
    tasks = (
        found(labels=(EVIL, "refund"), quote=EVIL * 200, models={EVIL: 3}, reason=EVIL),
        found(name="fields", kind="extract_fields", labels=(), schema=schema, verdict="LEAVE"),
        left(name=EVIL),
    )
    records = {**RECORDS, "set_aside_reasons": [{"reason": "not JSON", "records": 3, "first": [EVIL]}]}
    html = page(*tasks, records=records, notes=[EVIL], following={task.name: EVIL for task in tasks}, again=EVIL)
    read = _Read(html)
    assert "script" not in read.tags and "img" not in read.tags
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in read.text and "{{ 7*7 }}" in read.text
    assert "\x1b" not in html and "\u202e" not in html
    ElementTree.fromstring(re.findall(r"<svg.*?</svg>", html, re.DOTALL)[0])


def test_long_lists_and_prompts_are_cut() -> None:
    html = page(found(labels=tuple(f"label-{i}" for i in range(LABELS + 9)), quote="x" * 100_000))
    assert f"label-{LABELS - 1}<" in html and f"label-{LABELS}<" not in html and "and 9 more" in html
    assert len(html) < 60_000
    many = [found(name=f"task-{i}", money=Money(float(i), 0.0), verdict="LEAVE") for i in range(BARS + 3)]
    bars = page(*many).partition('<div class="bars">')[2].partition("<h2>")[0]
    assert "task-3<" in bars and "task-2<" not in bars and "3 more" in bars and "$3.00" in bars


def test_lone_surrogates_and_text_from_right_to_left_can_be_written() -> None:
    html = page(found(quote="\ud800 مرحبا", labels=("שלום", "\udfff")))
    assert "مرحبا" in html and "<bdi>שלום</bdi>" in html and 'dir="auto"' in html
    html.encode("utf-8")


def test_the_page_needs_nothing_from_outside() -> None:
    read = _Read(page(found(), left()))
    assert {"link", "script", "img", "iframe", "a"}.isdisjoint(read.tags)
    assert [value for name, value in read.attributes if name in ("src", "href")] == []
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in read.attributes


def test_amounts_are_in_the_currency_that_is_asked_for() -> None:
    html = page(found(), unit=Currency("JPY", 150))
    assert "Of ¥6,000 a month, about ¥4,050 need not be paid" in html and "$" not in _Read(html).text


@pytest.mark.parametrize("volumes", [(3.0,), (1000.0, 1000.0), (0.4, 2e6)])
def test_the_dots_are_where_their_figures_say(volumes: tuple[float, ...]) -> None:
    tasks = [found(name=f"t{i}", per_month=v, patternedness=Interval(0.5, 0.4, 0.6)) for i, v in enumerate(volumes)]
    svg = ElementTree.fromstring(str(patterned_chart(tasks)))
    dots = {c[0].text: c.attrib for c in svg.iter("circle")}
    grid = [line.attrib for line in svg.iter("line") if line.attrib["class"] == "grid"]
    rows = sorted(float(one["y1"]) for one in grid if one["y1"] == one["y2"])
    assert {float(dot["cy"]) for dot in dots.values()} == {rows[2]}  # half way up
    xs = [float(dots[f"t{i}"]["cx"]) for i in range(len(volumes))]
    assert xs == sorted(xs) and all(62 < x < 876 for x in xs)
    assert {text.text for text in svg.iter("text") if text.attrib["class"] == "label"} <= set(dots)


def test_what_could_not_be_measured_is_named_and_not_drawn() -> None:
    svg = ElementTree.fromstring(str(patterned_chart([left(), found()])))
    assert unmeasured(left()) and not unmeasured(found())
    assert [circle.attrib["class"] for circle in svg.iter("circle")] == ["train"]
    assert len([line for line in svg.iter("line") if line.attrib["class"] == "whisker"]) == 1
    assert "could be measured: chat." in page(found(), left()) and "could be measured" not in page(found())


def test_a_chart_of_nothing_is_drawn() -> None:
    assert ElementTree.fromstring(str(patterned_chart([]))).tag == "svg"


def test_sums_are_of_what_is_known_and_worth_it() -> None:
    tasks = [found(), left(), found(name="b", money=Money(None, None)), found(name="c", verdict="COLLECT MORE")]
    assert spent(tasks) == 140 and saved(tasks) == 27 and answered(tasks) == pytest.approx(0.375)
    assert spent([tasks[2]]) is None and saved([tasks[2]]) is None and answered([]) == 0
    assert headline([tasks[2]], USD) == "1 task is worth training; what that saves is not known."
    assert headline([replace(tasks[0], money=Money(40.0, 27.0)), tasks[0]], USD).endswith("2 tasks are worth training.")


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (0.0001, "under 0.1 %"), (0.004, "0.4 %"), (0.63, "63 %"), (0.9999, "over 99 %"), (1, "100 %")],
)
def test_what_is_not_quite_all_or_none_is_not_said_to_be(share: float, words: str) -> None:
    assert percent(share) == words
