"""`shokunin discover` as a person or a script uses it: what it finds, says and writes, and what it refuses."""

from __future__ import annotations

import json
import random
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import logged
import untagged
from shokunin.cli import app
from shokunin.exchange import Exchange
from shokunin.recorded.call import Call
from shokunin.traffic.recorder import open_recorder

MODEL, READ, WRITTEN = "shop-model-1", 2.0, 10.0
"""The model of these logs, and its price in US dollars per million tokens."""
PRICE = ("--price", f"{MODEL}={READ:g},{WRITTEN:g}")
SORTED = "You sort the inbox of Ridgeway Parts. Answer with one word: delivery, refund or invoice."
QUICK = ("--learner", "baseline", "--learner", "text_linear")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def inbox(rng: random.Random) -> untagged.Asked:
    text, label = untagged.shop_text(rng)
    return untagged.system(SORTED, f"Message: {text}\nWord:"), label


def repairs(rng: random.Random) -> untagged.Asked:
    scratches = rng.randint(20, 400)
    asked = f"Estimate the cost of repair in euro: {scratches} scratches, frame number {rng.randint(1, 99999)}"
    return untagged.user(asked), str(3 * scratches)


def line(call: Call, number: int = 0) -> dict[str, Any]:
    made = untagged.record(replace(call, model=MODEL))
    made["response"]["usage"] = {"prompt_tokens": 100 + number % 7, "completion_tokens": 3}
    return made


def write(path: Path, lines: Sequence[Any]) -> Path:
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
    path.write_text(text, encoding="utf-8")
    return path


def everything_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


