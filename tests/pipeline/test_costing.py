"""What a report says about cost: beside which model, by which price, and from what was measured."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import shokunin
from rows import rows
from shokunin import pipeline
from shokunin.cost import price_book, price_of
from shokunin.errors import UsageError
from shokunin.exchange import Exchange
from shokunin.files import read_json
from shokunin.pipeline.reckoning import reckon
from shokunin.project import open_project
from shokunin.prove.render import model_card, report_html, report_terminal
from shokunin.report import Report
from shokunin.specialist import Specialist
from shokunin.task import Task
from shokunin.template import Template, TemplateMessage
from shokunin.traffic.recorder import open_recorder

UPSTREAM = "[upstreams.big]\nbase_url = 'http://127.0.0.1:1/v1'\nmodel = {model!r}\n[gateway]\nupstream = 'big'\n"
PROMPT = Template(
    (
        TemplateMessage("system", "You sort the inquiries of a shop into one of three." + " Be exact." * 60),
        TemplateMessage("user", "{{text}}"),
    ),
    models=("gpt-4o",),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    with (folder / "more.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows(60, seed=9))
    for task in (Task("inquiries"), Task("worded", template=PROMPT)):
        pipeline.train(rows(400), task=task, project=folder, learners=["baseline", "text_linear"], replayed=False)
    return folder


def proven(shop: Path, settings: str, name: str = "inquiries", against: Any = None) -> Report:
    (shop / "shokunin.toml").write_text(settings, encoding="utf-8")
    return pipeline.prove(name, shop / "more.csv", against=against, project=shop)


def said(made: Report, capsys: pytest.CaptureFixture[str]) -> str:
    report_terminal(made)
    return " ".join(capsys.readouterr().out.split())


def test_beside_an_upstream_whose_price_is_in_the_book(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = proven(shop, UPSTREAM.format(model="gpt-4o-mini"))
    cost = made.cost
    assert cost is not None
    price = price_of("gpt-4o-mini")
    assert price is not None
    assert (cost["model"], cost["price"]["as_of"]) == ("gpt-4o-mini", price_book().as_of)
    tokens, shares, figures = cost["tokens"], cost["shares"], cost["per_1000"]
    assert figures["rented"] == pytest.approx(1000 * price.of(tokens["input"], tokens["output"]))
    local = made.threshold["coverage_here"]
    assert shares == {"local": local, "audit": 0.05}
    assert figures["owned"]["escalations"] == pytest.approx(figures["rented"] * (1 - local))
    assert figures["owned"]["audits"] == pytest.approx(figures["rented"] * local * 0.05)
    kilowatt_hours = local * 1000 * made.latency_ms["p50"] / 1000 / 3600 * 0.140
    assert figures["owned"]["energy"] == pytest.approx(kilowatt_hours * 0.25)
    assert figures["owned_total"] == pytest.approx(sum(figures["owned"].values()))
    assert cost["requests"] == {"a_month": None, "from": "not recorded"}
    assert cost["break_even"]["requests"] > 0 and cost["break_even"]["month"] is None
    assert "a plain question with the labels" in tokens["from"]
    json.dumps(cost, allow_nan=False)
    for text in (said(made, capsys), report_html(made), model_card(made, {})):
        assert f"price book of {price_book().as_of}" in text and "gpt-4o-mini" in text


def test_in_the_owners_currency_and_by_the_owners_price(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = (
        '[prices.house]\ninput = 1000\noutput = 1000\n[money]\ncurrency = "JPY"\nper_usd = 150\nenergy_price = 300\n'
    )
    made = proven(shop, UPSTREAM.format(model="house") + settings)
    cost = made.cost
    assert cost is not None and cost["price"]["as_of"] is None
    assert cost["currency"] == {"code": "JPY", "per_usd": 150}
    kilowatt_hours = cost["shares"]["local"] * made.latency_ms["p50"] / 3600 * 0.140
    assert cost["per_1000"]["owned"]["energy"] == pytest.approx(kilowatt_hours * 2.0)  # 300 yen are two dollars
    shown = said(made, capsys)
    assert f"¥{cost['per_1000']['rented'] * 150:,.0f} by house" in shown
    assert "[prices] in shokunin.toml" in shown and "at 150 JPY for a US dollar" in shown


def test_the_model_that_the_application_asks_for_goes_before_the_upstream(shop: Path) -> None:
    made = proven(shop, UPSTREAM.format(model="gpt-4o-mini"), name="worded")
    assert made.cost is not None and made.cost["model"] == "gpt-4o"
    plain = proven(shop, UPSTREAM.format(model="gpt-4o-mini"))
    assert plain.cost is not None
    assert made.cost["tokens"]["input"] > plain.cost["tokens"]["input"] + 30, "the prompt is counted"
    assert "the task's prompt" in made.cost["tokens"]["from"]


def test_without_a_price_it_says_how_to_give_one(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = proven(shop, UPSTREAM.format(model="house-1"))
    assert made.cost is not None and made.cost.keys() == {"missing"}
    for text in (
        said(made, capsys),
        report_html(made).replace("&#34;", '"').replace("&#39;", "'"),
        model_card(made, {}),
    ):
        plain = text.replace("\\", "")
        assert "no price is known for 'house-1'" in plain and '[prices."house-1"]' in plain


def test_without_a_large_model_it_says_how_to_name_one(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = proven(shop, "")
    assert made.cost is not None and made.cost.keys() == {"missing"}
    assert "shokunin cost inquiries --model MODEL" in said(made, capsys)


def test_recorded_traffic_gives_volume_and_tokens(shop: Path) -> None:
    recorder = open_recorder(shop / "traffic")
    for i in range(101):
        when = 1_700_000_000.0 + i * 86_400 / 10
        tokens = {"prompt_tokens": 400, "completion_tokens": 5}
        recorder.record(Exchange(id=f"r{i}", timestamp=when, workload_id="worded", route="escalated", **tokens))
    recorder.close()
    made = proven(shop, "", name="worded")
    assert made.cost is not None
    assert made.cost["requests"]["a_month"] == pytest.approx(10.1 * 365.25 / 12)
    assert made.cost["requests"]["from"] == "measured: 101 in 10.0 days of traffic"
    assert made.cost["tokens"] == {
        "input": 400, "output": 5, "from": "counted by the large model, mean of the recorded traffic",
    }  # fmt: skip
    assert made.cost["break_even"]["sentence"].startswith("Owning does not pay: running it costs")
    assert made.cost["break_even"]["saving"] < 0
    found = reckon("worded", project=shop)
    assert found.model == "gpt-4o" and found.cases[1].plan.requests == pytest.approx(10.1 * 365.25 / 12)
    assert found.origins["requests"].startswith("measured: 101 in 10.0 days")
    assert found.origins["local_share"] == "measured in its proof"
    assert found.origins["training_hours"] == "measured in its training"
    published = read_json(shokunin.load("worded", project=shop).folder / "report.json")
    assert found.cases[1].plan.local_share == published["threshold"]["coverage_here"]


def test_a_record_that_cannot_be_read_does_not_stop_a_proof(shop: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.sqlite3"
    broken.write_bytes(b"this is no database" * 100)
    settings = UPSTREAM.format(model="gpt-4o") + f"database = 'sqlite:///{broken.as_posix()}'\n"
    made = proven(shop, settings)
    assert made.cost is not None and made.cost["requests"]["a_month"] is None
    assert "cannot be used at the moment" in made.cost["requests"]["from"]
    with pytest.raises(UsageError, match=r"cannot be used at the moment.*give --requests"):
        reckon("inquiries", project=shop)


def test_what_never_leaves_the_house_is_neither_passed_on_nor_checked(shop: Path) -> None:
    made = proven(shop, UPSTREAM.format(model="gpt-4o") + "egress = 'never'\n")
    assert made.cost is not None and made.cost["shares"] == {"local": 1.0, "audit": 0.0}
    assert made.cost["per_1000"]["owned"]["escalations"] == made.cost["per_1000"]["owned"]["audits"] == 0


def test_recorded_answers_have_no_price(shop: Path) -> None:
    answers = [row["label"] for row in rows(60, seed=9)]
    made = proven(shop, "", against=answers)
    assert made.against is not None and made.against["cost"] is None


def test_reports_of_earlier_releases_have_no_such_section(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    from shokunin.report import report_from_dict, report_to_dict

    plain = report_to_dict(proven(shop, ""))
    del plain["cost"]
    old = report_from_dict(plain)
    assert old.cost is None and old == replace(old, cost=None)
    for text in (said(old, capsys), report_html(old), model_card(old, {})):
        assert "1,000 answers" not in text and "thousand answers" not in text and "What it saves" not in text


@pytest.fixture
def specialist(shop: Path) -> Specialist:
    return shokunin.load("inquiries", project=shop)


def test_the_models_it_stands_for_are_not_its_own_names(shop: Path, specialist: Specialist) -> None:
    from dataclasses import replace

    from shokunin.pipeline.costing import models_of

    worded = replace(PROMPT, models=("inquiries", "inquiries@champion", "auto", "gpt-4o", "gpt-4o", "gpt-4.1"))
    (shop / "shokunin.toml").write_text(UPSTREAM.format(model="gpt-4.1"), encoding="utf-8")
    named = replace(specialist, task=replace(specialist.task, template=worded))
    assert models_of(named, open_project(shop)) == ["gpt-4o", "gpt-4.1"]
