"""Proof on given rows: rows it was trained on have no part in it, repeated rows count once, and the words say what is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import shokunin
from rows import rows
from shokunin import pipeline
from shokunin.dataset import Dataset, Example, SealedRows, read_dataset
from shokunin.errors import DataError, UsageError
from shokunin.pipeline.comparing import answers_of
from shokunin.pipeline.proof import _without_seen
from shokunin.pipeline.rows import dataset_folder
from shokunin.progress import silent
from shokunin.project import open_project
from shokunin.prove.page import summary
from shokunin.specialist import Specialist
from shokunin.task import Task
from shokunin.template import Template, TemplateMessage

PAST = [{**row, "customer": f"c{i % 90}"} for i, row in enumerate(rows(500))]
LATER = [
    {"text": f"{start} {thing} {i} {word}", "label": label, "customer": f"new{i // 2}"}
    for i, (start, thing, word, label) in enumerate(
        (start, thing, word, label)
        for word in ("aardvark", "zeppelin", "quince")
        for start, thing, label in (
            ("when comes", "the delivery", "delivery"),
            ("refund me", "what I paid", "refund"),
            ("please correct", "a receipt", "invoice"),
        )
    )
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    task = Task("inquiries", group="customer", none_labels=("other",))
    pipeline.train(PAST, task=task, project=folder, learners=["baseline", "text_linear"], replayed=False)
    return folder


@pytest.fixture(scope="module")
def specialist(shop: Path) -> Specialist:
    return shokunin.load("inquiries", project=shop)


def prove(specialist: Specialist, data: Any, shop: Path, against: Any = None) -> Any:
    return pipeline.prove(specialist, data, against=against, project=shop)


def test_rows_it_was_trained_on_are_left_out_and_counted(specialist: Specialist, shop: Path) -> None:
    dataset = read_dataset(dataset_folder(open_project(shop), specialist))
    trained = {e.inputs["text"] for e in (*dataset.train, *dataset.validation)}
    report = prove(specialist, [*PAST, *LATER], shop)
    left_out = report.dataset["seen_in_training"]
    assert left_out >= len(trained) and report.rows == len(PAST) + len(LATER) - left_out
    assert not trained & {c.inputs["text"] for c in report.cases}
    assert any(f"{left_out:,} given rows repeat ones that it was trained on" in r for r in report.reasons)
    assert "it had never seen" not in summary(report) and "none of them found among the rows" in summary(report)
    assert "it had never seen" in summary(prove(specialist, None, shop))


def test_a_training_row_with_a_word_added_is_found_too(specialist: Specialist, shop: Path) -> None:
    dataset = read_dataset(dataset_folder(open_project(shop), specialist))
    long = max(dataset.train, key=lambda e: len(e.inputs["text"]))
    changed = {"text": long.inputs["text"].upper() + " x", "label": str(long.expected), "customer": "z"}
    report = prove(specialist, [changed, *LATER], shop)
    assert report.dataset["seen_in_training"] == 1 and report.rows == len(LATER)


def test_nothing_but_training_rows_proves_nothing(specialist: Specialist, shop: Path) -> None:
    dataset = read_dataset(dataset_folder(open_project(shop), specialist))
    given = [{"text": e.inputs["text"], "label": e.expected or ""} for e in dataset.train[:20]]
    with pytest.raises(DataError, match=r"all 20 rows .* repeat rows that 'inquiries@1' was trained on"):
        prove(specialist, given, shop)


def test_without_the_dataset_it_says_that_it_does_not_know(specialist: Specialist, tmp_path: Path) -> None:
    report = prove(specialist, PAST[:60], tmp_path)
    assert report.rows == 60 and report.dataset["seen_in_training"] is None
    assert "whether it had seen them is not known" in summary(report)
    assert any("is not known" in r for r in report.reasons)


def test_repeated_rows_and_rows_of_one_customer_are_one_piece_of_proof(specialist: Specialist, shop: Path) -> None:
    once = prove(specialist, LATER, shop)
    groups = [c.group for c in once.cases]
    assert groups == [i // 2 for i in range(len(LATER))]  # the task's group column
    loose = [{k: v for k, v in row.items() if k != "customer"} for row in LATER]
    alone = prove(specialist, loose, shop)
    assert len({c.group for c in alone.cases}) == len(LATER)
    often = prove(specialist, loose * 10, shop)
    assert len({c.group for c in often.cases}) == len(LATER)
    few, many = alone.scores["accuracy"], often.scores["accuracy"]
    assert many.high - many.low > 0.7 * (few.high - few.low)


def write(path: Path, answers: Sequence[str]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"answer": a}) + "\n" for a in answers), encoding="utf-8")
    elif path.suffix == ".txt":
        path.write_text("".join(f" {a} \n" for a in answers), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([["n", "answer"], *([i, a] for i, a in enumerate(answers))])
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".tsv", ".csv", ".txt"])
def test_recorded_answers_are_read_from_every_table(
    ending: str, specialist: Specialist, shop: Path, tmp_path: Path
) -> None:
    # In step with the rows as they were given: also with those that are left out.
    given = [*PAST[:100], *LATER]
    answers = write(tmp_path / f"large{ending}", [row["label"] for row in given])
    report = prove(specialist, given, shop, against=str(answers))
    assert report.rows < len(given)
    assert report.against["scores"]["accuracy"]["value"] == 1.0 and report.against["answered"] == report.rows


def test_our_own_answers_in_a_file_are_our_own_score(specialist: Specialist, shop: Path, tmp_path: Path) -> None:
    source = tmp_path / "later.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(LATER[0]))
        writer.writeheader()
        writer.writerows(LATER)
    for ending in (".csv", ".jsonl"):
        out = tmp_path / f"out{ending}"
        pipeline.predict_file(specialist, source, out)
        report = prove(specialist, source, shop, against=str(out))
        assert report.against["agreement"]["value"] == 1.0
        assert report.against["scores"]["accuracy"]["value"] == report.scores["accuracy"].value


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.md", b"delivery\n", "'.md' are not read"),
        ("a.txt", "Käse\n".encode("latin-1"), "is not UTF-8"),
        ("a.csv", b"reply\ndelivery\n", "has no column 'answer'"),
        ("a.txt", b"delivery\n", "1 recorded answers"),
        ("a.txt", b'{"answer": "delivery"}\n' * len(LATER), "not one of the 9 recorded answers"),
    ],
)
def test_recorded_answers_that_cannot_be_right_are_refused(
    name: str, content: bytes, message: str, specialist: Specialist, shop: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        prove(specialist, LATER, shop, against=str(tmp_path / name))


def test_its_own_none_of_these_is_one_of_the_task_s(specialist: Specialist, shop: Path) -> None:
    """The task spells it 'other', the specialist 'none_of_these': one class, here and in what it is compared with."""
    strange = [{"text": f"{word} {i}", "label": "other"} for i, word in enumerate(("lorem", "ipsum", "dolor", "amet"))]
    declining = replace(specialist, predictor=_Declining(specialist.predictor))
    report = prove(declining, [*LATER, *strange], shop, against=[*(r["label"] for r in LATER), *["other"] * 4])
    assert report.scope is not None and report.scope["rows"] == 4 and report.scope["declined"] == 1.0
    assert report.against["agreement"]["value"] == pytest.approx(report.scores["accuracy"].value)
    assert not report.worst_pairs or all(p["expected"] != "other" for p in report.worst_pairs)


class _Declining:
    """The specialist, but texts without a known beginning get its own 'none of these'."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def predict(self, batch: Any) -> Any:
        starts = ("when", "refund", "please")
        answers = self.inner.predict(batch)
        return [
            a if i["text"].startswith(starts) else replace(a, value="none_of_these", sure=False)
            for i, a in zip(batch, answers, strict=True)
        ]


