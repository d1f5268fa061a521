"""The report in its four shapes: what it says, and that nothing a row or label contains can break or leave the page."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prove_fakes import PROMISE, TASK, report
from rich.console import Console

from shokunin.calibration import Promise
from shokunin.files import write_text
from shokunin.prove.page import headline
from shokunin.prove.render import model_card, report_html, report_json, report_terminal
from shokunin.prove.wording import (
    duration,
    milliseconds,
    p_value,
    percent,
    points,
    printable,
    round_percent,
    share,
    size,
)
from shokunin.report import report_from_dict, report_to_dict
from shokunin.task import Task
from shokunin.tasks import kind

HOSTILE = (
    '<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "</title></style><h1>", "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)", "'; DROP TABLE", "&lt;b&gt;", "\u202eesrever", "nul\x00bell\x07", "[bold red]x[/]", "| a | b |",
    "お問い合わせ", "a" * 3000,
)  # fmt: skip
VOID = {"meta", "br", "img", "hr", "input", "link", "circle", "line", "path", "polyline", "polygon"}


class Page(HTMLParser):
    """Which tags and addresses a page has, and whether its tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action", "data", "xlink:href")]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text.replace("\u00a0", " ").replace("\u2060", ""))


def terminal(made: Any, width: int = 160) -> str:
    out = io.StringIO()
    report_terminal(made, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def test_the_page_begins_with_the_verdict_in_plain_words() -> None:
    made = report()
    page = Page(report_html(made))
    accuracy = made.scores["accuracy"]
    verdict = f"Yes: ready to use. It is right in {share(accuracy)} of 90 cases it had never seen."
    assert verdict in page.words
    assert "of those at most 5 % are wrong, with 95 % confidence, and the rest it passes on." in page.words
    assert page.words.index(verdict) < page.words.index("What it answers itself") < page.words.index("Compared with")
    for heading in (
        "Why this model",
        "How far its certainty can be trusted",
        "Where it goes wrong",
        "What this rests on",
    ):
        assert heading in page.words
    assert "2 times, this one included" in page.words
    assert "ab" * 32 in page.words
    assert "2 exact, 1 near; taken out" in page.words


def test_a_failed_report_says_no_first() -> None:
    made = report(task=replace(TASK, target_score=0.99))
    assert made.verdict == "fail"
    page = Page(report_html(made))
    assert "No: not ready to use." in page.words
    assert "does not reach the target of 99 %" in page.words
    assert "No: not ready to use." in terminal(made)


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    html = report_html(report())
    page = Page(html)
    assert page.addresses == []
    assert page.handlers == []
    assert not page.tags & {"script", "iframe", "object", "embed", "link", "img", "form", "base", "foreignobject"}
    assert "url(" not in html
    assert "@import" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert page.tags >= {"svg", "title", "table"}


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_labels_texts_and_names_stay_text(evil: str) -> None:
    made = report((evil, evil + "2", "invoice"), text=evil, problem=evil)
    made = replace(made, specialist=evil, replay=None, reasons=[*made.reasons, evil], why_chosen=evil)
    made = replace(made, dataset={**made.dataset, "recorded": {"models": [evil, "gpt"]}})
    plain = Page(report_html(report()))
    page = Page(report_html(made))
    assert page.tags == plain.tags
    assert page.handlers == page.addresses == []
    shown = printable(evil, 60)[:40].split("\n")[0].strip().rstrip("…")
    assert shown.replace("\u00a0", " ")[:20] in page.text.replace("\u00a0", " ")
    assert "49" not in re.findall(r"\{\{ 7.{0,10}", page.text)
    terminal(made)
    front, _, body = model_card(made, {"labels": [evil]}).removeprefix("---\n").partition("\n---\n")
    assert "\n# " in body
    assert not Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(body)).tags & {"script", "img", "b"}
    assert all(re.match(r"(\s*(- )?[a-z_-]+:( .+)?|\s*- [a-z0-9-]+)$", line) for line in front.split("\n"))
    json.dumps(report_json(made), allow_nan=False)


