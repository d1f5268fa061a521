"""Guessing the columns: right on real headers, and a question instead of a toss-up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shokunin.curate.columns import guess_columns
from shokunin.curate.read import read_rows
from shokunin.errors import DataError

DATA = Path(os.environ.get("SHOKUNIN_DATA", Path(__file__).parents[3] / "shared" / "data"))


def rows(**columns: list[str]) -> list[dict[str, str]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def guess(table: list[dict[str, str]], **given):
    return guess_columns(tuple(table[0]), table, **given)


WORDS = [f"a sentence about subject number {i} and more" for i in range(40)]
AB = ["a", "b"] * 20
XY = ["x", "x", "y", "y"] * 10
IDS = [str(i) for i in range(40)]


@pytest.mark.parametrize(
    ("table", "text", "label"),
    [
        (rows(text=WORDS, label=AB), "text", "label"),
        (rows(label=AB, Message=WORDS), "Message", "label"),
        (rows(本文=WORDS, 分類=AB), "本文", "分類"),
        (rows(お問い合わせ内容=WORDS, カテゴリー=AB, 番号=IDS), "お問い合わせ内容", "カテゴリー"),
        (rows(id=IDS, text=WORDS, scenario=XY, intent=AB, annotated_text=WORDS), "text", "intent"),
        (rows(label_code=["1", "2"] * 20, label=AB, text=WORDS), "text", "label"),
        (rows(category=["1", "2"] * 20, label=AB, text=WORDS), "text", "label"),
        (rows(foo=WORDS, bar=AB), "foo", "bar"),
        (rows(customer_message=WORDS, ticket_type=AB), "customer_message", "ticket_type"),
        (rows(title=[w[:12] for w in WORDS], notes=WORDS, sentiment=AB), "notes", "sentiment"),
        (rows(text=WORDS, label=["same"] * 40), "text", "label"),
    ],
)
def test_guesses(table, text, label):
    columns = guess(table)
    assert (columns.inputs, columns.target) == ((text,), label)
    assert len(columns.why) == 2 and all(repr(name) in " ".join(columns.why) for name in (text, label))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            rows(text=WORDS, label=AB, category=XY),
            r"could be the label: 'label', 'category'.*--target COL",
        ),
        (rows(text=WORDS, foo=AB, bar=XY), r"more than one column could be the label: 'foo', 'bar'"),
        (rows(text=WORDS), r"no column looks like a label; the columns are 'text'.*--target COL"),
        (rows(text=WORDS, id=IDS), r"no column looks like a label"),
        (rows(label=AB, id=IDS), r"no column looks like text.*--input COL"),
        (
            rows(label=AB, one=WORDS, two=WORDS[::-1]),
            r"could be the text: 'one', 'two'.*--input COL",
        ),
    ],
)
def test_a_toss_up_is_a_question(table, message):
    with pytest.raises(DataError, match=message):
        guess(table)


def test_given_columns_are_taken():
    table = rows(subject_line=WORDS, body=WORDS, label=AB, other=XY)
    columns = guess(table, inputs=["subject_line", "body"], target="other")
    assert (columns.inputs, columns.target) == (("subject_line", "body"), "other")
    with pytest.raises(DataError, match=r"no column 'lable' \(--target\).*did you mean 'label'"):
        guess(table, target="lable")
    with pytest.raises(DataError, match=r"no column 'boddy' \(--input\).*did you mean 'body'"):
        guess(table, inputs=["boddy"])
    with pytest.raises(DataError, match="cannot be both"):
        guess(table, inputs=["label"], target="label")


def test_a_column_of_customers_is_a_group():
    customers = [f"c{i // 2}" for i in range(40)]
    columns = guess(rows(text=WORDS, label=AB, customer_id=customers))
    assert columns.group == "customer_id"
    assert guess(rows(text=WORDS, label=AB, customer_id=IDS)).group is None


@pytest.mark.skipif(not DATA.exists(), reason="the public data sets are not here")
@pytest.mark.parametrize(
    ("file", "text", "label"),
    [
        ("banking77/train.csv", "text", "category"),
        ("hwu64/train.csv", "text", "intent"),
        ("sms_spam/sms.csv", "text", "label"),
        ("sib200_ja_en/jpn_Jpan_train.csv", "text", "category"),
        ("jrte_ja/pn.csv", "text", "label"),
        ("jrte_ja/rhr.csv", "text", "label"),
        ("medical_abstracts/abstracts.csv", "text", "label"),
        ("sentiment_sentences/sentences.csv", "text", "label"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_public_data_sets(file, text, label, first):
    table = read_rows(DATA / file)
    sample = [row for _, (_, row) in zip(range(2000), table.rows(), strict=False)] if first else table.sample()
    columns = guess_columns(table.columns, sample)
    assert (columns.inputs, columns.target) == ((text,), label)
