"""From a log that nobody tagged to judged tasks, to folders, to specialists that a gateway knows the requests of."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from shokunin import pipeline
from shokunin.cost import Price, price_of
from shokunin.discover.groups import Grouping
from shokunin.discover.tally import Tally
from shokunin.errors import ProjectError, UsageError
from shokunin.pipeline import handing_over
from shokunin.pipeline.discovering import Discovery, discover
from shokunin.pipeline.judging import MONTH, final_answers
from shokunin.project import open_project
from shokunin.recorded.call import Call
from shokunin.serve.recognise import Recogniser
from shokunin.task import read_task
from shokunin.template.tokens import tokens_of
from untagged import LABELS, Asked, calls, log, opinion, shop_text, system, talk

QUICK = ("baseline", "text_linear")
SORT = "Classify the message of the customer as delivery, refund or invoice."


def inbox(rng: random.Random, day: str = "12 May 2026") -> Asked:
    text, label = shop_text(rng)
    return system(f"You sort the mail of Ridgeway Parts. Today is {day}. {SORT}", f"Message: {text}\nLabel:"), label


def dated(rng: random.Random) -> Asked:
    asked, label = inbox(rng, f"{rng.randint(1, 28)} {rng.choice(['May', 'June'])} 2026")
    return asked, label.upper() if rng.random() < 0.05 else label


def framed(rng: random.Random) -> Asked:
    """Another version of the same prompt, whose replies are JSON."""
    text, label = shop_text(rng)
    told = f'{SORT} Reply in JSON: {{"intent": ...}}'
    return system(told, f"### Mail\n{text}\n### Intent"), json.dumps({"intent": label})


def mood(rng: random.Random) -> Asked:
    text, good = opinion(rng)
    return system("Is the review positive or negative?", f"Review: {text}"), "positive" if good else "negative"


class Log:
    """A log of two versions of one task, of another task, and of talk; and what was found in it and written."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "log.jsonl"
        self.calls, self.truth = calls([(dated, 280), (framed, 170), (mood, 60), (talk, 60)], seed=2)
        self.path.write_text(log(self.calls) + "{broken\n", encoding="utf-8")
        self.found = discover([self.path], project=folder, write=True, learners=QUICK)
        self.tasks = {task.kind + str(len(task.labels)): task for task in self.found.tasks}
        self.inbox, self.moods = self.tasks["classify_text3"], self.tasks["classify_text2"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log(tmp_path_factory.mktemp("found"))


def write(path: Path, asked: Sequence[Call]) -> Path:
    path.write_text(log(asked), encoding="utf-8")
    return path


def test_every_record_is_counted_once(found: Log) -> None:
    assert found.found.records["in"] == 571 and found.found.records["used"] == 570
    assert found.found.records["set_aside"] == 1
    assert sum(task.records for task in found.found.tasks) == 570
    ids = [name for task in found.found.tasks for name in task.ids]
    assert sorted(ids) == sorted(call.id for call in found.calls)
    apps = {call.id: app for call, app in zip(found.calls, found.truth, strict=True)}
    assert [{apps[name] for name in task.ids} for task in (found.inbox, found.moods)] == [{0, 1}, {2}]


def test_what_is_found_and_said_of_it(found: Log) -> None:
    assert sorted(found.inbox.labels) == sorted(LABELS)
    assert (found.inbox.verdict, found.moods.verdict) == ("TRAIN", "COLLECT MORE")
    assert found.inbox.rehearsal is not None and found.inbox.rehearsal.share > 0.9
    assert found.inbox.recognised == 1 and found.inbox.readable == 1
    assert found.inbox.next_command == f"shokunin train tasks/{found.inbox.name}"
    assert found.moods.rehearsal is not None and (found.moods.rehearsal.lacking or 0) > 0
    chat = found.tasks["chat0"]
    assert (chat.verdict, chat.name, chat.next_command) == ("LEAVE", "chat", "")
    names = [task.name for task in found.found.tasks]
    assert len(set(names)) == len(names) and all(name == name.lower() and " " not in name for name in names)


def test_money_is_what_the_tokens_cost_by_the_month(found: Log) -> None:
    mine = set(found.inbox.ids)
    price = price_of("gpt-4o-mini", {})
    assert price is not None and found.found.days is not None
    spent = sum(
        price.of(tokens_of([text for _, text in call.messages]), tokens_of([call.reply or ""]))
        for call in found.calls
        if call.id in mine
    )
    times = [call.timestamp for call in found.calls if call.timestamp is not None]
    months = (max(times) - min(times)) / 86_400 / MONTH
    money = found.inbox.money
    assert money.cost == pytest.approx(spent / months)
    assert money.saving == pytest.approx(spent / months * found.inbox.share_local * (1 - money.audit_share))
    assert money.first_saving is not None and 0 < money.first_saving < (money.saving or 0) < money.cost
    assert any("tokens of 570 calls" in note for note in found.found.notes)


def test_folders_are_whole(found: Log) -> None:
    assert {path.name for path in found.found.written} == {found.inbox.name, found.moods.name}
    assert sorted(path.name for path in open_project(found.folder).tasks.iterdir()) == sorted(
        path.name for path in found.found.written
    )
    folder = open_project(found.folder).tasks / found.inbox.name
    rows = [json.loads(line) for line in (folder / "rows" / "calls.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 450 and {row["label"] for row in rows} == set(LABELS)
    by_id = {call.id: call for call in found.calls}
    for row in rows:
        call = by_id[row["id"]]
        assert row["timestamp"] == call.timestamp and row["model"] == call.model
        assert call.messages[-1][1] in (f"Message: {row['text']}\nLabel:", f"### Mail\n{row['text']}\n### Intent")
        assert row["label"] in (call.reply or "").lower()
    assert json.loads((folder / "record_ids.json").read_text(encoding="utf-8")) == list(found.inbox.ids)
    head = (folder / "task.toml").read_text(encoding="utf-8")
    assert f"# Next: shokunin train tasks/{found.inbox.name}\n" in head and "TRAIN" in head
    assert all(template.fingerprint in head for template in found.inbox.templates)


def test_a_folder_trains_at_once_and_the_gateway_knows_its_requests(found: Log) -> None:
    folder = open_project(found.folder).tasks / found.inbox.name
    specialist = pipeline.train(folder, project=found.folder, learners=["text_linear"], replayed=False)
    assert specialist.predict("where is my parcel, please").value == "delivery"
    task = read_task(folder / "task.toml")
    gateway = Recogniser((task.name, template) for template in task.templates)
    other = read_task(open_project(found.folder).tasks / found.moods.name / "task.toml")
    both = Recogniser((one.name, template) for one in (task, other) for template in one.templates)
    assert gateway.unspecific == gateway.unclear == both.unclear == ()
    later, _ = calls([(lambda rng: inbox(rng, "3 January 2031"), 20)], seed=8)
    mine = set(found.inbox.ids)
    for call in [*found.calls, *later]:
        known = both.recognise(call.model, [{"role": role, "content": text} for role, text in call.messages])
        if call.id in mine or call in later:
            assert known is not None and known.name == task.name
            said, label = known.inputs["text"], (call.reply or "")
            assert (
                f"Message: {said}\nLabel:" == call.messages[-1][1]
                or f"### Mail\n{said}\n### Intent" == call.messages[-1][1]
            )
            if label == label.lower():  # as the application got it before
                assert known.template.write(json.loads(label)["intent"] if "{" in label else label) == label
        else:
            assert known is None or known.name == other.name


def test_folders_that_are_there_stop_everything(found: Log, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in found.folder.rglob("*")}
    with pytest.raises(ProjectError, match="nothing was written"):
        discover([found.path], project=found.folder, write=True, learners=QUICK)
    assert {path: path.stat().st_mtime_ns for path in found.folder.rglob("*")} == before


def test_all_folders_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish, published = handing_over.publish_folder, []

    def once(made: Path, place: Path) -> None:
        if published:
            raise ProjectError("the disk is full")
        publish(made, place)
        published.append(place)

    monkeypatch.setattr(handing_over, "publish_folder", once)
    asked, _ = calls([(mood, 60), (dated, 60)], seed=3)
    with pytest.raises(ProjectError, match="disk is full"):
        discover([write(tmp_path / "log.jsonl", asked)], project=tmp_path, write=True, learners=QUICK)
    assert published and list(open_project(tmp_path).tasks.iterdir()) == []


def plain(discovery: Discovery) -> list[object]:
    return [replace(task, ids=tuple(sorted(task.ids))) for task in discovery.tasks]


def test_the_same_log_gives_the_same_and_in_another_order_the_same_tasks(found: Log, tmp_path: Path) -> None:
    again = discover([found.path], project=tmp_path, learners=QUICK)
    assert plain(again) == plain(found.found) and again.written == () and not open_project(tmp_path).tasks.exists()
    mixed = list(found.calls)
    random.Random(7).shuffle(mixed)
    other = discover([write(tmp_path / "mixed.jsonl", mixed)], project=tmp_path, learners=QUICK)
    assert {frozenset(task.ids) for task in other.tasks} == {frozenset(task.ids) for task in found.found.tasks}
    assert {(task.name, task.kind, frozenset(task.labels), task.verdict) for task in other.tasks} == {
        (task.name, task.kind, frozenset(task.labels), task.verdict) for task in found.found.tasks
    }


def test_a_model_without_a_price_is_asked_for_and_nothing_is_written(found: Log, tmp_path: Path) -> None:
    strange = [replace(call, model="our-own-7b") for call in found.calls[::5]]
    path = write(tmp_path / "log.jsonl", strange)
    with pytest.raises(UsageError, match="our-own-7b"):
        discover([path], project=tmp_path, write=True, learners=QUICK)
    assert not open_project(tmp_path).tasks.exists()
    free = {"our-own-7b": Price(0, 0)}
    assert {task.money.cost for task in discover([path], project=tmp_path, prices=free, learners=QUICK).tasks} == {0.0}


def test_a_learner_that_there_is_not_is_said_at_once(found: Log) -> None:
    with pytest.raises(UsageError, match="unknown learner 'nonsense'"):
        discover([found.path], project=found.folder, learners=["nonsense"])


def test_what_a_specialist_answered_is_no_row_and_costs_nothing(tmp_path: Path) -> None:
    asked, _ = calls([(mood, 120)], seed=5)
    served = [replace(call, local=i % 3 > 0) for i, call in enumerate(asked)]
    grouping = Grouping(served)
    tally = Tally()
    for call in served:
        assert grouping.place(call) == 0
        tally.count(call)
    assert (tally.local, tally.records) == (80, 120)
    assert tally.by_model["gpt-4o-mini"].priced == 80 and tally.by_model["gpt-4o-mini"].cost == 0


def test_labels_are_told_by_all_short_replies_in_their_proportions() -> None:
    asked, _ = calls([(mood, 120)], seed=5)
    grouping = Grouping(asked)
    tally = Tally()
    tally.said.update({"positive": 600_000, "negative": 380_000, "Positive.": 9_000})
    tally.said.update({f"I cannot say, since case {i} is unclear to me.": 1 for i in range(40_000)})
    told = final_answers(grouping.groups[0], tally)
    assert (told.kind, told.labels) == ("classify_text", ("positive", "negative"))


def order(rng: random.Random) -> Asked:
    """Fields of a short order, as JSON."""
    name, number, amount = (
        rng.choice(("Mori", "Sato", "Ueda", "Abe")),
        rng.randint(1000, 9999),
        rng.randint(100, 9999) / 100,
    )
    told = json.dumps({"customer": name, "order": f"A-{number}", "total": f"{amount:.2f}"})
    return system("Read the order into JSON.", f"Order A-{number} of {name}\nTea and paper\nTotal {amount:.2f}"), told


def test_work_that_is_trained_but_not_rehearsed_is_worth_a_try_and_handed_over(tmp_path: Path) -> None:
    asked, _ = calls([(order, 120), (talk, 40)], seed=3)
    found = discover([write(tmp_path / "log.jsonl", asked)], project=tmp_path, write=True, learners=QUICK)
    [one] = [task for task in found.tasks if task.kind == "extract_fields"]
    assert one.verdict == "TRY" and "only known when it is trained" in one.reason
    assert one.next_command == f"shokunin train tasks/{one.name}"
    dataset, _ = pipeline.curate(tmp_path / "tasks" / one.name, project=tmp_path)
    assert dataset.task.kind == "extract_fields" and set(dataset.task.options["fields"]) == {
        "customer",
        "order",
        "total",
    }
    assert dataset.task.template is not None, "the gateway recognises the requests"