@given(st.text(min_size=1, max_size=30), st.text(max_size=60))
@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_any_label_and_text_can_be_written(label: str, text: str) -> None:
    made = report((label, label + "~", "z"), text=text)
    page = Page(report_html(made))
    assert not page.tags & {"script", "img"}
    terminal(made, width=60)
    model_card(made, {"labels": [label]}).encode("utf-8")


def test_lone_surrogates_can_be_written_to_disk(tmp_path: Path) -> None:
    made = report(("\ud800", "b", "c"), text="\udfff")
    write_text(tmp_path / "report.html", report_html(made))
    write_text(tmp_path / "card.md", model_card(made, {"labels": ["\ud800"]}))


def test_json_has_the_fixed_spelling() -> None:
    made = report()
    said = report_json(made)
    assert list(said)[:9] == [
        "specialist", "version", "verdict", "rows", "scores", "baseline", "ladder", "latency_ms", "threshold",
    ]  # fmt: skip
    assert said["scores"]["accuracy"].keys() == {"value", "low", "high"}
    assert {"value", "coverage", "bound", "confidence"} <= said["threshold"].keys()
    assert said["latency_ms"].keys() == {"p50", "p95", "p99"}
    assert said["wrong"] == sum(not c.correct for c in made.cases)
    assert "cases" not in said
    assert json.loads(json.dumps(said, allow_nan=False)) == json.loads(json.dumps(said))


def test_a_report_survives_json_with_every_case() -> None:
    made = report(problem="the text is empty")
    again = report_from_dict(json.loads(json.dumps(report_to_dict(made), allow_nan=False)))
    assert again == replace(made, dataset=again.dataset)
    assert len(again.cases) == made.rows == 90
    assert report_html(again) == report_html(made)


def test_worst_cases_are_the_confidently_wrong_first() -> None:
    made = report()
    page = Page(report_html(made))
    wrong = sorted((c for c in made.cases if not c.correct), key=lambda c: -c.confidence)
    places = [page.text.index(f"({c.origin})") for c in wrong]
    assert places == sorted(places)
    assert f"{len(wrong)} of 90 answers were wrong" in page.words


def test_no_promise_is_said_with_its_reason() -> None:
    reason = "59 error-free rows are needed for 5 % at 95 %; there are 40 validation rows"
    made = report(promise=Promise(2.0, 0.0, 0.05, 0.95, 40, True, reason))
    page = Page(report_html(made))
    assert f"No threshold can be promised: {reason}." in page.words
    assert "at most 5 % are wrong" not in page.words
    assert "ready" not in page.words.split("What it answers itself")[0]
    right = percent(made.scores["accuracy"].value)
    verdict = f"Right in {right} of cases, but nothing can be promised: every request would go to the large model."
    assert verdict in page.words and verdict in terminal(made)
    likeness = headline(replace(made, metric="rouge_l", scores={"rouge_l": made.scores["accuracy"]}))
    assert likeness.startswith(f"ROUGE-L {right}, but nothing can be promised")
    assert headline(replace(made, verdict="fail")) == "No: not ready to use."
    assert "No threshold can be promised" in model_card(made, {})
    assert "**Better than the trivial answer, but nothing can be promised.**" in model_card(made, {})
    assert Page(report_html(report(promise=None))).words.count("no threshold was chosen") == 1


@pytest.mark.parametrize(
    ("error", "low", "high", "words", "claimed"),
    [
        (0.01, 0.0, 0.03, "the promise was kept", True),
        (0.06, 0.04, 0.09, "by no more than chance may do", True),
        (0.09, 0.06, 0.12, "more than promised", False),
    ],
)
def test_a_broken_promise_is_not_called_kept(error: float, low: float, high: float, words: str, claimed: bool) -> None:
    made = report()
    here = {"error_here": error, "error_here_low": low, "error_here_high": high}
    made = replace(made, threshold={**made.threshold, **here})
    page = Page(report_html(made)).words
    assert words in page
    assert ("of those at most 5 % are wrong" in page) == claimed
    assert ("measurably more than the promised 5 %" in page) != claimed


def test_rows_scored_out_of_fold_are_said_to_be() -> None:
    made = report(promise=replace(PROMISE, exact=False))
    assert "scored out of fold" in Page(report_html(made)).words
    assert "scored out of fold" in model_card(made, {})


