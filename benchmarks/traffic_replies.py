"""What a large model replies: the right answer most of the time, and the noise that recorded replies have."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.traffic_rows import Item

WRONG, REFUSED, INVENTED, LONG, SPELT = 0.025, 0.003, 0.004, 0.006, 0.04
"""Shares of the replies to labelling prompts: another label, a refusal, a label that is not on the list, the right label
in a sentence, the right label in another spelling."""

REFUSALS = (
    "I'm sorry, I can't help with that.",
    "I'm sorry, but I can't assist with that request.",
    "I can't help with that.",
)
SENTENCES = (
    "The best fit is {label}, since that is what the writer is asking about.",
    'I would put this under "{label}".\n\nThe wording leaves little doubt, although one could argue for another choice.',
    "Based on the text, the answer is {label}.",
    "{label}\n\nExplanation: the text speaks of nothing else.",
)
INVENTED_WORDS = ("general", "other", "unclear", "multiple", "feedback", "unknown", "misc", "complaint", "support")

Drawn = tuple[str, str]
"""A reply and what is noisy about it: "" or `wrong`, `refused`, `invented`, `long`, `spelt`."""


def label_reply(gold: str, labels: Sequence[str], form: str, rng: random.Random) -> Drawn:
    """The reply of a labelling prompt.

    Args:
        gold: the right label.
        labels: all of them.
        form: the usual shape with `{label}` in it, for instance `Category: {label}` or `{"intent": "{label}"}`.
        rng: what decides.
    """
    luck = rng.random()
    if luck < WRONG:
        return form.replace("{label}", _near(gold, labels, rng)), "wrong"
    luck -= WRONG
    if luck < REFUSED:
        return rng.choice(REFUSALS), "refused"
    luck -= REFUSED
    if luck < INVENTED:
        words = [*re.split(r"[_ ]", rng.choice(labels))[:1], rng.choice(INVENTED_WORDS), rng.choice(INVENTED_WORDS)]
        return form.replace("{label}", "_".join(dict.fromkeys(words))), "invented"
    luck -= INVENTED
    if luck < LONG and not form.startswith("{"):
        return rng.choice(SENTENCES).replace("{label}", gold), "long"
    luck -= LONG
    if luck < SPELT:
        return _spelt(gold, form, rng), "spelt"
    return form.replace("{label}", gold), ""


def json_reply(gold: Mapping[str, Any], others: Sequence[Item], indent: int | None, rng: random.Random) -> Drawn:
    """The reply of an extraction prompt: now and then in a code fence, now and then with a field of another receipt."""
    fields, noise, luck = dict(gold), "", rng.random()
    if luck < 0.003:
        return rng.choice(REFUSALS), "refused"
    if luck < 0.028:
        name = rng.choice(sorted(fields))
        fields[name], noise = rng.choice(others).gold[name], "wrong"
    text = json.dumps(fields, ensure_ascii=False, indent=indent)
    if rng.random() < 0.12:
        return f"```json\n{text}\n```", noise or "spelt"
    return text, noise


def sql_reply(gold: str, others: Sequence[Item], fenced: bool, rng: random.Random) -> Drawn:
    """The reply of a text-to-SQL prompt; some with a word or two around."""
    luck, noise = rng.random(), ""
    if luck < 0.003:
        return rng.choice(REFUSALS), "refused"
    if luck < 0.028:
        gold, noise = rng.choice(others).gold, "wrong"
    if luck > 0.9:
        gold += ";"
    if fenced or luck > 0.97:
        gold = f"```sql\n{gold}\n```"
    if 0.87 < luck < 0.9:
        gold, noise = f"Here is the query:\n\n{gold}", noise or "long"
    return gold, noise


def number_reply(gold: int, rng: random.Random) -> Drawn:
    """An estimate within some percent of the truth, rounded, in one of several spellings."""
    luck = rng.random()
    if luck < 0.003:
        return rng.choice(REFUSALS), "refused"
    value = max(10_000, round(gold * rng.lognormvariate(0, 0.05) / 500) * 500)
    if luck < 0.06:
        return rng.choice((f"${value:,}", f"{value:,}", f"{value} USD", f"Estimated price: ${value:,}")), "spelt"
    return str(value), ""


def answer_reply(gold: str, rng: random.Random) -> Drawn:
    """A sentence of the passage, as it is or with a word before it."""
    luck = rng.random()
    if luck < 0.02:
        return "The passages do not say.", "wrong"
    if luck < 0.3:
        return f"{rng.choice(('According to the passages: ', 'The study reports: ', 'In short: '))}{gold}", ""
    return gold, ""


def prose(question: str, rng: random.Random) -> str:
    """A few sentences that talk about the words of a question; what a chat reply looks like from afar."""
    words = [w for w in dict.fromkeys(re.findall(r"[A-Za-z]{4,}|\d+", question)) if w.lower() not in _COMMON] or [
        "this"
    ]
    said = []
    for _ in range(rng.choice((2, 3, 3, 4, 4, 5, 6, 8))):
        a, b, c = (rng.choice(words) for _ in range(3))
        start, middle, end = rng.choice(_STARTS), rng.choice(_MIDDLES), rng.choice(_ENDS)
        said.append(f"{start} {middle} {end}.".format(a=a, b=b, c=c, n=rng.randint(2, 400)))
    opening = rng.choice(_OPENINGS).format(a=rng.choice(words), b=rng.choice(words))
    text = " ".join(filter(None, (opening, *said)))
    if rng.random() < 0.25:
        steps = rng.sample(said, len(said))
        text = opening + "\n\n" + "\n".join(f"{n}. {one}" for n, one in enumerate(steps, 1))
    if rng.random() < 0.3:
        text += "\n\n" + rng.choice(_CLOSINGS).format(a=rng.choice(words))
    return text.strip()


_COMMON = frozenset(
    (
        "about", "after", "also", "answer", "because", "before", "could", "does", "each", "following", "from", "have", "into",
        "many", "more", "most", "much", "only", "other", "should", "some", "than", "that", "their", "them", "then", "there",
        "they", "this", "were", "what", "when", "where", "which", "will", "with", "would",
    )
)  # fmt: skip
_OPENINGS = (
    "", "", "Good question.", "Let's look at {a} first.", "Short version: it comes down to {a}.", "Sure!",
    "To answer this we need {a} and {b}.", "There are two sides to {a}.", "Think of {a} as a starting point.",
)  # fmt: skip
_STARTS = (
    "The relation of {a} to {b}", "What matters about {a}", "Here {a}", "A careful reading of {a}", "Taking {a} with {b}",
    "The usual view of {a}", "If one starts from {a}, then {b}", "Once {a} is settled, {b}", "Most texts agree that {a}",
    "In practice {a}", "Compared with {b}, {a}", "By definition {a}", "Out of {n} cases, {a}",
)  # fmt: skip
_MIDDLES = (
    "depends on", "follows from", "cannot be separated from", "tells us something about", "comes before", "limits",
    "is explained by", "turns out to equal", "changes together with", "adds up with", "is often confused with",
    "leads step by step to",
)  # fmt: skip
_ENDS = (
    "{c}, which narrows things down", "{c} in the case described", "{c}, and nothing in the question speaks against it",
    "{c} for the reasons given above", "{c}, at least to a first approximation", "{c}, so roughly {n}",
    "the role that {c} plays", "{c} rather than {b}", "{c}, as was shown long ago", "how {c} is counted",
)  # fmt: skip
_CLOSINGS = (
    "Let me know if you would like more on {a}.", "Hope that helps!", "So the answer hinges on {a}.",
    "Shall I go through {a} in more detail?", "In total, that is what {a} amounts to.",
)  # fmt: skip


def _near(gold: str, labels: Sequence[str], rng: random.Random) -> str:
    """Another label, by preference one that shares a word: models err among what is alike."""
    words = set(re.split(r"[_ ]", gold))
    others = [label for label in labels if label != gold]
    alike = [label for label in others if words & set(re.split(r"[_ ]", label))]
    return rng.choice(alike if alike and rng.random() < 0.7 else others)


def _spelt(gold: str, form: str, rng: random.Random) -> str:
    spaced = gold.replace("_", " ")
    label = rng.choice((gold.upper(), gold.capitalize(), spaced, spaced.capitalize(), gold.lower()))
    if form.startswith("{"):
        made = form.replace("{label}", rng.choice((gold, label)))
        return rng.choice((f"```json\n{made}\n```", made.replace(": ", ":"), made + "\n"))
    made = form.replace("{label}", label)
    return rng.choice(
        (made, f"{made}.", f'"{made}"', f"**{made}**", f" {made}\n", form.replace("{label}", f'"{gold}"'))
    )
