"""Work that is no labels, from rows to a served specialist: fields of receipts, and written answers."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

import shokunin
from shokunin import pipeline, registry
from shokunin.curate.build import build_dataset
from shokunin.dataset import read_dataset
from shokunin.errors import DataError, UsageError
from shokunin.files import read_json
from shokunin.pipeline.bases import check_families
from shokunin.serve.scripted_upstream import ScriptedUpstream
from shokunin.task import Task
from shokunin.tasks import kind as kind_of

SHOPS = ("MORI STORES", "SATO AND SONS", "UEDA PAPER", "ABE TOOLS", "KATO FOODS", "OKA BOOKS")


def receipts(count: int) -> list[dict[str, str]]:
    draw = random.Random(3)
    made = []
    for number in range(count):
        shop, day, month = draw.choice(SHOPS), draw.randint(1, 28), draw.randint(1, 12)
        price, cash = draw.randint(100, 90_000) / 100, draw.randint(100_000, 200_000) / 100
        noise = [f"{draw.choice(('NUTS', 'PAPER', 'TEA'))} {draw.randint(1, 9)} x" for _ in range(draw.randint(1, 5))]
        text = [
            shop,
            f"RECEIPT {number:05d}",
            f"DATE {day:02d}/{month:02d}/2024",
            *noise,
            f"TOTAL {price:.2f}",
            f"CASH {cash:.2f}",
        ]
        answer = {"shop": shop, "date": f"{day:02d}/{month:02d}/2024", "total": f"{price:.2f}"}
        made.append({"document": "\n".join(text), "answer": json.dumps(answer)})
    return made


def replies(count: int) -> list[dict[str, str]]:
    draw = random.Random(5)
    pairs = [
        ("Hello, {n} here: where is my order {o}?", "Dear {n}, order {o} is on its way to you."),
        ("I am {n}, please cancel {o} at once.", "Dear {n}, we have cancelled order {o}."),
        ("{n} again. The parcel {o} came broken!", "Dear {n}, we are sorry. A new parcel for {o} leaves today."),
    ]
    made = []
    for _ in range(count):
        asked, answered = draw.choice(pairs)
        name = "".join(draw.choices("abcdefghij", k=6)).title()
        order = f"{draw.choice('ABC')}-{draw.randint(100, 9999)}"
        made.append({"message": asked.format(n=name, o=order), "reply": answered.format(n=name, o=order)})
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, shokunin.Specialist]:
    project = tmp_path_factory.mktemp("receipts")
    specialist = shokunin.train(receipts(150), name="receipts", learners=["field_candidates"], project=project)
    return project, specialist


class TestReceipts:
    def test_the_kind_and_its_fields_are_seen_in_the_rows(self, trained: tuple[Path, shokunin.Specialist]) -> None:
        task = trained[1].task
        assert (task.kind, task.inputs, task.metric) == ("extract_fields", ("document",), "field_f1")
        assert task.options["fields"] == {"shop": "text", "date": "date", "total": "money"}

    def test_the_report_has_every_field_and_the_server_answered_alike(
        self, trained: tuple[Path, shokunin.Specialist]
    ) -> None:
        report = pipeline.read_report(trained[1])
        assert report.verdict == "pass" and report.scores["field_f1"].value > 0.9
        assert {"document_exact", "f1[shop]", "f1[date]", "f1[total]"} < set(report.scores)
        assert report.replay is not None and report.replay["disagreements"] == 0
        page = (trained[1].folder / "report.html").read_text()
        assert "Field by field" in page and "total (F1)" in page
        front = (trained[1].folder / "card.md").read_text().split("---")[1]
        assert "- field_f1" in front and "f1[" not in front, "a single field's F1 is no metric that a hub knows"

    def test_a_new_document_is_read_with_the_places_of_its_values(
        self, trained: tuple[Path, shokunin.Specialist]
    ) -> None:
        text = "ABE TOOLS\nRECEIPT 99999\nDATE 05/06/2024\nTEA 2 x\nTOTAL 12.34\nCASH 1500.00"
        answer = shokunin.load("receipts", project=trained[0]).predict(text)
        assert json.loads(answer.value or "") == {"shop": "ABE TOOLS", "date": "05/06/2024", "total": "12.34"}
        start, end = answer.details["fields"]["total"]["span"]
        assert text[start:end] == "12.34"

    def test_learners_of_other_forms_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"'text_linear' does not fit this kind of work.*field_candidates"):
            shokunin.train(receipts(60), name="r", learners=["text_linear"], project=tmp_path)
        assert not list(tmp_path.glob("specialists/r/[0-9]*"))


class TestReceiptsProvenOnNewRows:
    def test_a_column_for_each_field_will_do_but_not_for_some(self, trained: tuple[Path, shokunin.Specialist]) -> None:
        project, specialist = trained
        rows = [{"document": r["document"], **json.loads(r["answer"])} for r in receipts(240)[200:]]
        assert pipeline.prove(specialist, rows, project=project).scores["field_f1"].value > 0.9
        some = [{"document": row["document"], "total": row["total"]} for row in rows]
        with pytest.raises(DataError, match=r"the rows have no column 'shop'.*'shop', 'date', 'total'"):
            pipeline.prove(specialist, some, project=project)
        with pytest.raises(DataError, match="the rows have no column 'answer'"):
            pipeline.prove(specialist, [{"document": row["document"]} for row in rows], project=project)

    def test_answers_that_cannot_be_used_are_told(self, trained: tuple[Path, shokunin.Specialist]) -> None:
        project, specialist = trained
        torn = {"document": "KATO FOODS\nTOTAL 3.00", "answer": "3.00"}
        report = pipeline.prove(specialist, [*receipts(240)[200:], torn], project=project)
        assert any("1 given row has an answer that cannot be used" in reason for reason in report.reasons)
        assert report.rows == 40 and report.dataset["without_answer"] == 0
        with pytest.raises(DataError, match="of the first the answer is not a JSON object"):
            pipeline.prove(specialist, [torn], project=project)

    def test_recorded_answers_are_read_as_replies_whatever_their_spelling(
        self, trained: tuple[Path, shokunin.Specialist]
    ) -> None:
        project, specialist = trained
        rows = receipts(240)[200:]
        for row in rows:
            turned = dict(reversed(json.loads(row["answer"]).items()))
            row["large"] = f"```json\n{json.dumps(turned, indent=2)}\n```"
        against = pipeline.prove(specialist, rows, against="column:large", project=project).against
        assert against is not None and against["scores"]["field_f1"]["value"] == 1.0
        assert against["agreement"]["value"] > 0.9

    def test_a_large_model_is_asked_for_the_fields(self, trained: tuple[Path, shokunin.Specialist]) -> None:
        project, specialist = trained
        rows = receipts(203)[200:]
        with ScriptedUpstream(f"Here it is: {rows[0]['answer']}") as large:
            report = pipeline.prove(specialist, rows, against=f"{large.base_url}#large", project=project)
        asked = [request.json["messages"] for request in large.requests]
        assert len(asked) == 3 and all("- total (money)" in messages[0]["content"] for messages in asked)
        assert report.against is not None and report.against["answered"] == 3


def test_test_rows_need_a_column_for_each_field(tmp_path: Path) -> None:
    rows = [{"document": r["document"], **json.loads(r["answer"])} for r in receipts(80)]
    tests = [{"document": row["document"], "total": row["total"]} for row in rows[:9]]
    with pytest.raises(DataError, match="the test rows have no column 'shop'"):
        pipeline.curate(rows[9:], test=tests, target="shop,date,total", name="r", project=tmp_path)


def test_a_column_for_each_field_is_an_answer_too(tmp_path: Path) -> None:
    rows = [{"document": r["document"], **json.loads(r["answer"])} for r in receipts(80)]
    dataset, folder = pipeline.curate(rows, target="shop,date,total", project=tmp_path)
    assert dataset.task.kind == "extract_fields" and dataset.task.target == "fields"
    assert json.loads(read_dataset(folder).train[0].expected or "").keys() == {"shop", "date", "total"}
    assert len(dataset.validation) >= 10 and dataset.facts["classes"] == {}
    with pytest.raises(DataError, match="'tax'"):
        pipeline.curate(rows, target="shop,tax", project=tmp_path)


def test_rows_that_break_their_schema_are_counted(tmp_path: Path) -> None:
    rows = [*receipts(80), {"document": "torn", "answer": "9.00"}, {"document": "blank", "answer": ""}]
    dataset, _ = pipeline.curate(rows, project=tmp_path, name="receipts")
    aside = read_json(next(tmp_path.glob("tasks/receipts/datasets/*/dataset.json")))["facts"]["rows"]["set_aside"]
    assert aside["the answer is not a JSON object"] == 1 and aside["no answer"] == 1
    assert dataset.facts["rows"]["in"] == 82


def test_replies_are_written_from_past_ones(tmp_path: Path) -> None:
    specialist = shokunin.train(
        replies(240),
        name="replies",
        kind="generate_text",
        learners=["nearest_answer", "answer_templates"],
        project=tmp_path,
    )
    report = pipeline.read_report(specialist)
    assert specialist.task.target == "reply" and report.scores["exact_match"].value > 0.9
    assert [rung.learner for rung in report.ladder if rung.chosen] == ["answer_templates"]
    answer = specialist.predict("I am Zelda, please cancel C-4711 at once.")
    assert answer.value == "Dear Zelda, we have cancelled order C-4711."
    assert report.replay is not None and report.replay["disagreements"] == 0


def test_several_good_answers_to_one_text_are_no_contradiction() -> None:
    greetings = [{"message": "Hello there!", "reply": f"Good {time}."} for time in ("day", "day", "evening", "night")]
    rows = [*replies(80), *greetings]
    written = Task("replies", "generate_text", ("message",), "reply")
    examples = list(kind_of("generate_text").gather(written, ((f"r:{i}", r) for i, r in enumerate(rows))))
    built = build_dataset(written, examples, labels=False)
    everywhere = [*built.train, *built.validation, *built.sealed.open("a test")]
    assert [e.expected for e in everywhere if e.inputs["message"] == "Hello there!"] == ["Good day."]


def test_a_base_that_nothing_starts_from_is_not_left_aside() -> None:
    check_families({"tiny": "encoder"}, ("labelled_text",))
    check_families({"writer": "language"}, ("labelled_fields", "conversation"))
    check_families({"tiny": "encoder"}, ("labelled_fields", "conversation"))
    with pytest.raises(UsageError, match=r"'tiny' is an encoder.*leave out --base"):
        check_families({"tiny": "encoder"}, ("conversation",))
    with pytest.raises(UsageError, match="'writer' is a language model"):
        check_families({"writer": "language"}, ("labelled_text",))


def test_another_kind_or_other_fields_do_not_take_the_champions_place(
    trained: tuple[Path, shokunin.Specialist],
) -> None:
    shelf, champion = trained[0] / "specialists", trained[1]

    def with_fields(fields: dict[str, object]) -> shokunin.Specialist:
        task = replace(champion.task, options={**champion.task.options, "fields": fields})
        return replace(champion, version=9, task=task)

    def schema(*names: str) -> dict[str, object]:
        return {"type": "object", "properties": {name: {"type": "string"} for name in names}}

    for fewer in ({"shop": "text"}, schema("shop")):
        assert str(registry.differs(shelf, with_fields(fewer))).endswith("@9' finds shop")
    assert registry.differs(shelf, with_fields(schema("total", "shop", "date"))) is None
    other = replace(champion.task, kind="generate_text", metric="", options={})
    assert "of kind" in (registry.differs(shelf, replace(champion, version=9, task=other)) or "")
    assert registry.differs(shelf, replace(champion, version=9)) is None


def test_nothing_is_read_off_the_sealed_rows_but_which_fields_there_are(tmp_path: Path) -> None:
    plain, _ = pipeline.curate(receipts(150), name="plain", project=tmp_path)
    sealed = {e.inputs["document"] for e in plain.sealed.open("a test")}
    rows = receipts(150)
    for row in rows:
        if row["document"] in sealed:
            # What only sealed rows show: long answers, other dates, totals that are nowhere, one more field.
            day = row["document"].partition("DATE ")[2][:5].replace("/", ".")
            told = {
                "shop": "MORI STORES OF " + "KOBE " * 60,
                "date": f"31.12.{day}",
                "total": "nothing at all",
                "tax": "1.00",
            }
            row["answer"] = json.dumps(told)
    changed, folder = pipeline.curate(rows, name="changed", project=tmp_path)
    assert {e.inputs["document"] for e in changed.sealed.open("a test")} == sealed
    assert changed.task.options["fields"] == {**plain.task.options["fields"], "tax": "text"}
    for option in ("date_order", "grounded"):
        assert changed.task.options[option] == plain.task.options[option]
    assert changed.task.options["longest"] < 200
    assert read_dataset(folder).task == changed.task
    everything = [json.loads(e.expected or "") for e in (*changed.train, *changed.validation)]
    assert all(answer.keys() == {"shop", "date", "total", "tax"} for answer in everything)


def test_what_somebody_said_is_not_read_off_anything(tmp_path: Path) -> None:
    task = Task("replies", "generate_text", ("message",), "reply", options={"longest": 77})
    dataset, _ = pipeline.curate(replies(120), task=task, project=tmp_path)
    assert dataset.task.options["longest"] == 77 and dataset.task.options["language"] == "text"
    dataset, _ = pipeline.curate(replies(120), task=replace(task, options={}), project=tmp_path)
    training = (*dataset.train, *dataset.validation)
    assert dataset.task.options["longest"] == 32 + max(len(e.expected or "") for e in training) * 2 // 3


def test_one_column_of_plain_values_is_one_field(tmp_path: Path) -> None:
    rows = [{"document": r["document"], "total": json.loads(r["answer"])["total"]} for r in receipts(80)]
    for target in ("total", "total,"):
        dataset, _ = pipeline.curate(rows, kind="extract_fields", target=target, name="t", project=tmp_path)
        assert (dataset.task.kind, dataset.task.target) == ("extract_fields", "fields")
        assert dataset.task.options["fields"] == {"total": "money"}
        assert json.loads(dataset.train[0].expected or "").keys() == {"total"}
    whole, _ = pipeline.curate(receipts(80), kind="extract_fields", target="answer", name="w", project=tmp_path)
    assert whole.task.target == "answer" and len(whole.task.options["fields"]) == 3