def test_a_report_on_given_rows_without_ladder_or_rival() -> None:
    made = report(against=False, ladder=[], why_chosen="", openings=0, replay=None, dataset={
        "source": "new.csv", "digest": "cd" * 32, "test": 90, "rows_in": 100, "without_answer": 10, "broken": 0,
        "labels_never_learnt": ["complaint"],
    })  # fmt: skip
    page = Page(report_html(made))
    assert "Why this model" not in page.words
    assert "new.csv" in page.words
    assert "complaint" in page.words
    assert "replay" not in terminal(made)


def test_a_faultless_specialist_has_no_worst_cases() -> None:
    made = report()
    right = [replace(c, value=c.expected, correct=True, problem=None) for c in made.cases]
    assert "Where it goes wrong" not in Page(report_html(replace(made, cases=right, worst_pairs=[]))).words


@pytest.mark.parametrize(
    ("models", "whose"),
    [
        ([], "the large model"),
        (["gpt-4o-mini"], "gpt-4o-mini"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d"], "a, b and 2 more models"),
    ],
)
def test_rows_from_conversations_are_what_a_model_answered(models: list[str], whose: str) -> None:
    made = report()
    made = replace(made, dataset={**made.dataset, "recorded": {"models": models}})
    said = f"It agrees with the recorded answers of {whose} in {share(made.scores['accuracy'])} of 90 cases"
    assert said in terminal(made, width=300)
    page = Page(report_html(made))
    assert (
        f"agrees with the recorded answers of {whose} in" in page.words and "of answers are as recorded" in page.words
    )
    assert f"On 90 sealed rows, beside the recorded answers of {whose}, with" in model_card(made, {})
    f1 = report(task=replace(TASK, metric="macro_f1"))
    f1 = replace(f1, dataset={**f1.dataset, "recorded": {"models": models}})
    assert f"Its macro-F1 beside the recorded answers of {whose} is" in terminal(f1, width=300)


def test_macro_f1_leads_where_the_task_says_so() -> None:
    made = report(task=Task("inquiries", metric="macro_f1"))
    assert f"Its macro-F1 is {share(made.scores['macro_f1'])}" in Page(report_html(made)).words


def test_the_terminal_shows_verdict_ladder_comparison_and_speed() -> None:
    text = terminal(report())
    for words in (
        "Yes: ready to use.",
        "this specialist",
        "both together",
        "text_linear",
        "chosen",
        "not tried",
        "p95 0.90 ms",
    ):
        assert words in text
    assert "90 rows through the running server, 0 answered differently" in text
    assert max(map(len, terminal(report(), width=80).splitlines())) <= 80


def test_the_card_has_the_front_matter_that_hubs_read() -> None:
    base = {"name": "sentence-transformers/all-MiniLM-L6-v2", "licence": "apache-2.0", "sha256": "12" * 32}
    manifest = {
        "labels": ["refund", "parcel"],
        "weights": {"facts": {"base": base}},
        "steps": [{"step": "train", "learner": "encoder_head"}, {"step": "compress", "method": "integer"}],
        "parent": "inquiries@2",
    }
    made = report()
    card = model_card(made, manifest)
    front, _, body = card.removeprefix("---\n").partition("\n---\n")
    assert 'license: "apache-2.0"' in front
    assert 'base_model: "sentence-transformers/all-MiniLM-L6-v2"' in front
    assert "pipeline_tag: text-classification" in front
    assert f'- type: accuracy\n      name: "accuracy"\n      value: {made.scores["accuracy"].value:.4f}' in front
    assert "train encoder\\_head, then compress integer" in body
    assert "Derived from: inquiries@2" in body
    assert share(made.scores["macro_f1"]) in body
    assert 'license: "other"' in model_card(made, {"weights": {"facts": {"base": {"licence": "not stated"}}}})


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("classify_text", {}, "It gives a text one of 2 labels: `b`, `a`."),
        (
            "extract_fields",
            {"fields": {"total": "money"}},
            "It finds in a document: `total`; the answer is a JSON object.",
        ),
        (
            "extract_fields",
            {"fields": {"type": "object", "properties": {"total": {"type": "string"}}}},
            "It finds in a document: `total`; the answer is a JSON object.",
        ),
        ("generate_text", {"language": "sql"}, "It writes SQL."),
        (
            "anticipate_failures",
            {"window": 9, "sensors": ["oil"], "horizons": [3, 7], "event": "stop {}"},
            "From a unit's last 9 readings of `oil` it says how likely a stop {} is within 3 days, 7 days.",
        ),
    ],
)
def test_the_card_says_what_every_kind_does(name: str, options: dict[str, Any], said: str) -> None:
    made = replace(report(), kind=name)
    card = model_card(made, {"labels": ["b", "a"], "task": {"options": options}})
    assert said in card.split("\n")
    assert f"pipeline_tag: {kind(name).HUB_TASK}\n" in card or kind(name).HUB_TASK is None


