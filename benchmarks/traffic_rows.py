"""The rows that traffic is made of: public data sets as items, each in one of two parts that share no text."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchmarks.rows import data_file

HISTORY_SHARE = 0.77
"""Of the rows; about the share of the days."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row: where it comes from (`banking77/17`), the text that is asked about, the right answer, and other fields."""

    row: str
    text: str
    gold: Any
    more: Mapping[str, Any] = field(default_factory=dict)


def banking77() -> list[Item]:
    """Customers' questions to a bank, 77 intents."""
    return _labelled("banking77", ("train.csv", "test.csv"), "text", "category")


def hwu64() -> list[Item]:
    """Requests to a home assistant, 64 intents."""
    return _labelled("hwu64", ("train.csv", "test.csv"), "text", "intent")


def sms_spam() -> list[Item]:
    """Text messages, ham or spam."""
    return _labelled("sms_spam", ("sms.csv",), "text", "label")


def sentiment_sentences() -> list[Item]:
    """English sentences from reviews."""
    names = {"0": "negative", "1": "positive"}
    return _labelled("sentiment_sentences", ("sentences.csv",), "text", "label", names)


def jrte_ja() -> list[Item]:
    """Japanese sentences from reviews of hotels."""
    names = {"1": "ポジティブ", "0": "中立", "-1": "ネガティブ"}
    return _labelled("jrte_ja", ("pn.csv",), "text", "label", names)


def universalrag_routing() -> list[Item]:
    """Questions and the source that should answer them."""
    return _labelled("universalrag_routing", ("train.csv", "test.csv"), "question", "route")


def sib200() -> list[Item]:
    """English sentences with a topic."""
    files = tuple(f"eng_Latn_{part}.csv" for part in ("train", "dev", "test"))
    return _labelled("sib200_ja_en", files, "text", "category")


def medical_documents() -> list[Item]:
    """Every second medical abstract with its class of condition."""
    return _labelled("medical_abstracts", ("abstracts.csv",), "text", "label")[::2]


def medical_passages() -> list[Item]:
    """The other medical abstracts: a title, and as gold a sentence that tells what was found."""
    items = []
    for item in _labelled("medical_abstracts", ("abstracts.csv",), "text", "label")[1::2]:
        title, *sentences = re.split(r"(?<=[a-z0-9)][.?!]) +(?=[A-Z])", item.text.strip())
        found = [s for s in sentences if 60 <= len(s) <= 350]
        if found and len(title) < 200:
            items.append(Item(item.row, title.rstrip(". "), found[-1].strip(), {"passage": item.text.strip()[:1200]}))
    return items


def sroie_receipts() -> list[Item]:
    """The lines of receipts and their four fields; on some the line with the date or the total is torn off."""
    items = []
    with data_file("sroie_receipts", "receipts.jsonl").open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            receipt = json.loads(line)
            lines = [one["text"] for one in receipt["lines"]]
            fields = {key: receipt["fields"].get(key) or None for key in ("company", "date", "address", "total")}
            torn = ("date", "total")[number % 2] if number % 9 == 0 else None
            if torn is not None and fields[torn]:
                kept = [one for one in lines if fields[torn] not in one]
                lines, fields = kept, {**fields, torn: None}
            items.append(Item(f"sroie_receipts/{number}", "\n".join(lines), fields))
    return items


def spider_dev() -> list[Item]:
    """Questions on twenty databases, each with its query and the schema."""
    schemas: dict[str, str] = {}
    items = []
    with data_file("spider_dev", "dev.jsonl").open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            row = json.loads(line)
            name = row["db_id"]
            if name not in schemas:
                schemas[name] = data_file("spider_dev", "schema", f"{name}.sql").read_text(encoding="utf-8").strip()
            more = {"database": name, "schema": schemas[name]}
            items.append(Item(f"spider_dev/{number}", row["question"], " ".join(row["query"].split()), more))
    return items


def ames_housing() -> list[Item]:
    """Houses, described in words, and what they sold for."""
    items = []
    for number, row in enumerate(_rows("ames_housing", "ames.csv")):
        words = {key: value.replace("_", " ") for key, value in row.items()}
        text = (
            f"{words['Neighborhood']}, {words['House_Style'].lower()} house, built {row['Year_Built']}, remodelled "
            f"{row['Year_Remod_Add']}; condition {words['Overall_Cond'].lower()}; {row['Gr_Liv_Area']} sq ft living area on "
            f"a lot of {row['Lot_Area']} sq ft; basement {row['Total_Bsmt_SF']} sq ft; {row['Bedroom_AbvGr']} bedrooms, "
            f"{row['Full_Bath']} full baths; {row['Fireplaces']} fireplaces; garage for {row['Garage_Cars'][:1]} cars "
            f"({words['Garage_Type'].lower()}); exterior {words['Exter_Cond'].lower()}; sold {row['Mo_Sold']}/{row['Year_Sold']}"
        )
        items.append(Item(f"ames_housing/{number}", text, int(row["Sale_Price"])))
    return items


def routellm_eval() -> list[Item]:
    """Questions of MMLU and GSM8K, as people would type them; there is no right answer to go by.

    The domain `moral_scenarios` is left out: its 895 questions are one prompt with two slots, and so no free talk.
    """
    items = []
    for number, row in enumerate(_rows("routellm_eval", "outcomes.csv")):
        if row["domain"] == "moral_scenarios":
            continue
        text = row["prompt"].removesuffix("\nAnswer:").strip()
        question, *options = re.split(r"\n[A-D]\. ", text)
        items.append(Item(f"routellm_eval/{number}", text, None, {"question": question, "options": options}))
    return items


def parts(items: Sequence[Item], seed: int) -> tuple[list[Item], list[Item]]:
    """The items for history and those for later, shuffled; no text is in both."""
    once = list({re.sub(r"\W+", " ", item.text).casefold(): item for item in items}.values())
    random.Random(seed).shuffle(once)
    cut = round(HISTORY_SHARE * len(once))
    return once[:cut], once[cut:]


def endless(items: Sequence[Item], edit: Callable[[Item, random.Random], Item], rng: random.Random) -> Iterator[Item]:
    """The items in their order; then, as often as is asked, again with small edits."""
    yield from items
    while True:
        for item in items:
            yield edit(item, rng)


def _labelled(
    name: str, files: Sequence[str], text: str, label: str, names: Mapping[str, str] | None = None
) -> list[Item]:
    rows = [row for file in files for row in _rows(name, file)]
    return [
        Item(f"{name}/{number}", row[text].strip(), row[label] if names is None else names[row[label]])
        for number, row in enumerate(rows)
    ]


@cache
def _rows(*place: str) -> list[dict[str, str]]:
    with data_file(*place).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
