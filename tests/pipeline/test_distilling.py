"""Distilling from the file to the dataset, against a large model that is scripted, on loopback."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import shokunin
from rows import WORDS, rows
from shokunin.cli import app
from shokunin.dataset import read_dataset
from shokunin.distill.label import Options
from shokunin.errors import DataError, UsageError
from shokunin.pipeline.distilling import distill
from shokunin.serve.scripted_upstream import Act, ScriptedUpstream, Seen

ANSWERED, OPEN = 60, 90


def truth(text: str) -> str:
    return next(
        label
        for label, (starts, things) in WORDS.items()
        if any(s in text for s in starts) and any(t in text for t in things)
    )


def answering(say: Callable[[str], str], tokens: tuple[int, int] = (40, 3)) -> Callable[[Seen], Act]:
    """A large model that answers the last message, with tokens counted as a server does."""

    def script(seen: Seen) -> Act:
        text = say(seen.json["messages"][-1]["content"])
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
        return Act(
            body=json.dumps(
                {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}
            ).encode()
        )

    return script


@pytest.fixture
def large() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(answering(truth)) as upstream:
        yield upstream


@pytest.fixture
def inquiries(project: Path) -> Path:
    """Rows of which the first have answers and the rest have none."""
    made = rows(ANSWERED + OPEN)
    return write(
        project / "inquiries.csv", [{**r, "label": r["label"] if i < ANSWERED else ""} for i, r in enumerate(made)]
    )


def write(path: Path, made: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(made[0]))
        writer.writeheader()
        writer.writerows(made)
    return path


def run(*words: Any) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def test_rows_get_answers_and_the_sealed_test_keeps_the_owner_s(inquiries: Path, large: ScriptedUpstream) -> None:
    done = distill(inquiries, f"{large.base_url}#local-7b")
    assert (done.stopped, done.spent, done.gate is not None and done.gate.verdict) == (None, 0.0, "go")
    assert done.rows_in == OPEN == done.kept + sum(done.dropped.values()) and done.kept > 0.8 * OPEN
    assert done.dataset is not None and done.rows is not None
    made = read_dataset(done.dataset)
    by_teacher = [e for e in made.train if e.labelled_by == "local-7b"]
    assert len(by_teacher) == done.kept and all(e.expected == truth(e.inputs["text"]) for e in by_teacher)
    tested = made.sealed.open("a test")
    assert {e.labelled_by for e in tested} == {"owner"} and len(tested) == 12
    assert {e.inputs["text"] for e in tested}.isdisjoint(e.inputs["text"] for e in made.train)
    parent = next(p for p in done.dataset.parent.iterdir() if p != done.dataset)
    assert (parent / "test.jsonl").read_bytes() == (done.dataset / "test.jsonl").read_bytes()
    assert made.facts["rows"]["in"] == ANSWERED + OPEN
    assert made.facts["rows"]["in"] == made.facts["rows"]["used"] + sum(made.facts["rows"]["set_aside"].values())
    assert made.facts["split"]["counts"]["train"] == len(made.train)
    assert any("teacher's answers" in w for w in made.facts["warnings"])
    told = [json.loads(line) for line in done.rows.read_text().splitlines()]
    assert len(told) == len(made.train) and {t["labelled_by"] for t in told} == {"owner", "local-7b"}
    assert all(set(t) == {"text", "label", "labelled_by", "agreement", "origin"} for t in told)
    specialist = shokunin.train(done.dataset, learners=["baseline", "text_linear"], replayed=False)
    assert specialist.labels == ("delivery", "invoice", "refund")


def test_the_rows_file_is_split_so_that_a_teacher_s_rows_judge_nothing(
    inquiries: Path, large: ScriptedUpstream, project: Path
) -> None:
    done = distill(inquiries, f"{large.base_url}#local-7b")
    assert done.rows is not None
    found = run("curate", done.rows, "--name", "again", "--input", "text", "--target", "label", "--output", "json")
    assert found.exit_code == 0, found.output
    folder = next((project / "tasks" / "again" / "datasets").iterdir())
    made = read_dataset(folder)
    assert {e.labelled_by for e in made.sealed.open("a test")} == {"owner"}
    by_teacher = sum(e.labelled_by == "local-7b" for e in made.train)
    aside = made.facts["rows"]["set_aside"]
    assert by_teacher + sum(n for why, n in aside.items() if why.startswith("labelled by a model")) == done.kept
    assert by_teacher > 0.6 * done.kept


def test_a_column_of_people_s_names_is_no_teacher(project: Path) -> None:
    path = write(project / "who.csv", [{**r, "labelled_by": "alice"} for r in rows(80)])
    assert run("curate", path).exit_code == 0


def test_no_test_or_validation_row_s_text_reaches_the_teacher(inquiries: Path, large: ScriptedUpstream) -> None:
    done = distill(inquiries, f"{large.base_url}#local-7b", options=Options(shots=6))
    assert done.dataset is not None
    sealed = {e.inputs["text"] for e in read_dataset(done.dataset).sealed.open("a test")}
    said = {m["content"] for seen in large.requests for m in seen.json["messages"]}
    assert not said & sealed
    shown = large.requests[0].json["messages"]
    assert [m["role"] for m in shown] == ["system", *["user", "assistant"] * 6, "user"]
    assert all(truth(q["content"]) == a["content"] for q, a in zip(shown[1:-1:2], shown[2:-1:2], strict=True))
    assert done.gate is not None and done.gate.rows == 48 - 6


def test_the_same_again_is_free_and_the_same(inquiries: Path, large: ScriptedUpstream) -> None:
    first = distill(inquiries, f"{large.base_url}#local-7b")
    asked = len(large.requests)
    second = distill(inquiries, f"{large.base_url}#local-7b")
    assert len(large.requests) == asked and second.bought == 0 and second.dataset == first.dataset
    assert all(f.calls == 0 for f in second.foreseen[0])


def test_a_paid_teacher_needs_a_budget_and_the_price_is_foreseen(inquiries: Path, large: ScriptedUpstream) -> None:
    teacher = (
        f"{large.base_url}#gpt-4o-mini"  # in the price book, so that this machine's own address does not make it free
    )
    with pytest.raises(UsageError, match=r"expected to cost \$0\.\d+ \(between .* --budget USD"):
        distill(inquiries, teacher)
    assert not large.requests
    large.script = answering(truth, tokens=(67, 3))
    done = distill(inquiries, teacher, budget=1.0)
    assert done.stopped is None and done.spent is not None
    calls = len(large.requests)
    assert done.spent == pytest.approx(calls * (67 * 0.15 + 3 * 0.60) / 1e6)
    before, after = (step[0] for step in done.foreseen)
    assert before.usd is not None and after.usd is not None
    assert before.usd.low <= done.spent <= before.usd.high
    gate_cost = done.spent - (calls - 48) / calls * done.spent
    assert after.measured == 48 and after.usd.low * 0.9 <= done.spent - gate_cost <= after.usd.high * 1.1


def test_the_budget_is_never_exceeded_and_what_was_bought_is_kept(inquiries: Path, large: ScriptedUpstream) -> None:
    large.script = answering(truth, tokens=(400, 3))
    teacher = f"{large.base_url}#gpt-4o"
    run_all = ["distill", inquiries, "--from", teacher, "--gate", "10", "--concurrency", "1", "--output", "json"]
    found = run(*run_all, "--budget", "0.05", "--max-tokens", "16")
    assert found.exit_code == 1, found.output
    told = json.loads(found.stdout)
    assert told["stopped"] == "budget" and 0 < told["rows"]["kept"] < OPEN and told["cost_usd"] <= 0.05
    assert told["rows"]["dropped"]["the budget was spent"] > 0 and Path(told["dataset"]).is_dir()
    asked = len(large.requests)
    more = run(*run_all, "--budget", "1", "--max-tokens", "16")
    told = json.loads(more.stdout)
    assert more.exit_code == 0 and told["calls"]["reused"] == asked
    assert len(large.requests) == 10 + told["rows"]["in"] - sum(told["rows"]["dropped"].values())


@pytest.mark.parametrize(("budget", "hint"), [(None, "or say --yes"), (1.0, "prices")])
def test_a_teacher_of_unknown_price_is_named(budget: float | None, hint: str, inquiries: Path) -> None:
    with pytest.raises(UsageError, match=rf"(?s)no price is known for 'who-knows'.*{hint}"):
        distill(inquiries, "https://example.invalid/v1#who-knows", budget=budget)


def test_a_poor_teacher_is_stopped_at_the_gate(inquiries: Path, large: ScriptedUpstream) -> None:
    large.script = answering(lambda text: "refund")
    words = ["distill", inquiries, "--from", f"{large.base_url}#local-7b"]
    found = run(*words, "--output", "json")
    told = json.loads(found.stdout)
    assert found.exit_code == 1 and told["stopped"] == "gate" and told["gate"]["verdict"] == "rethink"
    assert told["dataset"] is None and len(large.requests) == told["gate"]["rows"] == 48
    assert told["rows"]["in"] == OPEN == sum(told["rows"]["dropped"].values())
    shown = run(*words)
    assert shown.exit_code == 1 and "Verdict: rethink" in shown.output
    anyway = run(*words, "--yes", "--output", "json")
    assert anyway.exit_code == 0 and json.loads(anyway.stdout)["rows"]["kept"] > 0


def test_the_forecast_alone_asks_nobody(inquiries: Path, large: ScriptedUpstream) -> None:
    found = run(
        "distill",
        inquiries,
        "--from",
        f"{large.base_url}#gpt-4o-mini",
        "--forecast",
        "--extend",
        "40",
        "--output",
        "json",
    )
    told = json.loads(found.stdout)
    assert found.exit_code == 0 and told["stopped"] == "forecast" and not large.requests
    assert [(f["purpose"], f["calls"] > 0, f["usd"]["high"] > 0) for f in told["forecasts"][0]] == [
        ("label", True, True),
        ("extend", True, True),
    ]


def test_new_inputs_are_written_sifted_and_labelled(inquiries: Path, large: ScriptedUpstream) -> None:
    def say(text: str) -> str:
        if not text.startswith("["):
            return truth(text)
        seeds = [one["text"] for one in json.loads(text)]
        label = truth(seeds[0])
        starts, things = WORDS[label]
        number = len(large.requests)
        fresh = f"{starts[0]} {things[1]} as it was promised to my neighbour in street {number * 7919}"
        return json.dumps([{"text": fresh}, {"text": seeds[0]}, {"text": "?"}])

    large.script = answering(say)
    done = distill(inquiries, f"{large.base_url}#local-7b", extend_by=6, rows=10)
    assert done.kept == 10 + done.extended["kept"] and 0 < done.extended["kept"] <= 6
    new = done.extended
    assert new["written"] == new["kept"] + sum(new["dropped"].values())
    assert done.dropped["beyond the number of rows that was asked for"] > 0
    assert done.dataset is not None
    written = [e for e in read_dataset(done.dataset).train if e.origin.startswith("written by local-7b:")]
    assert len(written) == new["kept"] and all(e.expected == truth(e.inputs["text"]) for e in written)


def test_rows_like_test_rows_are_not_learnt(inquiries: Path, large: ScriptedUpstream, project: Path) -> None:
    done = distill(inquiries, f"{large.base_url}#local-7b", rows=1)
    assert done.dataset is not None
    tested = read_dataset(done.dataset).sealed.open("a test")
    more = write(
        project / "more.csv",
        [{"text": e.inputs["text"].upper() + " !", "label": "x"} for e in tested]
        + [{"text": "track my parcel, it is blue", "label": "x"}],
    )
    again = distill(done.dataset, f"{large.base_url}#local-7b", unlabelled=more)
    assert again.rows_in == 13 and again.dropped == {"nearly the same as a test row": 12} and again.kept == 1
    before = (done.dataset / "openings.jsonl").read_text().count("\n")
    assert before == 1, "comparing is no opening"


def test_a_task_is_found_by_its_name(large: ScriptedUpstream, project: Path) -> None:
    folder = project / "tasks" / "inquiries"
    (folder / "rows").mkdir(parents=True)
    (folder / "task.toml").write_text('name = "inquiries"\n', encoding="utf-8")
    made = rows(ANSWERED + OPEN)
    write(folder / "rows" / "all.csv", [{**r, "label": r["label"] if i < ANSWERED else ""} for i, r in enumerate(made)])
    done = distill("inquiries", f"{large.base_url}#local-7b")
    assert done.task == "inquiries" and done.kept > 0.8 * OPEN
    assert done.folder == folder / "distilled" and (done.folder / "summary.md").read_text().startswith(
        "# Distilled: inquiries"
    )


@pytest.mark.parametrize("egress", ["never", "masked"])
def test_models_on_this_machine_may_see_everything(
    egress: str, inquiries: Path, project: Path, large: ScriptedUpstream
) -> None:
    (project / "shokunin.toml").write_text(f'[gateway]\negress = "{egress}"\n', encoding="utf-8")
    assert distill(inquiries, f"{large.base_url}#local-7b").kept > 0


def test_nothing_leaves_a_house_that_does_not_let_it(inquiries: Path, project: Path) -> None:
    (project / "shokunin.toml").write_text(
        '[gateway]\negress = "never"\n[upstreams.big]\nbase_url = "https://example.invalid/v1"\nmodel = "gpt-4o"\n',
        encoding="utf-8",
    )
    with pytest.raises(UsageError, match="may leave the house"):
        distill(inquiries, "big", budget=1.0)


def test_personal_data_is_masked_where_the_task_says_so() -> None:
    from shokunin.cost import Price
    from shokunin.engines.chat_client import ChatClient
    from shokunin.pipeline.teachers import ServerTeacher, hiding
    from shokunin.project import Gateway, Project

    abroad = ServerTeacher("gpt-4o", Price(1, 1), False, ChatClient("https://example.invalid/v1", "gpt-4o"))
    place = Project(Path(), gateway=Gateway(egress="masked"))
    assert hiding([abroad], place, "x")({"text": "write to a.b@example.com"}) == {"text": "write to <email>"}
    assert hiding([abroad], Project(Path()), "x")({"text": "write to a.b@example.com"}) == {
        "text": "write to a.b@example.com"
    }
    abroad.client.close()


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("nobody", "'nobody' is no upstream of this project and no address; the upstreams in shokunin.toml are: none"),
        ("http://127.0.0.1:1/v1", "names no model; write URL#MODEL"),
    ],
)
def test_a_teacher_that_cannot_be_asked_is_an_error_before_anything_is_written(
    teacher: str, message: str, inquiries: Path, project: Path
) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(UsageError, match=re.escape(message)):
        distill(inquiries, teacher)
    assert sorted(project.rglob("*")) == before


def test_a_server_that_is_not_there_is_said(inquiries: Path, large: ScriptedUpstream) -> None:
    large.script = lambda seen: Act(status=404, body=b'{"error": {"message": "no such model"}}')
    with pytest.raises(
        DataError, match=r"'local-7b' answered none of the first 8 rows; .*no such model; no key was sent"
    ):
        distill(inquiries, f"{large.base_url}#local-7b")


def test_with_every_row_answered_there_is_nothing_to_do(project: Path, large: ScriptedUpstream) -> None:
    path = write(project / "inquiries.csv", rows(60))
    with pytest.raises(UsageError, match="nothing to label: every row has an answer"):
        distill(path, f"{large.base_url}#local-7b")


def test_rows_without_any_answer_cannot_be_judged(project: Path, large: ScriptedUpstream) -> None:
    path = write(project / "inquiries.csv", [{**r, "label": ""} for r in rows(60)])
    found = run("distill", path, "--from", f"{large.base_url}#local-7b", "--target", "label", "--input", "text")
    assert found.exit_code == 2 and not large.requests


def test_a_process_killed_in_the_middle_goes_on_where_it_was(
    inquiries: Path, large: ScriptedUpstream, project: Path
) -> None:
    import subprocess
    import sys
    import time

    large.script = lambda seen: Act(**{**answering(truth)(seen).__dict__, "delay": 0.02})
    words = [
        "distill",
        str(inquiries),
        "--from",
        f"{large.base_url}#local-7b",
        "--concurrency",
        "2",
        "--output",
        "json",
    ]
    child = subprocess.Popen([sys.executable, "-m", "shokunin", *words], cwd=project, stdout=subprocess.DEVNULL)
    journal = project / "tasks" / "inquiries" / "distilled" / "calls.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.is_file() and journal.read_bytes().count(b"\n") >= 70):
        time.sleep(0.01)
    child.kill()
    child.wait()
    kept = journal.read_bytes().count(b"\n")
    assert 70 <= kept < ANSWERED - 12 + OPEN, "it was killed in the middle"
    asked = len(large.requests)
    assert asked - kept <= 2, "no more is lost than what was under way"
    told = json.loads(run(*words).stdout)
    assert told["calls"]["bought"] == len(large.requests) - asked and told["calls"]["reused"] == kept


def test_written_answers_are_voted_on_as_their_kind_compares_them(project: Path, large: ScriptedUpstream) -> None:
    states = [f"state{i}" for i in range(90)]
    made = [
        {
            "question": f"how many towns are there in {s} and its {s[::-1]}",
            "sql": f"SELECT count(*) FROM town WHERE state = '{s}'" if i < 60 else "",
        }
        for i, s in enumerate(states)
    ]
    spelled = iter(range(10_000))

    def say(text: str) -> str:
        state = text.split()[6]
        if next(spelled) % 5 == 4:
            return "I cannot say."
        return f"SELECT count(*)  FROM town\nWHERE state = '{state}'"  # the same but for white space

    large.script = answering(say)
    (project / "tasks" / "sql" / "rows").mkdir(parents=True)
    (project / "tasks" / "sql" / "task.toml").write_text(
        'name = "sql"\nkind = "generate_text"\ninputs = ["question"]\ntarget = "sql"\n', encoding="utf-8"
    )
    write(project / "tasks" / "sql" / "rows" / "rows.csv", made)
    done = distill("sql", f"{large.base_url}#local-7b", options=Options(best_of=3, concurrency=1), yes=True)
    assert done.gate is not None and done.gate.metric == "exact_match" and done.kept > 20
    assert done.dataset is not None
    taught = [e for e in read_dataset(done.dataset).train if e.labelled_by == "local-7b"]
    assert len(taught) == done.kept and all(e.inputs["question"].split()[6] in (e.expected or "") for e in taught)
    assert read_dataset(done.dataset).labels == () and done.agreement is not None and 0.6 < done.agreement < 1
