"""`shokunin cost` as a person or a script uses it: from options alone and from a specialist, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import shokunin
from rows import rows
from shokunin.cli import app
from shokunin.cost import Price, price_book

USE = ["--requests", "100000", "--input-tokens", "600", "--output-tokens", "20", "--local-share", "0.9"]
KNOWN = [*USE, "--model", "gpt-4o"]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["cost", *(str(w) for w in words)])


def plain(*words: str | Path) -> dict[str, Any]:
    found = run(*words, "--output", "json")
    assert found.exit_code == 0, found.output
    return dict(json.loads(found.stdout))


def test_from_options_alone(project: Path) -> None:
    found = plain(*KNOWN)
    assert (found["currency"], found["per_usd"], found["model"]) == ("USD", 1.0, "gpt-4o")
    assert found["price"] == {
        "input": 2.5, "output": 10.0, "from": f"price book of {price_book().as_of}", "as_of": price_book().as_of,
    }  # fmt: skip
    assert list(found["cases"]) == ["best", "likely", "worst"]
    likely = found["cases"]["likely"]
    assert likely["rent_per_month"] == pytest.approx(100_000 * Price(2.5, 10).of(600, 20)) == pytest.approx(170)
    own = likely["own_per_month"]
    assert set(own) == {"escalations", "audits", "machine", "energy", "training", "upkeep", "total"}
    assert own["total"] == pytest.approx(sum(own.values()) - own["total"])
    assert likely["saving_per_month"] == pytest.approx(170 - own["total"])
    assert likely["per_1000"] == pytest.approx({"rented": 1.7, "owned": own["total"] / 100})
    assert likely["break_even_month"] == 16 and "after 16 months" in likely["sentence"]
    assert found["cases"]["worst"]["break_even_month"] is None
    assert (found["from"]["requests"], found["from"]["hourly_rate"]) == ("given", "default")
    assert likely["inputs"]["hourly_rate"] == 60 and found["cases"]["worst"]["inputs"]["upkeep_hours"] == 2
    assert list(project.iterdir()) == [], "reckoning writes nothing"


def test_for_people(project: Path) -> None:
    found = run(*KNOWN)
    assert found.exit_code == 0
    lines = [" ".join(line.split()) for line in found.stdout.splitlines()]
    assert lines[0] == f"large model gpt-4o, price book of {price_book().as_of}"
    assert "best likely worst" in lines and "rented, a month $212.50 $170.00 $63.75" in lines
    assert "has paid for itself month 8 month 16 never" in lines
    assert any(
        line.startswith("Owning has paid for itself after 16 months: it leaves $78.04 a month") for line in lines
    )
    assert any(line.startswith("worst case: Owning does not pay: running it costs $130.97 a month") for line in lines)
    assert "local share 95 % 90 % 80 % given" in lines and "upkeep hours 0.5 1 2 default" in lines
    assert f"$ per million tokens read 2.5 2.5 1.25 price book of {price_book().as_of}" in lines


def test_amounts_are_in_the_currency_and_prices_of_models_in_dollars(project: Path) -> None:
    words = [*USE, "--price", "2.5", "10", "--currency", "JPY", "--per-usd", "150"]
    found, dollars = plain(*words, "--hourly-rate", "9000"), plain(*KNOWN)
    likely, same = found["cases"]["likely"], dollars["cases"]["likely"]
    assert found["currency"] == "JPY" and found["price"]["from"] == "given" and found["model"] is None
    assert likely["rent_per_month"] == pytest.approx(170 * 150)
    assert likely["saving_per_month"] == pytest.approx(150 * same["saving_per_month"])
    assert likely["break_even_month"] == same["break_even_month"]
    assert likely["inputs"]["machine_price"] == pytest.approx(150_000), "defaults are dollars, shown in the currency"
    shown = run(*words).stdout
    assert "¥25,500" in shown and "$1" not in shown.replace("$ per million", "")


def test_settings_are_taken_and_options_go_before_them(project: Path) -> None:
    (project / "shokunin.toml").write_text(
        '[money]\ncurrency = "EUR"\nper_usd = 0.5\nhourly_rate = 40\nmachine_price = 0\n'
        "[gateway]\naudit_share = 0.2\n[prices.gpt-4o]\ninput = 1\noutput = 1\n"
    )
    found = plain(*KNOWN, "--hourly-rate", "10")
    likely = found["cases"]["likely"]
    assert (found["currency"], found["price"]["from"], found["price"]["as_of"]) == (
        "EUR",
        "[prices] in shokunin.toml",
        None,
    )
    assert likely["inputs"]["hourly_rate"] == pytest.approx(10) and found["from"]["hourly_rate"] == "given"
    assert likely["own_per_month"]["machine"] == 0 and found["from"]["machine_price"] == "[money] in shokunin.toml"
    assert likely["inputs"]["audit_share"] == 0.2 and found["from"]["audit_share"] == "[gateway] in shokunin.toml"
    assert likely["rent_per_month"] == pytest.approx(100_000 * 620 / 1e6 * 0.5)


def test_a_rented_machine_is_not_bought_too(project: Path) -> None:
    found = plain(*KNOWN, "--machine-per-hour", "0.1")
    likely = found["cases"]["likely"]
    assert likely["own_per_month"]["machine"] == pytest.approx(73.05) and likely["own_per_month"]["energy"] == 0
    assert likely["paid_once"]["machine"] == 0 and found["from"]["machine_price"] == "the machine is rented"
    both = plain(*KNOWN, "--machine-per-month", "50", "--machine-price", "480")["cases"]["likely"]
    assert both["own_per_month"]["machine"] == pytest.approx(60)


def test_cases_can_be_given(project: Path) -> None:
    found = plain(*KNOWN, "--best", "requests=1e6", "--best", "price=2", "--worst", "local-share=0.5")
    assert found["cases"]["best"]["rent_per_month"] == pytest.approx(10 * 170 * 2)
    assert found["cases"]["worst"]["inputs"]["local_share"] == 0.5


def test_batches_and_cached_tokens(project: Path) -> None:
    assert plain(*KNOWN, "--batch")["cases"]["likely"]["rent_per_month"] == pytest.approx(85)
    cached = plain(*KNOWN, "--cached-share", "1")["cases"]["likely"]
    assert cached["rent_per_month"] == pytest.approx(100_000 * Price(1.25, 10).of(600, 20))


def test_from_a_specialist(project: Path) -> None:
    shokunin.train(rows(400), name="inquiries", project=project, learners=["baseline", "text_linear"], replayed=False)
    needs = run("inquiries", "--model", "gpt-4o")
    assert needs.exit_code == 2 and "give --requests: nothing that is recorded of 'inquiries' says it" in needs.stderr
    asks = run("inquiries", "--requests", "1000")
    assert asks.exit_code == 2 and "which large model is it beside? Give --model MODEL" in asks.stderr
    found = plain("inquiries", "--model", "gpt-4o", "--requests", "1000")
    assert found["from"]["local_share"] == "measured in its proof"
    assert found["from"]["training_hours"] == "measured in its training"
    assert found["from"]["input_tokens"].startswith("estimated from a plain question with the labels and ")
    assert 10 < found["cases"]["likely"]["inputs"]["input_tokens"] < 500
    over = plain("inquiries", "--model", "gpt-4o", "--requests", "1000", "--local-share", "0.25", "--input-tokens", "9")
    assert (over["from"]["local_share"], over["cases"]["likely"]["inputs"]["input_tokens"]) == ("given", 9)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --requests, --input-tokens, --output-tokens, --local-share"),
        (["--requests", "5"], "give --input-tokens, --output-tokens, --local-share"),
        (USE, "which large model is it beside? Give --model MODEL, or --price INPUT OUTPUT"),
        ([*USE, "--model", "house-1"], "no price is known for 'house-1'; add to shokunin.toml"),
        ([*USE, "--model", "house-1"], "[prices.house-1]\ninput = …\noutput = …"),
        ([*USE, "--price", "-1", "2"], "--price: `input` is US dollars per million tokens, 0 or more, not -1.0"),
        ([*KNOWN, "--requests", "-1"], "'requests' is a number, 0 or more, not -1.0"),
        ([*KNOWN, "--requests", "nan"], "'requests' is a number, 0 or more, not nan"),
        ([*KNOWN, "--local-share", "90"], "'local share' is a share from 0 to 1, not 90.0; 90 % is 0.9"),
        ([*KNOWN, "--machine-months", "0"], "'machine months' is more than 0"),
        ([*KNOWN, "--currency", "JPY"], "`per_usd` is missing: how many JPY one US dollar is"),
        ([*KNOWN, "--currency", "JPY"], "give --currency and --per-usd, or [money]"),
        ([*KNOWN, "--currency", "GBP"], "`currency` is one of 'USD', 'EUR', 'JPY', not 'GBP'"),
        ([*KNOWN, "--per-usd", "2"], "`per_usd` is 1 for US dollars"),
        ([*KNOWN, "--best", "requests"], "'requests' is no NAME=VALUE"),
        ([*KNOWN, "--worst", "wats=3"], "'wats' is no input of a case (did you mean 'watts'?)"),
        ([*KNOWN, "--machine-per-month", "1", "--machine-per-hour", "1"], "say the same twice"),
        ([*USE, "--model", "gpt-4-turbo", "--batch"], "price in batches is not known"),
        (["nobody", *KNOWN], "nobody"),
    ],
)
def test_wrong_use_is_exit_code_2_and_says_what_to_do(project: Path, words: list[str], said: str) -> None:
    found = run(*words)
    assert found.exit_code == 2 and said in found.stderr, found.output
    assert "Traceback" not in found.output and list(project.iterdir()) == []
    as_json = run(*words, "--output", "json")
    assert as_json.exit_code == 2 and said in json.loads(as_json.stdout)["error"]["message"]
