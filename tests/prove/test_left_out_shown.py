"""What was left out of a rung's lessons stands in the terminal, the JSON and the page, for the chosen rung and the others."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from prove_fakes import report
from rich.console import Console

from shokunin.prove.render import report_html, report_json, report_terminal
from shokunin.report import Report, report_from_dict, report_to_dict

SAID = "30 of 72 lessons are longer than 2,048 tokens and were left out"


def shown(made: Report) -> list[str]:
    out = StringIO()
    report_terminal(made, Console(file=out, width=200))
    return [out.getvalue(), report_html(made), str(report_json(made)["ladder"])]


@pytest.mark.parametrize("chosen", [True, False])
def test_beside_the_score(chosen: bool) -> None:
    plain = report()
    ladder = [replace(rung, note=SAID) if rung.score and rung.chosen is chosen else rung for rung in plain.ladder]
    made = replace(plain, ladder=ladder)
    assert all(SAID in text for text in shown(made)) and not any(SAID in text for text in shown(plain))
    assert report_from_dict(report_to_dict(made)).ladder == ladder


def test_of_the_only_rung() -> None:
    [rung] = [r for r in report().ladder if r.chosen]
    made = report(ladder=[replace(rung, note=SAID)], why_chosen="")
    assert all(SAID in text and text.count(SAID) == 1 for text in shown(made))
    again = shown(report(ladder=[replace(rung, score=None, note="not scored")], why_chosen=""))
    assert not any("not tried" in text for text in again) and not any("not scored" in text for text in again[:2])
