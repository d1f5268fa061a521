"""An example business: the inquiries of an invented kitchenware shop, made by a seeded generator; no row is real.

What makes it worth a ladder: many wordings occur once, so that words alone do not settle every row; asides name another
department's matter; some messages belong to two departments; a few labels are wrong, rows are doubled, words mistyped;
about one row in nine is German, French, Spanish or Japanese; some belong to no department. The sentences are in
`phrases.toml`.
"""

from __future__ import annotations

import csv
import io
import random
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from shokunin.errors import UsageError
from shokunin.files import write_text

COLUMNS = ("date", "customer", "message", "department")
NOTICE = "synthetic: the inquiries of an invented kitchenware shop, made by a seeded generator; no row is real"
NONE_LABEL = "none_of_these"
LANGUAGES = ("de", "fr", "es", "ja")
SMALLEST = 200
FIRST_DAY = date(2025, 1, 2)
DAYS = 365

COMMON, FOREIGN, AMBIGUOUS = 0.72, 0.1, 0.015  # shares of rows; the rest are wordings that occur about once
WRONG_LABELS, EXACT_TWINS, NEAR_TWINS = 0.02, 0.008, 0.02
BEFORE = {"openers": 0.2, "moods": 0.03, "asides": 0.02}
AFTER = {"asides": 0.03, "closers": 0.15, "contacts": 0.05}
CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{(\w+)\}")
LOOSE = re.compile(r" ([.,;])")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def generate(seed: int = 7, rows: int = 1500) -> list[dict[str, str]]:
    """Synthetic rows of the invented shop, oldest first, with `COLUMNS`; the same seed and size give the same rows.

    Raises:
        UsageError: fewer than 200 rows, which would leave some departments nearly empty.
    """
    if rows < SMALLEST:
        raise UsageError(f"the example business needs at least {SMALLEST} rows, not {rows!r}")
    rng = random.Random(seed)
    exact, near = round(rows * EXACT_TWINS), round(rows * NEAR_TWINS)
    drawn = _messages(rng, rows - exact - near)
    drawn += [rng.choice(drawn) for _ in range(exact)]
    drawn += [(_retouch(rng, text), label) for text, label in rng.sample(drawn, near)]
    labels = [label for label in phrases()["departments"] if label != NONE_LABEL]
    for i in rng.sample(range(len(drawn)), round(rows * WRONG_LABELS)):
        text, label = drawn[i]
        drawn[i] = text, rng.choice([other for other in labels if other != label])
    rng.shuffle(drawn)
    days = sorted(rng.randrange(DAYS) for _ in drawn)
    return [
        {
            "date": (FIRST_DAY + timedelta(days=day)).isoformat(),
            "customer": f"C-{rng.randrange(1000, 1000 + rows):05d}",
            "message": text,
            "department": label,
        }
        for day, (text, label) in zip(days, drawn, strict=True)
    ]


def write_csv(path: Path, seed: int = 7, rows: int = 1500) -> Path:
    """Write `generate(seed, rows)` to `path` as CSV (UTF-8, header, `\\n`) at once, and return `path`.

    Raises:
        UsageError: as `generate`.
        ProjectError: the file cannot be written.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(generate(seed, rows))
    write_text(path, text.getvalue())
    return path


@cache
def phrases() -> dict[str, Any]:
    """The shop's wordings, as `phrases.toml` has them."""
    return tomllib.loads(files(__package__).joinpath("phrases.toml").read_text(encoding="utf-8"))


