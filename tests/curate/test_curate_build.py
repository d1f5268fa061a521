"""Rows to Dataset: every row is accounted for, the split is honest, and bad data get a clear error."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.curate.build import build_dataset
from shokunin.curate.card import card_html, card_markdown
from shokunin.curate.columns import guess_columns
from shokunin.curate.intake import NO_ANSWER, NO_LABEL, NO_TEXT
from shokunin.curate.read import read_rows
from shokunin.curate.rules import (
    AGAIN,
    ANSWERED_AGAIN,
    ANSWERED_OTHERWISE,
    LEAK_EXACT,
    LEAK_NEAR,
    MINORITY,
    NO_TIME,
    SINGLE,
    UNDECIDED,
    UNSEEN,
)
from shokunin.curate.table import SET_ASIDE_SURROGATE, Table
from shokunin.dataset import Dataset, Example, read_dataset, write_dataset
from shokunin.errors import DataError
from shokunin.task import Task

DATA = Path(os.environ.get("SHOKUNIN_DATA", Path(__file__).parents[3] / "shared" / "data"))
TASK = Task(name="inquiries")
NOUNS = ["parcel", "card", "refund", "invoice", "login", "order", "password", "address"]


def sentence(draw: np.random.Generator, label: str) -> str:
    words = ["".join(draw.choice(list("abcdefghijklmnopqrstuvwxyz"), size=6)) for _ in range(6)]
    return f"my {label} " + " ".join(words)


def examples(per_label: int, labels: tuple[str, ...] = ("parcel", "refund"), seed: int = 0) -> list[Example]:
    draw = np.random.default_rng(seed)
    return [
        Example({"text": sentence(draw, label)}, label, f"a.csv:{i * len(labels) + j + 2}")
        for i in range(per_label)
        for j, label in enumerate(labels)
    ]


def one(text: str, label: str | None, origin: str = "x:1") -> Example:
    return Example({"text": text}, label, origin)


def everything(dataset: Dataset) -> list[Example]:
    return [*dataset.train, *dataset.validation, *dataset.none, *dataset.sealed.open("test")]


def check(dataset: Dataset) -> None:
    """What must hold for every dataset."""
    rows = dataset.facts["rows"]
    assert rows["in"] == rows["used"] + sum(rows["set_aside"].values())
    assert rows["used"] == len(everything(dataset)) == sum(dataset.facts["split"]["counts"].values())
    assert dataset.facts["classes"] == Counter(e.expected for e in everything(dataset))
    sides = [dataset.train + dataset.none, dataset.validation, dataset.sealed.open("test")]
    groups = [{e.group for e in side} for side in sides]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    json.dumps(dataset.facts, allow_nan=False)


# -- too little to test ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_label", [2, 3])
def test_so_few_rows_that_none_is_left_for_a_test(per_label: int):
    if per_label == 2:
        with pytest.raises(DataError, match=r"no rows are left for a test beside 4 .*add rows or give --test"):
            build_dataset(TASK, examples(per_label))
    else:
        assert build_dataset(TASK, examples(per_label)).sealed.count == 1


def test_groups_so_large_that_none_is_left_for_a_test():
    rows = [{**e.inputs, "label": e.expected, "customer": e.expected} for e in examples(40)]
    table = Table.of_rows(["text", "label", "customer"], rows)
    made = (Example({"text": r["text"]}, r["label"], origin) for origin, r in table.rows())
    with pytest.raises(DataError, match=r"no rows are left for a test.*'customer' stay on one side"):
        build_dataset(Task(name="inquiries", group="customer"), made, tables=[table])


def test_a_test_file_that_holds_only_none_of_these():
    with pytest.raises(DataError, match="no rows are left for a test"):
        build_dataset(TASK, examples(20), test=[one("something else entirely", "oos")])


# -- the split --------------------------------------------------------------------------------------------------------


def test_many_rows_have_a_validation_part():
    dataset = build_dataset(TASK, examples(1100))
    check(dataset)
    assert dataset.facts["split"]["counts"] == {"train": 1460, "validation": 300, "test": 440, "none": 0}
    assert dataset.labels == ("parcel", "refund")
    assert dataset.facts["rows"] == {"in": 2200, "used": 2200, "set_aside": {}, "set_aside_first": {}}


def test_few_rows_are_validated_out_of_fold():
    dataset = build_dataset(TASK, examples(30))
    check(dataset)
    assert dataset.facts["split"]["counts"] == {"train": 48, "validation": 0, "test": 12, "none": 0}
    assert "out of fold" in dataset.facts["split"]["validation"]
    assert "only 12 rows" in " ".join(dataset.facts["warnings"])


def test_many_labels_with_few_rows_each_are_validated_out_of_fold():
    labels = tuple(f"label{i}" for i in range(200))
    dataset = build_dataset(TASK, examples(12, labels))
    check(dataset)
    assert dataset.validation == ()
    assert dataset.sealed.count == 480


def test_same_seed_same_digest():
    rows = examples(60)
    a, b, c = (build_dataset(TASK, rows, seed=seed).digest for seed in (0, 0, 1))
    assert a == b != c


def test_near_duplicates_stay_on_one_side():
    rows = examples(100)
    rows += [one(e.inputs["text"] + "!", e.expected, f"b:{i}") for i, e in enumerate(rows)]
    dataset = build_dataset(TASK, rows)
    check(dataset)
    assert dataset.facts["duplicates"]["near"] == 200
    side = {e.inputs["text"]: name for name in ("train",) for e in dataset.train}
    assert all((e.inputs["text"] + "!" in side) == (e.inputs["text"] in side) for e in rows[:200])


def test_a_group_column_is_kept_together():
    rows = [{**e.inputs, "label": e.expected, "customer": f"c{i // 4}"} for i, e in enumerate(examples(100))]
    table = Table.of_rows(["text", "label", "customer"], rows)
    task = Task(name="t", group="customer")
    dataset = build_dataset(task, gather(table), tables=[table])
    check(dataset)
    customer = {row["text"]: row["customer"] for row in rows}
    tested = {customer[e.inputs["text"]] for e in dataset.sealed.open("test")}
    assert tested and not tested & {customer[e.inputs["text"]] for e in dataset.train}


def test_groups_on_both_sides_of_a_given_test_are_said():
    rows = [{**e.inputs, "label": e.expected, "customer": f"c{i // 4}"} for i, e in enumerate(examples(40))]
    held = [{**e.inputs, "label": e.expected, "customer": f"c{i}"} for i, e in enumerate(examples(3, seed=4))]
    tables = [Table.of_rows(["text", "label", "customer"], given) for given in (rows, held)]
    task = Task(name="t", group="customer")
    dataset = build_dataset(task, gather(tables[0]), test=gather(tables[1]), tables=tables)
    assert "24 training rows have a 'customer' that the test file has too" in " ".join(dataset.facts["warnings"])
    tables[1] = Table.of_rows(["text", "label"], held)  # a test file without the column is fine
    dataset = build_dataset(task, gather(tables[0]), test=gather(tables[1]), tables=tables)
    assert "customer" not in " ".join(dataset.facts["warnings"])


def test_a_time_column_makes_the_newest_rows_the_test():
    rows = [
        {**e.inputs, "label": e.expected, "at": f"2024-{1 + i // 28:02}-{1 + i % 28:02}"}
        for i, e in enumerate(examples(100))
    ]
    rows[5]["at"] = "soon"
    draw = np.random.default_rng(0)
    rows += [{"text": sentence(draw, "late"), "label": "late", "at": "2025-01-01"} for _ in range(3)]
    table = Table.of_rows(["text", "label", "at"], rows)
    dataset = build_dataset(Task(name="t", time="at"), gather(table), tables=[table])
    check(dataset)
    when = {row["text"]: row["at"] for row in rows}
    newest_train = max(when[e.inputs["text"]] for e in dataset.train)
    assert newest_train < min(when[e.inputs["text"]] for e in dataset.sealed.open("test"))
    assert dataset.facts["rows"]["set_aside"] == {NO_TIME: 1, UNSEEN: 3}
    assert "'late'" in " ".join(dataset.facts["warnings"])


def test_a_time_that_cannot_be_read():
    table = Table.of_rows(
        ["text", "label", "at"], [{**e.inputs, "label": e.expected, "at": "3/1/2024"} for e in examples(9)]
    )
    with pytest.raises(DataError, match=r"column 'at' is no time that can be read in 18 of 18 rows .*'3/1/2024'"):
        build_dataset(Task(name="t", time="at"), gather(table), tables=[table])


def test_rows_labelled_none_of_these_are_not_learnt():
    rows = examples(100) + [
        one(t.inputs["text"], "oos", f"n:{i}") for i, t in enumerate(examples(10, ("what",), seed=9))
    ]
    dataset = build_dataset(TASK, rows)
    check(dataset)
    assert dataset.labels == ("parcel", "refund")
    assert {e.expected for e in dataset.none} == {"oos"} and len(dataset.none) == 8
    assert Counter(e.expected for e in dataset.sealed.open("t"))["oos"] == 2
    assert all(e.expected != "oos" for e in dataset.train + dataset.validation)


# -- a given test file ------------------------------------------------------------------------------------------------


def test_a_given_test_file_is_honoured_and_its_leaks_leave_training():
    rows, test = examples(100), examples(20, seed=5)
    test += [one(rows[0].inputs["text"].upper(), "parcel", "t:1"), one(rows[1].inputs["text"] + "!", "refund", "t:2")]
    test += [test[0]]  # a duplicate inside the test stays
    dataset = build_dataset(TASK, rows, test=test)
    check(dataset)
    assert [e.inputs for e in dataset.sealed.open("t")] == [e.inputs for e in test]
    assert dataset.facts["leaks"]["exact"] == dataset.facts["leaks"]["near"] == 1
    assert dataset.facts["rows"]["set_aside"] == {LEAK_EXACT: 1, LEAK_NEAR: 1}
    shown = dataset.facts["leaks"]["examples"]
    assert [(e["train"], e["test"]) for e in shown] == [(rows[0].origin, "t:1"), (rows[1].origin, "t:2")]
    kept = build_dataset(TASK, rows, test=test, keep_leaks=True)
    assert len(kept.train) == 200 and kept.facts["leaks"]["exact"] == 1


def test_a_test_file_with_other_labels():
    with pytest.raises(
        DataError, match=r"labels that the training rows lack: 'Parcel', 'new'.*training has 'parcel', 'refund'"
    ):
        build_dataset(TASK, examples(10), test=[one("a", "new"), one("b", "Parcel"), one("c", "refund")])


def test_a_test_file_with_labels_that_curation_leaves_without_rows():
    rows = [*examples(10), one("one of a kind", "rare"), one("another of them", "rare")]
    with pytest.raises(
        DataError, match=r"'rare', of which fewer than two training rows are usable; set aside before: 1 ×"
    ):
        build_dataset(TASK, rows, test=[one("one of a kind", "rare")])


def test_a_test_file_without_usable_rows():
    with pytest.raises(DataError, match="test file have no row with a text and a label"):
        build_dataset(TASK, examples(10), test=[one("", "parcel")])


def test_a_test_file_may_have_rows_labelled_none_of_these():
    dataset = build_dataset(TASK, examples(10), test=[*examples(5, seed=3), one("what is love", "none_of_these")])
    assert dataset.sealed.count == 11


# -- rows that are set aside ------------------------------------------------------------------------------------------


def test_rows_that_cannot_be_used_are_counted():
    rows = examples(20)
    rows += [one("", "parcel"), one(" \n", "parcel"), one("text", None), one("text", "  "), one("a\ud800", "parcel")]
    dataset = build_dataset(TASK, rows, set_aside={"seen elsewhere": 7}, rows_in=52)
    check(dataset)
    assert dataset.facts["rows"]["set_aside"] == {"seen elsewhere": 7, NO_TEXT: 2, NO_LABEL: 2, SET_ASIDE_SURROGATE: 1}


def test_rows_that_got_lost_are_an_error():
    with pytest.raises(DataError, match="41 rows came in but 40 were counted"):
        build_dataset(TASK, examples(20), rows_in=41)
    table = Table.of_rows(["text", "label"], [{**e.inputs, "label": e.expected} for e in examples(20)])
    with pytest.raises(DataError, match="40 rows were read but 39 arrived"):
        build_dataset(TASK, (e for i, e in enumerate(gather(table)) if i), tables=[table])


def test_exact_duplicates():
    rows = examples(20)
    rows += [one(rows[0].inputs["text"].upper(), "parcel")] * 2  # the same label: one is kept
    rows += [one(rows[2].inputs["text"], "parcel"), one(rows[2].inputs["text"], "refund")]  # two to one for parcel
    rows += [one(rows[4].inputs["text"], "refund")]  # one to one
    dataset = build_dataset(TASK, rows)
    check(dataset)
    assert dataset.facts["rows"]["set_aside"] == {AGAIN: 3, MINORITY: 1, UNDECIDED: 2}
    kept = Counter(e.inputs["text"].casefold() for e in everything(dataset))
    assert set(kept.values()) == {1}
    assert [c["kept"] for c in dataset.facts["duplicates"]["conflicts"]] == ["parcel", None]


def test_no_sealed_text_is_on_the_card():
    rows = examples(100)
    rows += [one(e.inputs["text"] + "!", e.expected) for e in rows]
    rows += [one(e.inputs["text"], "refund" if e.expected == "parcel" else "parcel") for e in rows[:40]]
    rows += rows[:40]
    dataset = build_dataset(TASK, rows, out_of_fold=lambda t, y, g: np.full((len(t), 2), 0.5))
    assert dataset.facts["duplicates"]["conflicts"] and dataset.facts["duplicates"]["pairs"]
    card = card_markdown(dataset) + card_html(dataset) + json.dumps(dataset.facts)
    assert not [e for e in dataset.sealed.open("t") if e.inputs["text"] in card]


def test_a_label_with_one_row():
    dataset = build_dataset(TASK, [*examples(20), one("something else entirely", "rare", "a.csv:99")])
    check(dataset)
    assert dataset.facts["rows"]["set_aside"] == {SINGLE: 1}
    assert dataset.facts["rows"]["set_aside_first"] == {SINGLE: ["a.csv:99"]}
    assert "'rare'" in dataset.facts["warnings"][0]


def test_labels_are_trimmed_and_nothing_else():
    rows = [
        *examples(10),
        one("my own way", " parcel\n"),
        one("my other way", "Parcel"),
        one("some other text", "Parcel"),
    ]
    assert build_dataset(TASK, rows).labels == ("Parcel", "parcel", "refund")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no row with a text and a label .*there are none"),
        ([one("", "a"), one("b", None)], "no row with a text and a label .*1 with 'no text', 1 with 'no label'"),
        (examples(10, ("only",)), "all usable rows have the same label 'only'.*--target COL"),
        (
            [one(f"{i} text", f"l{i}") for i in range(9)],
            "no label has two usable rows or more.*9 labels have one.*--target COL",
        ),
        (
            [*examples(5, ("a",)), one("x y z", "b")],
            "only the label 'a' has two usable rows or more.*one each: 'b'",
        ),
        (
            [*[one("same", "a")] * 5, *[one("other", "b")] * 5],
            "no label has two usable rows.*set aside before: 8 × the same text and label again",
        ),
    ],
)
def test_too_little_to_learn(rows, message):
    with pytest.raises(DataError, match=message):
        build_dataset(TASK, rows)


@given(
    st.lists(
        st.tuples(st.sampled_from(["", " ", "a", "A", "b", "ab c", "text one", "text one!", "\ud800", "長い文"]),
                  st.sampled_from([None, "", "x", "y", "z", "oos"])),
        max_size=40,
    ),
    st.booleans(),
    st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_rows_in_is_always_rows_used_and_set_aside(pairs, given_test, seed):
    rows = [one(text, label, f"r:{i}") for i, (text, label) in enumerate(pairs)]
    test = [one("a test text", "x", "t:1"), one("a", "x", "t:2"), one("", "x", "t:3")] if given_test else None
    try:
        dataset = build_dataset(TASK, rows, test=test, seed=seed)
    except DataError:
        return
    assert dataset.facts["rows"]["in"] == len(rows) + (3 if given_test else 0)
    rows_facts = dataset.facts["rows"]
    assert rows_facts["in"] == rows_facts["used"] + sum(rows_facts["set_aside"].values())
    assert rows_facts["used"] == len(everything(dataset))
    if not given_test:
        check(dataset)


# -- what is found ----------------------------------------------------------------------------------------------------


def test_wrong_labels_are_found_out_of_fold():
    rows = examples(60)
    wrong = [
        one(rows[i].inputs["text"], "refund" if rows[i].expected == "parcel" else "parcel", f"w:{i}") for i in (3, 8)
    ]
    rows[3], rows[8] = wrong
    seen = {}

    def out_of_fold(texts, labels, groups):
        seen.update(texts=texts, labels=labels, groups=groups)
        says_refund = np.array(["refund" in t for t in texts])
        return np.where(says_refund[:, None], [[0.1, 0.9]], [[0.9, 0.1]])

    dataset = build_dataset(TASK, rows, out_of_fold=out_of_fold, seed=1)
    found = {e["origin"] for e in dataset.facts["label_errors"]}
    learnt = {e.origin for e in dataset.train + dataset.validation}
    assert found == {"w:3", "w:8"} & learnt and found
    assert len(seen["texts"]) == len(seen["labels"]) == len(seen["groups"]) == len(dataset.train)
    sealed = {e.inputs["text"] for e in dataset.sealed.open("t")}
    assert not sealed & set(seen["texts"])
    assert dataset.facts["label_error_search"]["searched"] == len(dataset.train)


def test_personal_data_is_counted_and_masked_if_asked():
    rows = [
        *examples(10),
        one("write to jane@example.com or joe@example.com", "parcel"),
        one("card 4111111111111111", "refund"),
    ]
    plain, masked = build_dataset(TASK, rows), build_dataset(TASK, rows, mask=True)
    for dataset in (plain, masked):
        assert dataset.facts["personal_data"] == {"email": 2, "credit_card": 1}
        assert dataset.facts["personal_data_rows"]["with_any"] == 2
    texts = {e.inputs["text"] for e in everything(masked)}
    assert "write to <email> or <email>" in texts and not any("@" in t for t in texts)
    assert "write to jane@example.com or joe@example.com" in {e.inputs["text"] for e in everything(plain)}


def test_the_places_of_a_document_are_no_personal_data():
    layout = "[[90, 1200, 4111, 1111, 0], [4111111111111111, 0, 4111111111111112, 9, 0]]"
    rows = [*examples(10)]
    rows += [Example({"text": "mail\njane@example.com", "layout": layout}, "parcel", "rows.csv:99")]
    dataset = build_dataset(TASK, rows, mask=True)
    assert dataset.facts["personal_data"] == {"email": 1}
    [masked] = [e.inputs for e in everything(dataset) if "layout" in e.inputs]
    assert masked == {"text": "mail\n<email>", "layout": layout}


def test_masking_comes_before_looking_for_duplicates():
    rows = [*examples(10), one("mail a@example.com", "parcel"), one("mail b@example.com", "parcel")]
    assert build_dataset(TASK, rows, mask=True).facts["rows"]["set_aside"] == {AGAIN: 1}


def test_several_input_columns():
    task = Task(name="t", inputs=("subject", "body"))
    draw = np.random.default_rng(0)
    rows = [Example({"subject": "", "body": sentence(draw, x)}, x, "o") for x in ("a", "b") * 10]
    rows.append(Example({"subject": "", "body": ""}, "a", "o"))
    dataset = build_dataset(task, rows)
    assert dataset.facts["rows"]["set_aside"] == {NO_TEXT: 1}


# -- from file to card ------------------------------------------------------------------------------------------------


def gather(table: Table, text: str = "text", label: str = "label"):
    return (Example({text: row[text]}, row[label] or None, origin) for origin, row in table.rows())


def test_broken_rows_of_a_file_are_counted(tmp_path):
    path = tmp_path / "a.csv"
    lines = [
        "text,label",
        *[f"{e.inputs['text']},{e.expected}" for e in examples(20)],
        "one cell",
        ",parcel",
        "nothing,",
    ]
    path.write_text("\n".join(lines))
    table = read_rows(path)
    dataset = build_dataset(TASK, gather(table), tables=[table])
    check(dataset)
    assert dataset.facts["rows"]["set_aside"] == {"1 cells where the header has 2": 1, NO_TEXT: 1, NO_LABEL: 1}
    assert dataset.facts["rows"]["set_aside_first"][NO_TEXT] == ["a.csv:43"]
    assert dataset.facts["files"][0]["sha256"] and dataset.facts["files"][0]["separator"] == ","


def test_written_and_read_back_it_is_the_same(tmp_path):
    odd = "a\u2028b\r\nc\x85\"d\" <script>alert('x')</script> | *"
    dataset = build_dataset(TASK, [*examples(30), one(odd, "parcel", "<b>:1")])
    write_dataset(dataset, tmp_path)
    again = read_dataset(tmp_path)
    assert (again.train, again.none, again.facts, again.digest) == (
        dataset.train,
        dataset.none,
        dataset.facts,
        dataset.digest,
    )
    assert again.sealed.open("test") == dataset.sealed.open("test")


def test_the_card_shows_what_was_found_and_nothing_runs_in_it():
    rows = [
        *examples(30),
        *[one("<script>alert(1)</script> | x | `y`", label, "x:1") for label in ("parcel", "<img>", "<img>")],
    ]
    rows += [one(f"mail {i} to jane@example.com", "parcel") for i in range(3)]
    rows += [one(sentence(np.random.default_rng(5), "z"), "<img>")]
    dataset = build_dataset(TASK, rows, out_of_fold=lambda t, y, g: np.full((len(t), 3), 1 / 3))
    markdown, html = card_markdown(dataset), card_html(dataset)
    for card in (markdown, html):
        for piece in ("rows in", "Duplicates", "Personal data", "Languages", "Labels", "Split", dataset.digest):
            assert piece in card
    assert "<script" not in html and "<img>" not in html and "&lt;script&gt;" in html
    assert "http" not in html.replace("http-equiv", "")
    assert "<svg" in html and html.count("<rect") == 3
    assert "<script" not in markdown.replace("\\<", "")


@pytest.mark.skipif(not DATA.exists(), reason="the public data sets are not here")
def test_banking77():
    train, test = read_rows(DATA / "banking77" / "train.csv"), read_rows(DATA / "banking77" / "test.csv")
    columns = guess_columns(train.columns, train.sample())
    task = Task(name="banking77", inputs=columns.inputs, target=columns.target)
    dataset = build_dataset(
        task,
        gather(train, "text", "category"),
        test=gather(test, "text", "category"),
        tables=[train, test],
        columns=columns,
    )
    assert len(dataset.labels) == 77 and dataset.sealed.count == 3080
    assert dataset.facts["rows"]["in"] == 13_083
    assert dataset.facts["leaks"]["exact"] == 7 and 90 <= dataset.facts["leaks"]["near"] <= 110
    assert dataset.facts["split"]["counts"]["validation"] in range(985, 995)
    assert dataset.facts["languages"]["en"] > 12_500
    assert dataset.facts["personal_data"] == {}


def story(number: int) -> str:
    """Words that no other number has."""
    draw = random.Random(number)
    return " ".join("".join(draw.choices("abcdefghij", k=7)) for _ in range(8))


def test_answers_that_are_texts_are_masked_with_their_requests():
    names = ("kim", "lee", "sato", "mori", "abe")
    rows = [
        Example({"text": f"{story(i)} {n}@example.com"}, f"We wrote to {n}@example.com: {story(i)}", f"r:{i}")
        for i, n in enumerate(names * 16)
    ]
    task = replace(TASK, kind="generate_text", metric="exact_match")
    plain, masked = (build_dataset(task, rows, labels=False, mask=mask) for mask in (False, True))
    assert all("@" in (e.expected or "") for e in everything(plain))
    for example in everything(masked):
        assert "@" not in (example.expected or "") and "<email>" in (example.expected or "")
        assert "<email>" in example.inputs["text"]
    assert masked.facts["personal_data"]["email"] == 2 * len(rows)


def test_where_answers_are_no_labels_they_are_called_answers():
    task = replace(TASK, kind="generate_text", metric="exact_match")
    wanted = "no row with a text and an answer .*1 with 'no text', 1 with 'no answer'"
    with pytest.raises(DataError, match=wanted):
        build_dataset(task, [one("", "a"), one("b", None)], labels=False)
    rows = [one(story(i), f"answer {i}", f"r:{i}") for i in range(60)]
    rows += [one(story(0), "answer 0"), one(story(1), "another"), one("what nobody answered", None)]
    dataset = build_dataset(task, rows, labels=False)
    assert dataset.facts["rows"]["set_aside"] == {ANSWERED_AGAIN: 1, ANSWERED_OTHERWISE: 1, NO_ANSWER: 1}
    card = card_markdown(dataset)
    assert "same text, different answers" in card and "no label" not in card and "different labels" not in card


def test_fields_are_masked_value_by_value_and_labels_are_not():
    answer = (
        '{"mail": "kim@example.com", "total": "9.00", "lines": [{"to": "kim@example.com"}], "kim@example.com": null}'
    )
    rows = [Example({"text": f"kim@example.com pays {story(i)}"}, answer, f"r:{i}") for i in range(60)]
    task = replace(TASK, kind="extract_fields", metric="field_f1")
    told = json.loads(everything(build_dataset(task, rows, labels=False, mask=True))[0].expected or "")
    assert (told["mail"], told["total"], told["lines"]) == ("<email>", "9.00", [{"to": "<email>"}])
    assert "kim@example.com" in told  # the name of a field is the owner's word
    labels = [Example({"text": f"{story(i)} a@b.com"}, ("x@y.com", "z@y.com")[i % 2], f"r:{i}") for i in range(80)]
    assert set(build_dataset(TASK, labels, mask=True).labels) == {"x@y.com", "z@y.com"}