def test_a_large_model_gets_the_key_of_openai_only_there(
    specialist: Specialist, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None, tuple[str, ...]]] = []

    def upstream(base_url: str, model: str, key: str | None, labels: tuple[str, ...], **_: Any) -> Any:
        asked.append((base_url, key, labels))
        return specialist.predictor

    monkeypatch.setattr("shokunin.pipeline.comparing.upstream", upstream)
    elsewhere = [
        "http://127.0.0.1:9/v1",
        "http://api.openai.com/v1",
        "https://api.openai.com.example.org/v1",
        "https://api.openai.com@example.org/v1",
        "https://example.org/api.openai.com",
    ]
    rows = [Example({"text": row["text"]}, row["label"], f"rows:{i}") for i, row in enumerate(LATER)]
    strange = Example({"text": "lorem"}, "other", "rows:99")

    def ask(address: str, rows: list[Example]) -> None:
        place = open_project(shop)
        answers_of(f"{address}#gpt", specialist, rows, orders=[], columns={}, place=place, progress=silent)

    for address in [*elsewhere, "https://api.openai.com/v1"]:
        ask(address, rows)
    assert [key for _, key, _ in asked] == [None] * len(elsewhere) + ["OPENAI_API_KEY"]
    asked.clear()
    ask("http://127.0.0.1:9/v1", [*rows, strange])
    assert asked[0][2] == (*specialist.labels, "other")