def test_figures_are_written_as_people_write_them() -> None:
    assert [percent(0.943), percent(None), round_percent(0.05), round_percent(0.025)] == ["94.3 %", "–", "5 %", "2.5 %"]
    assert [size(900), size(4_200_000), size(23_000_000), size(254_000_000), size(None)] == [
        "900 B", "4.2 MB", "23.0 MB", "254 MB", "–",
    ]  # fmt: skip
    assert [size(n) for n in (999, 999_949, 999_600, 2 * 10**12)] == ["999 B", "1.0 MB", "1.0 MB", "2000 GB"]
    assert [duration(s) for s in (0.42, 83, 1140, 7200, None)] == ["0.4 s", "83 s", "19 min", "2.0 h", "–"]
    assert [milliseconds(m) for m in (0.62, 6.1, 1400, None)] == ["0.62 ms", "6.1 ms", "1,400 ms", "–"]
    assert [p_value(p) for p in (0.0, 0.17, None)] == ["p < 0.001", "p = 0.17", ""]
    assert points({"value": -0.004, "low": -0.012, "high": 0.003}) == "−0.4 points (−1.2 to +0.3)"
    assert printable("a\x00\u202eb\ud800\n" + "c" * 50, 10) == "a\ufffd\ufffdb?\ncc" + "c" + "…"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (None, "given cases (whether it had seen them is not known)"),
        (7, "given cases, none of them found among the rows it was trained on"),
    ],
)
def test_of_given_rows_it_says_no_more_than_is_known(seen: int | None, said: str) -> None:
    sealed = report()
    given = replace(sealed, openings=0, dataset={"source": "later.csv", "test": 90, "seen_in_training": seen})
    out = io.StringIO()
    report_terminal(given, Console(file=out, width=300))
    for text in (Page(report_html(given)).text, out.getvalue()):
        assert said in text and "it had never seen" not in text
    page = Page(report_html(given)).text
    assert "90 given for the proof" in page and ("7 that repeat rows it was trained on" in page) == bool(seen)
    assert "cases it had never seen" in Page(report_html(sealed)).text


def test_what_is_said_about_the_ladder_is_true_in_each_mode() -> None:
    made = report()
    apart, fold = "judged on rows set apart for choosing", "each by a model fitted without it"
    for validation, there, absent in ((100, apart, fold), (0, fold, apart)):
        page = Page(report_html(replace(made, dataset={**made.dataset, "validation": validation}))).text
        assert there in page and absent not in page
    note = "not scored: there are no rows that it was not fitted on"
    unscored = [replace(r, score=None, worse_than_best=None, shortfall=None, note=note) for r in made.ladder]
    none = replace(made, ladder=unscored, dataset={**made.dataset, "validation": 0})
    page = Page(report_html(none)).text
    assert apart not in page and fold not in page and note in page
    out = io.StringIO()
    report_terminal(none, Console(file=out, width=300))
    assert note in out.getvalue() and "learner" not in out.getvalue()


def test_memory_is_said_to_be_that_of_the_proving_process() -> None:
    out = io.StringIO()
    report_terminal(report(), Console(file=out, width=300))
    for text in (out.getvalue(), Page(report_html(report())).text, model_card(report(), {})):
        assert "with what a training in it left behind" in text


def test_the_terminal_says_that_nothing_is_promised() -> None:
    text = " ".join(terminal(report(promise=None)).split())
    assert "Nothing can be promised about its answers, so it passes all of them on." in text
    assert "No threshold can be promised: no threshold was chosen." in text
    assert "promised:" not in terminal(report())
