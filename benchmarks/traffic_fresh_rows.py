"""The rows of the held-out traffic that the mix does not use: other columns, other languages, other data sets."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing

from benchmarks import traffic_rows as rows
from benchmarks.rows import data_file
from benchmarks.traffic_rows import Item

GERMAN = {
    "no": "keine",
    "paragraph": "Absatz",
    "document": "Dokument",
    "image": "Bild",
    "clip": "Ausschnitt",
    "video": "Video",
}
JAPANESE = {
    "science/technology": "科学・技術",
    "travel": "旅行",
    "politics": "政治",
    "sports": "スポーツ",
    "health": "健康",
    "entertainment": "娯楽",
    "geography": "地理",
}


def hwu_scenarios() -> list[Item]:
    """Requests to a home assistant, 18 scenarios."""
    return _read("hwu64", ("train.csv", "test.csv"), "scenario")


def sib200_ja() -> list[Item]:
    """Japanese sentences with a topic, named in Japanese."""
    return _read("sib200_ja_en", [f"jpn_Jpan_{part}.csv" for part in ("train", "dev", "test")], "category", JAPANESE)


def about_hotels_ja() -> list[Item]:
    """Japanese sentences from reviews: whether they say something about the hotel."""
    return _read("jrte_ja", ("rhr.csv",), "label", {"1": "はい", "0": "いいえ"})


def spam_digits() -> list[Item]:
    """Text messages: 1 for spam, 0 for the others."""
    return [_as(item, {"spam": "1", "ham": "0"}) for item in rows.sms_spam()]


def german_routes() -> list[Item]:
    """English questions and, in German, the source that should answer them."""
    return [_as(item, GERMAN) for item in rows.universalrag_routing()]


def heart_or_not() -> list[Item]:
    """Every second medical abstract: whether it is about the heart and the vessels."""
    items = _read("medical_abstracts", ("abstracts.csv",), "label")[1::2]
    return [Item(i.row, i.text, "yes" if "cardiovascular" in i.gold.lower() else "no") for i in items]


def tone() -> list[Item]:
    """English sentences from reviews, favourable or not."""
    return [_as(i, {"positive": "favourable", "negative": "unfavourable"}) for i in rows.sentiment_sentences()]


def totals() -> list[Item]:
    """Receipts, of which only the total and the date are asked for."""
    return [
        Item(one.row, one.text, {"total": one.gold["total"], "date": one.gold["date"]}) for one in rows.sroie_receipts()
    ]


def geoquery() -> list[Item]:
    """Questions on the geography of the United States with their queries."""
    place = data_file("geoquery", "geography.sqlite")
    with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as base:
        made = base.execute("SELECT sql FROM sqlite_master WHERE type = 'table'").fetchall()
    schema = "\n".join(" ".join(str(sql).split()) + ";" for (sql,) in made)
    with data_file("geoquery", "geography.jsonl").open(encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    return [
        Item(f"geoquery/{number}", row["question"], row["sql"].removesuffix(" ;"), {"schema": schema})
        for number, row in enumerate(found)
    ]


def concrete() -> list[Item]:
    """Mixes of concrete, in lines, and their strength in MPa."""
    with data_file("concrete_strength", "concrete.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    items = []
    for number, row in enumerate(found):
        strength = float(row.pop("compressive_strength"))
        age = row.pop("age")
        lines = [f"{name.replace('_', ' ')}: {amount} kg/m3" for name, amount in row.items()]
        items.append(Item(f"concrete_strength/{number}", "\n".join([*lines, f"age: {age} days"]), strength))
    return items


def _read(name: str, files: Sequence[str], column: str, names: Mapping[str, str] | None = None) -> list[Item]:
    found = []
    for one in files:
        with data_file(name, one).open(encoding="utf-8", newline="") as file:
            found += list(csv.DictReader(file))
    return [
        Item(f"{name}/{n}", row["text"].strip(), row[column] if names is None else names[row[column]])
        for n, row in enumerate(found)
    ]


def _as(item: Item, names: Mapping[str, str]) -> Item:
    return Item(item.row, item.text, names[item.gold], item.more)