class Shop:
    """A log of three sorts of work with two broken lines, and what the command said of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        asked, self.which = untagged.calls([(inbox, 700), (repairs, 60), (untagged.talk, 90)], seed=1)
        self.calls = asked
        lines: list[Any] = [line(call, number) for number, call in enumerate(asked)]
        self.tokens = [one["response"]["usage"] for one in lines]
        self.log = write(folder / "calls.jsonl", [*lines[:5], "{broken", *lines[5:], '"no object"'])
        self.said = run("discover", self.log, "--project", folder, "--write", "--quick", *PRICE, "--output", "json")
        assert self.said.exit_code == 0, self.said.output
        self.found = json.loads(self.said.stdout)

    def task(self, kind: str) -> dict[str, Any]:
        (one,) = (task for task in self.found["tasks"] if task["kind"] == kind)
        return dict(one)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def talked(tmp_path: Path) -> Path:
    """A log with nothing in it but talk."""
    asked, _ = untagged.calls([(untagged.talk, 60)])
    return write(tmp_path / "talk.jsonl", [line(call) for call in asked])


def test_every_record_is_accounted_for(shop: Shop) -> None:
    records = shop.found["records"]
    assert (records["in"], records["used"], records["set_aside"]) == (852, 850, 2)
    assert {one["reason"]: one["first"] for one in records["set_aside_reasons"]} == {
        "not JSON": ["calls.jsonl:6"],
        "JSON, but not an object": ["calls.jsonl:852"],
    }
    assert sum(task["records"] for task in shop.found["tasks"]) == 850
    assert shop.found["days"] == pytest.approx(849 * 600 / 86400)


def test_the_json_has_the_fixed_names(shop: Shop) -> None:
    always = {
        "name", "kind", "records", "cost_per_month", "saving_per_month", "patternedness", "verdict", "reason",
        "record_ids", "patternedness_interval", "share_local", "expected_error", "accuracy", "recognised", "readable",
        "records_per_month", "saving_first_month", "audit_share", "tokens", "models", "latency_ms", "rows_lacking",
        "fingerprints", "wordings", "inputs", "next",
    }  # fmt: skip
    for task in shop.found["tasks"]:
        assert always <= set(task)
        assert ("labels" in task) == (task["kind"] == "classify_text") and "schema" not in task
        assert task["patternedness_interval"][0] <= task["patternedness"] <= task["patternedness_interval"][1]
    assert {"records", "tasks", "days", "currency", "prices_as_of", "notes", "written", "page"} == set(shop.found)


def test_the_work_that_repeats_is_found_with_its_labels_and_its_records(shop: Shop) -> None:
    task = shop.task("classify_text")
    assert sorted(task["labels"]) == ["delivery", "invoice", "refund"]
    assert set(task["record_ids"]) == {c.id for c, which in zip(shop.calls, shop.which, strict=True) if which == 0}
    assert (task["verdict"], task["models"], task["wordings"], task["recognised"]) == ("TRAIN", {MODEL: 700}, 1, 1.0)
    assert task["share_local"] > 0.8 and task["accuracy"] > 0.95
    assert shop.task("estimate_values")["verdict"] == "LEAVE"


def test_a_month_costs_what_its_tokens_cost(shop: Shop) -> None:
    own = [t for t, which in zip(shop.tokens, shop.which, strict=True) if which == 0]
    cost = sum(READ * t["prompt_tokens"] + WRITTEN * t["completion_tokens"] for t in own) / 1e6
    months = shop.found["days"] / (365.25 / 12)
    task = shop.task("classify_text")
    assert task["cost_per_month"] == pytest.approx(cost / months)
    kept = cost / months * task["share_local"] * (1 - task["audit_share"])
    assert task["saving_per_month"] == pytest.approx(kept) and 0 < task["audit_share"] < 1


def test_what_was_written_can_be_trained_by_the_command_that_is_named(shop: Shop) -> None:
    task = shop.task("classify_text")
    assert shop.found["written"] == [str(shop.folder / "tasks" / task["name"])]
    folder = Path(shop.found["written"][0])
    assert json.loads((folder / "record_ids.json").read_text()) == task["record_ids"]
    program, *words = shlex.split(task["next"])
    assert program == "shokunin"
    found = run(*words, *QUICK, "--output", "json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["specialist"] == task["name"]


def test_the_page_is_among_the_reports(shop: Shop) -> None:
    page = Path(shop.found["page"])
    assert page.parent == shop.folder / "reports" and page.name.startswith("discover-")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and shop.task("classify_text")["next"] in text


def test_folders_that_are_there_are_not_written_over(shop: Shop) -> None:
    before = everything_in(shop.folder)
    found = run("discover", shop.log, "--project", shop.folder, "--write", "--quick", *PRICE)
    assert found.exit_code == 2 and "there already" in found.stderr
    assert everything_in(shop.folder) == before


def test_people_see_a_table_that_fits_and_the_next_commands(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.folder)
    before = everything_in(shop.folder)
    found = run("discover", "calls.jsonl", "--quick", *PRICE)
    assert found.exit_code == 0 and everything_in(shop.folder) == before
    text = found.stdout
    table = text.partition("\n\n")[0].splitlines()
    name = shop.task("classify_text")["name"]
    assert max(map(len, table)) <= 120 and table[2].startswith(name) and table[2].rstrip().endswith("TRAIN")
    assert "need not be paid: 1 task is worth training." in text
    again = re.findall(r"shokunin (discover calls\.jsonl .*--write)", text)[0]
    assert shlex.split(again) == ["discover", "calls.jsonl", *PRICE, "--quick", "--write"]
    assert f"shokunin train tasks/{name}" in text
    assert "1 × not JSON, first calls.jsonl:6" in text and "price book of 20" in text and "(--quick)" in text


def test_amounts_are_in_the_projects_currency(tmp_path: Path, talked: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "shokunin.toml").write_text('[money]\ncurrency = "JPY"\nper_usd = 150\n', encoding="utf-8")
    words = ("discover", talked, "--quick", *PRICE, "--output", "json")
    yen = json.loads(run(*words, "--project", place).stdout)
    usd = json.loads(run(*words, "--project", tmp_path).stdout)
    assert (yen["currency"], usd["currency"]) == ("JPY", "USD")
    assert yen["tasks"][0]["cost_per_month"] == pytest.approx(150 * usd["tasks"][0]["cost_per_month"])


def test_exit_code_1_where_nothing_is_worth_training(tmp_path: Path, talked: Path) -> None:
    page = tmp_path / "pages" / "found.html"
    found = run("discover", talked, "--project", tmp_path, *PRICE, "--html", page)
    assert found.exit_code == 1 and "No task in this log is worth training yet." in found.stdout
    assert "No task in this log is worth training yet." in page.read_text(encoding="utf-8")
    assert everything_in(tmp_path) == ["pages", "pages/found.html", "talk.jsonl"]


def test_days_and_model_may_be_said(tmp_path: Path) -> None:
    asked, _ = untagged.calls([(untagged.talk, 40)])
    lines = [logged.fine_tuning("", call.messages[-1][1], call.reply or "") for call in asked]
    log = write(tmp_path / "plain.jsonl", lines)
    words = ("discover", log, "--project", tmp_path, "--output", "json")
    silent = json.loads(run(*words).stdout)
    assert silent["days"] is None and silent["tasks"][0]["cost_per_month"] is None
    assert any("--model" in note for note in silent["notes"]) and any("--days" in note for note in silent["notes"])
    said = json.loads(run(*words, *PRICE, "--model", MODEL, "--days", "3").stdout)
    assert said["days"] == 3 and said["tasks"][0]["cost_per_month"] > 0
    unknown = run(*words, "--model", MODEL)
    assert unknown.exit_code == 2 and MODEL in json.loads(unknown.stdout)["error"]["message"]


def test_the_projects_own_record_is_read_where_no_log_is_named(project: Path) -> None:
    assert run("discover").exit_code == 2
    recorder = open_recorder(project / "traffic")
    asked, _ = untagged.calls([(inbox, 60)])
    for call in asked:
        made = line(call)
        recorder.record(Exchange(id=call.id, timestamp=time.time() - 60, model=MODEL, route="passed", status=200,
                                 request=made["request"], response=made["response"]))  # fmt: skip
    recorder.close()
    found = json.loads(run("discover", *PRICE, "--quick", "--output", "json").stdout)
    assert found["records"]["used"] == 60 and set(found["tasks"][0]["record_ids"]) == {c.id for c in asked}


def test_a_folder_may_mix_the_forms_of_several_tools(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    asked, _ = untagged.calls([(inbox, 80)])
    texts = [(call.messages[0][1], call.messages[1][1], call.reply or "") for call in asked]
    write(logs / "a.jsonl", [line(call) for call in asked[:40]])
    write(logs / "b.jsonl", [logged.openpipe(*one) for one in texts[40:]])
    write(logs / "c.jsonl", [{"unrelated": 1}, {"unrelated": 2}])
    found = json.loads(
        run("discover", logs, "--project", tmp_path, *PRICE, "--quick", "--days", "1", "--output", "json").stdout
    )
    assert (found["records"]["used"], found["records"]["set_aside"]) == (80, 2)
    assert found["records"]["set_aside_reasons"][0]["first"] == ["c.jsonl:1", "c.jsonl:2"]
    (task,) = found["tasks"]
    assert task["records"] == 80 and sorted(task["labels"]) == ["delivery", "invoice", "refund"]


def _errors(folder: Path) -> Path:
    asked, _ = untagged.calls([(untagged.talk, 12)])
    failed = {"status": 429, "response": {"error": {"message": "slow down", "type": "rate_limit"}}}
    return write(folder / "log.jsonl", [{**line(call), **failed} for call in asked])


def _silent(folder: Path) -> Path:
    asked, _ = untagged.calls([(untagged.talk, 12)])
    return write(folder / "log.jsonl", [{**line(call), "response": None} for call in asked])


def _giant(folder: Path) -> Path:
    return write(folder / "log.jsonl", [line(Call(id="a", messages=untagged.user("x" * 9_000_000), reply="ok"))])


def _unpriced(folder: Path) -> Path:
    asked, _ = untagged.calls([(untagged.talk, 12)])
    return write(folder / "log.jsonl", [line(call) for call in asked])


def _diary(folder: Path) -> Path:
    return write(folder / "log.jsonl", ["it rained"] * 20)


def _rows(folder: Path) -> Path:
    return write(folder / "log.csv", ["text,label", "where is it?,delivery"])


def _nothing(folder: Path) -> Path:
    return write(folder / "log.jsonl", [])


def _empty_folder(folder: Path) -> Path:
    (folder / "logs").mkdir()
    return folder / "logs"


def _missing(folder: Path) -> Path:
    return folder / "nowhere.jsonl"


BAD = [
    (_diary, "is not a log of a language model"),
    (_rows, "is not a log of a language model"),
    (_nothing, "is empty"),
    (_empty_folder, "there is no log in"),
    (_missing, "does not exist"),
    (_errors, "all of them are error replies"),
    (_silent, "none of them has a reply"),
    (_giant, "a record of more than 8 MB"),
    (_unpriced, f"no price is known for {MODEL!r} (12 calls)"),
]


@pytest.mark.parametrize(("made", "message"), BAD, ids=[made.__name__[1:] for made, _ in BAD])
def test_logs_that_cannot_be_used_are_told_and_nothing_is_written(tmp_path: Path, made: Any, message: str) -> None:
    log, place = made(tmp_path), tmp_path / "place"
    place.mkdir()
    found = run("discover", log, "--project", place, "--write")
    assert found.exit_code == 2 and message in found.stderr and found.stdout == ""
    told = run("discover", log, "--project", place, "--write", "--output", "json")
    assert told.exit_code == 2 and message in json.loads(told.stdout)["error"]["message"]
    assert everything_in(place) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--price", "shop-model-1"], "no price"),
        (["--price", "shop-model-1=1"], "MODEL=INPUT,OUTPUT"),
        (["--price", "=1,2"], "no model is named"),
        (["--price", "shop-model-1=1,-2"], "0 or more"),
        ([*PRICE, "--html", "."], "is a folder"),
        ([*PRICE, "--days", "0"], "more than 0"),
        ([*PRICE, "--max-error", "2"], "between 0 and 1"),
        ([*PRICE, "--budget", "0"], "more than 0"),
    ],
)
def test_options_that_cannot_be_are_told(project: Path, talked: Path, words: list[str], message: str) -> None:
    before = everything_in(project)
    found = run("discover", talked, "--write", *words)
    assert found.exit_code == 2 and message in found.stderr
    assert everything_in(project) == before


def test_the_next_command_repeats_what_was_said(tmp_path: Path) -> None:
    asked, _ = untagged.calls([(inbox, 24)])
    log = write(tmp_path / "calls of may.jsonl", [line(call) for call in asked])
    said = ["--days", "2.5", "--max-error", "0.1", "--budget", "0.5", "--seed", "3", "--project", str(tmp_path)]
    found = json.loads(run("discover", log, *PRICE, *said, "--output", "json").stdout)
    (task,) = found["tasks"]
    assert task["verdict"] == "COLLECT MORE"
    assert shlex.split(task["next"]) == ["shokunin", "discover", str(log), *PRICE, *said]
