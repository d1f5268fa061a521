"""The section on cost in the four shapes of a report, and that nothing a model is called can break or leave the page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from markdown_it import MarkdownIt
from prove_fakes import report
from test_render import HOSTILE, Page, terminal

from shokunin.prove.render import model_card, report_html, report_json

COST: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "price": {"input": 0.15, "output": 0.6, "origin": "price book of 2026-11-20", "as_of": "2026-11-20"},
    "currency": {"code": "EUR", "per_usd": 0.5},
    "tokens": {"input": 1234.5, "output": 3.2, "from": "estimated from the task's prompt and 90 rows"},
    "shares": {"local": 0.9, "audit": 0.05},
    "per_1000": {
        "rented": 2.0,
        "owned": {"escalations": 0.2, "audits": 0.09, "energy": 0.00001},
        "owned_total": 0.29001,
    },
    "requests": {"a_month": None, "from": "not recorded"},
    "break_even": {"requests": 4321.0, "month": None, "saving": None, "sentence": "From 4,321 requests a month on."},
}


def test_every_shape_has_both_amounts_in_the_owners_currency_and_what_they_rest_on() -> None:
    made = report(cost=COST)
    page, shown = Page(report_html(made)), " ".join(terminal(made).split())
    card = model_card(made, {})
    assert "the large model alone €1.00, all of them by gpt-4o-mini" in page.words.replace("alone€", "alone €")
    for text in (page.words, shown, card.replace("\\", "")):
        assert "€1.00" in text and "€0.15" in text
        assert (
            "passed on €0.10" in text
            and "checked against the large model €0.045" in text
            and "energy €0.0000050" in text
        )
        assert "From 4,321 requests a month on." in text
        assert "$0.15 and $0.6 per million tokens" in text and "price book of 2026-11-20" in text
        assert "at 0.5 EUR for a US dollar" in text
        assert "1,234 tokens a request and 3 an answer (estimated from the task's prompt and 90 rows)" in text
    assert report_json(made)["cost"] == json.loads(json.dumps(COST))


def test_what_is_not_known_is_one_line() -> None:
    made = report(cost={"missing": "No price is known for 'house-1'."})
    for text in (Page(report_html(made)).words, terminal(made), model_card(made, {}).replace("\\", "")):
        assert text.count("No price is known for 'house-1'.") == 1 and "€" not in text and "1,000 answers" not in text


def test_reports_of_earlier_releases_say_nothing_about_it() -> None:
    made = report()
    assert made.cost is None
    assert "thousand answers" not in report_html(made) and "answers: " not in terminal(made)


@pytest.mark.parametrize("evil", HOSTILE)
def test_whatever_a_model_is_called_stays_text(evil: str) -> None:
    price, sentence = {**COST["price"], "origin": evil}, {**COST["break_even"], "sentence": evil}
    costs: tuple[dict[str, Any], ...] = (
        {**COST, "model": evil, "price": price, "break_even": sentence},
        {"missing": evil},
    )
    for cost in costs:
        plain, made = report(cost=COST if "model" in cost else {"missing": "x"}), report(cost=cost)
        page = Page(report_html(made))
        assert page.tags == Page(report_html(plain)).tags and page.handlers == page.addresses == []
        terminal(made)
        _, _, body = model_card(made, {}).removeprefix("---\n").partition("\n---\n")
        rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
        assert not Page(rendered).tags & {"script", "img", "b"}
