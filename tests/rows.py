"""Small honest rows for tests: three intents that words alone can tell apart, mostly."""

from __future__ import annotations

import random

WORDS = {
    "delivery": (
        ["where is", "when comes", "I still wait for", "track"],
        ["my parcel", "the package", "my order", "the delivery"],
    ),
    "refund": (
        ["I want back", "please return", "refund me", "give me back"],
        ["my money", "the payment", "the amount", "what I paid"],
    ),
    "invoice": (
        ["send me", "I need", "please correct", "there is a mistake on"],
        ["the invoice", "my bill", "a receipt", "the tax invoice"],
    ),
}
TAILS = [
    "",
    " please",
    " today",
    " for order {n}",
    ", thanks",
    " as soon as possible",
    " number {n}",
    "!",
    " (again)",
    " since {n} days",
]


def rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """`count` rows with the columns `text` and `label`, all texts different."""
    rng = random.Random(seed)
    made: dict[str, str] = {}
    while len(made) < count:
        label = rng.choice(sorted(WORDS))
        starts, things = WORDS[label]
        text = f"{rng.choice(starts)} {rng.choice(things)}{rng.choice(TAILS).format(n=rng.randint(1, 999))}"
        made.setdefault(f"{text} {rng.choice('abcdefghij')}{rng.randint(0, 9999)}", label)
    return [{"text": text, "label": label} for text, label in made.items()]
