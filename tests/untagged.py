"""Hand-made traffic that nobody tagged: small applications, each with its way to ask and what it is answered."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from rows import rows
from shokunin.recorded.call import Call

Asked = tuple[tuple[tuple[str, str], ...], str | None]
"""The messages of one call, and its reply."""
App = Callable[[random.Random], Asked]

LABELS = ("delivery", "refund", "invoice")
_SHOP = [(row["text"], row["label"]) for row in rows(600, seed=7)]
_GOOD = {
    "en": (["lovely", "great", "a joy", "excellent", "wonderful"], ["awful", "boring", "a mess", "terrible", "dull"]),
    "ja": (["最高", "面白い", "素晴らしい", "感動的", "楽しい"], ["退屈", "最悪", "残念", "つまらない", "ひどい"]),
}
_THINGS = {
    "en": ["the film", "this book", "the meal", "our stay", "the concert", "that phone"],
    "ja": ["映画は", "この本は", "料理は", "ホテルは", "演奏は", "電話は"],
}
_TALK = [
    *("weather", "stars", "bread", "trains", "history", "bridge", "kernel", "violin", "tax", "visa", "garden", "proof"),
    *(
        "river",
        "poem",
        "chess",
        "lava",
        "moth",
        "vector",
        "enzyme",
        "treaty",
        "harbour",
        "glacier",
        "lantern",
        "saffron",
    ),
]
_STARTS = ["why does", "tell me about", "how would", "what is", "can you compare", "write something on", "help, my"]
_ENDS = ["work?", "in winter", "for a child of nine", "please", "and its rivals", "step by step", "??"]


def system(text: str, user: str) -> tuple[tuple[str, str], ...]:
    return ("system", text), ("user", user)


def user(text: str) -> tuple[tuple[str, str], ...]:
    return (("user", text),)


def shop_text(rng: random.Random) -> tuple[str, str]:
    """An inquiry and its intent."""
    return rng.choice(_SHOP)


def opinion(rng: random.Random, language: str = "en") -> tuple[str, bool]:
    """What somebody thought of something, and whether that was good."""
    good = rng.random() < 0.5
    words = _GOOD[language][0 if good else 1]
    one, other = rng.sample(words, 2)
    joint, end = ("、とても", "。") if language == "ja" else (" was ", ".")
    return f"{rng.choice(_THINGS[language])}{one}{joint}{other} {rng.randint(1, 9999)}{end}", good


def talk(rng: random.Random) -> Asked:
    """Somebody who talks with the model."""
    a, b, c, d = rng.sample(_TALK, 4)
    asked = f"{rng.choice(_STARTS)} {a} {b} {rng.choice(_ENDS)}"
    replied = (
        f"Well, {c} and {d} {rng.choice(_TALK)} often; {a} may {rng.choice(_TALK)} or {rng.choice(_TALK)} {b}. " * 2
    )
    return user(asked), f"{rng.randint(2, 99)} thoughts. {replied}"


def calls(apps: Sequence[tuple[App, int]], seed: int = 0) -> tuple[list[Call], list[int]]:
    """So many calls of each application, shuffled, and which application each is of."""
    rng = random.Random(seed)
    made = [(app(rng), number) for number, (app, count) in enumerate(apps) for _ in range(count)]
    rng.shuffle(made)
    asked = [
        Call(id=f"r{i}", messages=messages, reply=reply, model="gpt-4o-mini", timestamp=1_700_000_000.0 + 600 * i)
        for i, ((messages, reply), _) in enumerate(made)
    ]
    return asked, [number for _, number in made]


def record(call: Call) -> dict[str, Any]:
    """A call as a line of a log."""
    request = {"model": call.model, "messages": [{"role": r, "content": t} for r, t in call.messages]}
    said = {"role": "assistant", "content": call.reply}
    return {
        "timestamp": call.timestamp,
        "request": request,
        "response": {"id": call.id, "object": "chat.completion", "model": call.model,
                     "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]},
    }  # fmt: skip


def log(asked: Sequence[Call]) -> str:
    """Calls as a log, one a line."""
    return "".join(json.dumps(record(call)) + "\n" for call in asked)