def test_a_large_model_is_asked_in_the_words_of_the_task_s_template(
    specialist: Specialist, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[dict[str, Any]] = []

    def upstream(*_: Any, **options: Any) -> Any:
        ways.append(options)
        return specialist.predictor

    monkeypatch.setattr("shokunin.pipeline.comparing.upstream", upstream)
    template = Template((TemplateMessage("user", "Mail: {{text}}\nTeam:"),), reply="Team {{answer}}")
    rows = [Example({"text": row["text"]}, row["label"], f"rows:{i}") for i, row in enumerate(LATER)]
    for task in (specialist.task, replace(specialist.task, template=template)):
        answers_of(
            "http://127.0.0.1:9/v1#gpt", replace(specialist, task=task), rows,
            orders=[], columns={}, place=open_project(shop), progress=silent,
        )  # fmt: skip
    plain, asked = ways
    assert plain == {}
    assert asked["ask"]({"text": "hi"}) == [{"role": "user", "content": "Mail: hi\nTeam:"}]
    assert asked["read"]("team  REFUND") == "refund"


def test_an_unset_key_and_an_address_that_answers_nothing_are_errors(
    specialist: Specialist, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="'OPENAI_API_KEY' is not set"):
        prove(specialist, LATER, shop, against="https://api.openai.com/v1#gpt")
    monkeypatch.setattr("shokunin.pipeline.comparing.live_answers", _nothing)
    with pytest.raises(DataError, match=r"answered none of the 9 rows.*\[upstreams.NAME\].*api_key_env"):
        prove(specialist, LATER, shop, against="http://127.0.0.1:9/v1#gpt")


def _nothing(_: Any, examples: Any, __: Any) -> list[Any]:
    return [shokunin.Answer(None, 0.0, "gpt", problem="the server said 401", sure=False) for _ in examples]


def test_rows_of_a_masked_dataset_are_masked_before_they_are_compared() -> None:
    """The training side has `<email>` where the given row has the address."""
    text = "please send the receipt to {} by tomorrow"
    learnt = (Example({"text": text.format("<email>")}, "invoice", "a:2"),)
    given = [Example({"text": text.format("someone.with.a.long.name@example.org")}, "invoice", "b:2")]
    for masked, left in ((True, []), (False, given)):
        facts = {"personal_data_rows": {"with_any": 1, "masked": masked}}
        sealed = SealedRows(count=0, _rows=())
        dataset = Dataset(Task("t"), ("invoice",), learnt, (), (), facts, sealed, "0" * 64)
        assert _without_seen(given, dataset, silent) == left
