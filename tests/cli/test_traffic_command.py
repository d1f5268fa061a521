"""`shokunin traffic` as a person or a script uses it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shokunin.cli import app
from shokunin.exchange import Exchange
from shokunin.traffic.recorder import open_recorder

HOUR = 3600.0


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["traffic", *(str(w) for w in words)])


def made(id: str, ago: float, **more: object) -> Exchange:
    values: dict[str, object] = {
        "workload_id": "inquiries",
        "client_id": "anna",
        "model": "gpt-4o-mini",
        "request": {"messages": [{"role": "user", "content": f"question {id}"}]},
        "response": {"choices": [{"message": {"role": "assistant", "content": "delivery"}}]},
        "route": "local",
        "specialist": "inquiries@1",
        "value": "delivery",
        "confidence": 0.97,
        "seconds": 0.004,
        **more,
    }
    return Exchange(id=id, timestamp=time.time() - ago, **values)  # type: ignore[arg-type]


@pytest.fixture
def shop(project: Path) -> Path:
    """A project, made the current folder, with four exchanges."""
    recorder = open_recorder(project / "traffic")
    recorder.record(made("old", 72 * HOUR))
    recorder.record(made("new", 10 * HOUR))
    recorder.record(
        made(
            "up",
            5 * HOUR,
            route="escalated",
            upstream="openai",
            seconds=0.8,
            cost=0.002,
            prompt_tokens=90,
            client_id="bert",
        )
    )
    recorder.record(
        made("odd", HOUR, route="passed", workload_id="", model="\x1b[2J\u202eevil", value=None, specialist="")
    )
    recorder.close()
    return project


def listed(*words: str | Path) -> list[str]:
    found = run("list", *words, "--output", "json")
    assert found.exit_code == 0, found.output
    return [one["id"] for one in json.loads(found.stdout)["exchanges"]]


def test_list_shows_the_newest_first_in_json_and_last_to_people(shop: Path) -> None:
    assert listed() == ["odd", "up", "new", "old"]
    assert listed("--limit", "2") == ["odd", "up"]
    lines = run("list").stdout.splitlines()
    assert len(lines) == 4 and " new 200 local" in lines[1] and "→ delivery (0.97)" in lines[1]
    assert "\x1b" not in run("list").stdout and "\u202e" not in run("list").stdout
    shown = json.loads(run("list", "--output", "json").stdout)["exchanges"][0]
    assert "request" not in shown and shown["route"] == "passed"


def test_filters(shop: Path) -> None:
    assert listed("--since", "1d") == ["odd", "up", "new"]
    assert listed("--since", "7h", "--until", "2h") == ["up"]
    date = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 48 * HOUR))
    assert listed("--until", date) == ["old"]
    assert listed("--task", "inquiries", "--client", "anna") == ["new", "old"]
    assert listed("--task", "") == ["odd"] and listed("--route", "escalated") == ["up"]
    assert listed("--client", "nobody") == [] and run("list", "--client", "nobody").stdout == "no exchange fits\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--since", "yesterday"], "'yesterday' is not a time"),
        (["list", "--since", "7"], "'7' is not a time"),
        (["stats", "--until", "3/1/2026"], "is not a time"),
        (["list", "--route", "sideways"], "'sideways' is not a route; known: local"),
        (["show", "nothing"], "there is no exchange 'nothing'"),
        (["export", "out.txt"], ".jsonl or .parquet"),
        (["list", "--database", "mysql://u:SECRET@h/d"], "SQLite or PostgreSQL"),
        (["erase", "--client", "anna"], "would delete 3 exchanges of the client 'anna' for good; add --yes"),
    ],
)
def test_wrong_use_is_exit_code_2_and_says_what_to_do(shop: Path, words: list[str], said: str) -> None:
    found = run(*words)
    assert found.exit_code == 2 and said in found.stderr and "SECRET" not in found.output
    assert len(listed()) == 4 and not (shop / "out.txt").exists()


def test_without_a_record(project: Path) -> None:
    found = run("stats", "--output", "json")
    assert found.exit_code == 2 and "there is no traffic" in json.loads(found.stdout)["error"]["message"]
    assert list(project.iterdir()) == []


def test_show_has_everything(shop: Path) -> None:
    value = json.loads(run("show", "up", "--output", "json").stdout)
    assert value["cost"] == 0.002 and value["request"]["messages"][0]["content"] == "question up"
    text = run("show", "up").stdout
    assert text.index("cost ") < text.index("\nrequest\n") < text.index("\nresponse\n"), "what was said comes last"
    assert "upstream            openai" in text and '"content": "question up"' in text
    assert "\x1b" not in run("show", "odd").stdout


def test_stats_count_shares_and_savings(shop: Path) -> None:
    found = {one["task"]: one for one in json.loads(run("stats", "--output", "json").stdout)["tasks"]}
    assert found["inquiries"]["requests"] == 3
    assert found["inquiries"]["shares"] == {"escalated": pytest.approx(1 / 3), "local": pytest.approx(2 / 3)}
    assert found["inquiries"]["saving"] is None, "nobody has said what its large model costs"
    assert found["inquiries"]["routes"]["escalated"]["prompt_tokens"] == 90
    text = run("stats", "--since", "12h").stdout
    assert "(not recognised)" in text and "saved by inquiries: not known: its large model has no price" in text


def test_a_saving_is_what_the_large_model_of_the_task_would_have_charged(shop: Path) -> None:
    (shop / "shokunin.toml").write_text(
        "[upstreams.openai]\nbase_url = 'http://127.0.0.1:1/v1'\nmodel = 'large'\n[gateway]\nupstream = 'openai'\n"
        "[prices.large]\ninput = 1000\noutput = 2000\n"
    )
    recorder = open_recorder(shop / "traffic")
    recorder.record(made("vectors", HOUR, workload_id="", prompt_tokens=7))
    recorder.record(made("priced", HOUR, prompt_tokens=30, completion_tokens=1))
    recorder.record(made("check", HOUR, route="audit", cost=0.5))
    recorder.close()
    found = {one["task"]: one for one in json.loads(run("stats", "--output", "json").stdout)["tasks"]}
    assert found["inquiries"]["saving"] == pytest.approx((30 * 1000 + 2000) / 1e6)
    text = run("stats").stdout
    assert "saved by inquiries: about $0.032, while audits cost $0.50" in text
    assert text.count("saved by") == 1, "what belongs to no task replaced no call"
    with (shop / "shokunin.toml").open("a") as file:
        file.write('[money]\ncurrency = "JPY"\nper_usd = 1000\n')
    assert "saved by inquiries: about ¥32, while audits cost ¥500" in run("stats").stdout


def test_a_saving_by_the_price_book_says_of_which_day_it_is(shop: Path) -> None:
    from shokunin.cost import price_book

    (shop / "shokunin.toml").write_text(
        "[upstreams.openai]\nbase_url = 'http://127.0.0.1:1/v1'\nmodel = 'gpt-4o-mini'\n[gateway]\nupstream = 'openai'\n"
    )
    recorder = open_recorder(shop / "traffic")
    recorder.record(made("priced", HOUR, prompt_tokens=1000, completion_tokens=100))
    recorder.close()
    (one,) = (t for t in json.loads(run("stats", "--output", "json").stdout)["tasks"] if t["task"] == "inquiries")
    assert one["price"] == {"model": "gpt-4o-mini", "as_of": price_book().as_of} and one["saving"] > 0
    assert f" by the price book of {price_book().as_of}" in run("stats").stdout


def test_export_and_erase(shop: Path) -> None:
    found = json.loads(run("export", "out.jsonl", "--client", "anna", "--output", "json").stdout)
    assert found == {"file": "out.jsonl", "exchanges": 3}
    lines = [json.loads(line) for line in (shop / "out.jsonl").read_text().split("\n")[:-1]]
    assert [line["id"] for line in lines] == ["old", "new", "odd"]
    assert json.loads(run("erase", "--client", "anna", "--yes", "--output", "json").stdout) == {
        "client": "anna",
        "erased": 3,
    }
    assert listed() == ["up"]


def test_what_a_killed_server_left_is_there_before_it_starts_again(shop: Path) -> None:
    from shokunin.traffic.lines import line_of

    (shop / "traffic" / "journal" / "000000000099.journal").write_bytes(line_of(made("left", 1)))
    assert listed()[0] == "left"


@pytest.mark.parametrize("as_json", [True, False])
def test_tail_follows_until_it_is_interrupted(shop: Path, as_json: bool) -> None:
    # A shell that runs the tests in the background has them, and what they start, ignore the signal.
    heeding = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from shokunin.cli import main; main()"
    )
    command = [sys.executable, "-c", heeding, "traffic", "tail", "--task", "inquiries"]
    process = subprocess.Popen(
        [*command, *(["--output", "json"] if as_json else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=shop,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    recorder = open_recorder(shop / "traffic")
    number = 0
    os.set_blocking(process.stdout.fileno(), False)
    line = None
    while not line:  # it begins with what comes after it has started, whenever that is
        recorder.record(made(f"tailed{number}", 0))
        recorder.record(made(f"other{number}", 0, workload_id="other"))
        number += 1
        time.sleep(0.2)
        line = process.stdout.readline()
        assert number < 100
    recorder.close()
    process.send_signal(signal.SIGINT)
    os.set_blocking(process.stdout.fileno(), True)
    rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and errors == b""
    for one in [line, *rest.splitlines()]:
        assert b"tailed" in one and b"other" not in one
        if as_json:
            assert json.loads(one)["request"]["messages"][0]["content"].startswith("question tailed")