def _messages(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """Messages with their departments, wrong labels and twins not yet among them."""
    departments: dict[str, Any] = phrases()["departments"]
    names = list(departments)
    weights = [departments[name]["weight"] for name in names]
    frame = _cycle(rng, phrases()["frames"]["matter"])
    once = {name: _cycle(rng, [*departments[name]["rare"], *departments[name]["matters"]]) for name in names}
    made = []
    for _ in range(count):
        if rng.random() < AMBIGUOUS:
            either = rng.choice(phrases()["ambiguous"])
            made.append((_dress(rng, _fill(rng, rng.choice(either["texts"]))), rng.choice(either["between"])))
            continue
        name = rng.choices(names, weights)[0]
        where = rng.random()
        if where < FOREIGN:
            language = rng.choice(LANGUAGES)
            made.append((_dress_foreign(rng, language, rng.choice(departments[name][language])), name))
        elif where < FOREIGN + COMMON:
            made.append((_dress(rng, _fill(rng, rng.choice(departments[name]["common"]))), name))
        else:
            text = once[name]()
            if text in departments[name]["matters"]:
                text = frame().replace("{matter}", text).replace("{Matter}", text[0].upper() + text[1:])
            made.append((_dress(rng, _fill(rng, text)), name))
    return made


def _cycle(rng: random.Random, texts: Sequence[str]) -> Callable[[], str]:
    """Draw each text once, in a random order, before any comes a second time."""
    waiting: list[str] = []

    def draw() -> str:
        if not waiting:
            waiting.extend(rng.sample(texts, len(texts)))
        return waiting.pop()

    return draw


def _fill(rng: random.Random, template: str) -> str:
    """One of each `[a|b]`, a value for each `{slot}`."""
    slots: Mapping[str, Sequence[str]] = phrases()["slots"]

    def value(match: re.Match[str]) -> str:
        slot = match[1]
        return rng.choice(slots[slot]) if slot in slots else _made(rng, slot)

    while CHOICE.search(template):
        template = CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)
    return LOOSE.sub(r"\1", " ".join(SLOT.sub(value, template).split()))


def _made(rng: random.Random, slot: str) -> str:
    """A value that no list holds. Mail addresses and numbers are of ranges reserved for fiction (RFC 2606, Ofcom)."""
    match slot:
        case "order":
            return f"{rng.choice(['#', 'no. ', ''])}{rng.randrange(20000, 99999)}"
        case "amount":
            shape = rng.choice(["{}.{:02d} EUR", "€{}.{:02d}", "£{}.{:02d}"])
            return shape.format(rng.randrange(9, 180), rng.randrange(100))
        case "number":
            return str(rng.randrange(3, 19))
        case "mail":
            name = rng.choice(phrases()["slots"]["name"]).lower()
            return f"{name}.{rng.randrange(10, 99)}@example.{rng.choice(['com', 'org'])}"
        case "phone":
            return f"020 7946 0{rng.randrange(1000):03d}"
        case _:
            raise KeyError(slot)


def _dress(rng: random.Random, core: str) -> str:
    """The message around the matter, and what haste does to the typing."""
    around: Mapping[str, Sequence[str]] = phrases()["around"]

    def some(shares: Mapping[str, float]) -> list[str]:
        return [rng.choice(around[part]) for part, share in shares.items() if rng.random() < share]

    return _mistype(rng, _fill(rng, " ".join([*some(BEFORE), core, *some(AFTER)])))


def _dress_foreign(rng: random.Random, language: str, core: str) -> str:
    """A message in another language with its own greeting and closing."""
    before, after = phrases()["foreign"][language]
    parts = [rng.choice(["", rng.choice(before)]), core, rng.choice(["", rng.choice(after)])]
    return _fill(rng, ("" if language == "ja" else " ").join(parts))


def _mistype(rng: random.Random, text: str) -> str:
    """Typing habits: all lower case, no full stop, a slip of one or two letters."""
    if rng.random() < 0.15:
        text = text.lower()
    if rng.random() < 0.15:
        text = text.rstrip(".!")
    for _ in range(rng.choices([0, 1, 2], [0.96, 0.03, 0.01])[0]):
        text = _slip(rng, text)
    return text


def _slip(rng: random.Random, text: str) -> str:
    """One letter lost, doubled, swapped with the next, or mistaken; digits and contact details are left alone."""
    places = [i for i in range(1, len(text) - 2) if text[i - 1 : i + 2].isalpha() and text[i].isascii()]
    if not places or "@" in text:
        return text
    i = rng.choice(places)
    slips = (text[i + 1], text[i] * 2 + text[i + 1], text[i + 1] + text[i], rng.choice(LETTERS) + text[i + 1])
    return text[:i] + rng.choice(slips) + text[i + 2 :]


def _retouch(rng: random.Random, text: str) -> str:
    """The same message sent again with a small change."""
    twins = (f"{text} Hello?", f"Again: {text}", f"{text} Please answer.", text.lower(), _slip(rng, _slip(rng, text)))
    return rng.choice(twins)
