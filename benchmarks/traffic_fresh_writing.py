"""The held-out applications that ask for fields, SQL, numbers or talk, and the replies of those that ask for a label."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from benchmarks import traffic_fresh_rows as fresh_rows
from benchmarks import traffic_replies as replies
from benchmarks import traffic_rows as rows
from benchmarks.traffic_application import DAYS, Application, Messages, Moment, Wording
from benchmarks.traffic_replies import Drawn
from benchmarks.traffic_rows import Item

Reply = Callable[[Item, Moment], Drawn]

TONGUES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "en": {"refused": replies.REFUSALS, "long": replies.SENTENCES},
    "de": {
        "refused": ("Dabei kann ich leider nicht helfen.", "Das kann ich nicht beantworten."),
        "long": (
            "Am besten passt hier {label}, denn danach wird gefragt.",
            "{label}\n\nBegründung: Die Frage legt es nahe.",
        ),
    },
    "ja": {
        "refused": ("申し訳ありませんが、お答えできません。",),
        "long": ("この文は「{label}」に当たると考えられます。", "{label}\n\n理由:文の内容から判断しました。"),
    },
}
"""How replies refuse, and how they say more than was asked."""

POLICY = """EDITORIAL SCOPE POLICY OF THE REVIEW BOARD, REVISION 11

1. Purpose. This policy tells readers of the board which abstracts each panel takes. It replaces revision 10 and every note
that circulated by mail before it. A panel that takes an abstract is bound to review it within thirty days.
2. Definitions. "Abstract" means the summary that the authors handed in, not the full paper, its figures or its supplement.
"Panel" means a group of at least three readers. "In scope" means that the main finding belongs to the panel's field; a
mention in passing does not suffice.
3. The cardiovascular panel takes work on the heart, its valves, its rhythm and its vessels; on blood pressure; on clots,
embolism and infarction; on surgery of the coronary arteries and of the aorta; and on drugs where the measured effect is one
on the circulation.
4. It does not take work in which the circulation is only measured for safety, work on tumours of the chest, work on the lungs
alone, or reports on equipment without patients or animals.
5. Stroke is shared with the neurological panel. Where the abstract is mainly about vessels it goes to the cardiovascular
panel, where it is mainly about the brain it does not.
6. Conflicts. A reader who has published with one of the authors in the last four years steps back. This does not change
whether the abstract is in scope.
7. Animal studies are treated as studies of patients. Studies of cells are in scope only if the cells are those of the heart
or of vessels.
8. Language. Abstracts in other languages are translated before they are read. Spelling is no reason to turn one down.
9. Doubt. If after two readings it remains open whether an abstract is in scope, the reader decides by the aim that the
authors state, not by the title and not by the journal that they chose.
10. Records. Every decision is kept for seven years together with the revision of this policy under which it was taken. The
board publishes once a year how many abstracts each panel took, how many it passed on and how long that lasted.
11. Appeals go to the chair, who answers within ten days. An appeal does not halt the review.
12. Nothing in this policy says how good the work is; scope and merit are two questions, and only the first is asked here."""


def labels_of(items: Callable[[], list[Item]]) -> tuple[str, ...]:
    """The right answers that occur, sorted."""
    return tuple(sorted({str(item.gold) for item in items()}))


def labelled(labels: Sequence[str], form: str, tongue: str = "en", invented: Sequence[str] = ()) -> Reply:
    """Replies to a labelling prompt, in the language of the application.

    Args:
        labels: all of them.
        form: the usual shape, with `{label}` in it.
        tongue: a key of `TONGUES`.
        invented: answers that are not on the list; by default those of `label_reply`.
    """

    def reply(item: Item, now: Moment) -> Drawn:
        text, noise = replies.label_reply(item.gold, labels, form, now.rng)
        if noise in TONGUES[tongue]:
            text = now.rng.choice(TONGUES[tongue][noise]).replace("{label}", item.gold)
        elif noise == "invented" and invented:
            text = form.replace("{label}", now.rng.choice(invented))
        return text, noise

    return reply


def reasoned() -> Application:
    """A class of condition and the reason for it, as JSON."""
    labels = labels_of(rows.medical_documents)

    def ask(item: Item, now: Moment) -> Messages:
        system = (
            "Assign the abstract to one category and explain your choice in a sentence.\nCategories:\n"
            + "\n".join(f"{n}. {label}" for n, label in enumerate(labels, 1))
            + '\n\nReply with JSON: {"category": "...", "reason": "..."}'
        )
        return [("system", system), ("user", item.text)]

    def reply(item: Item, now: Moment) -> Drawn:
        sentence = replies.prose(item.text, now.rng).split(".")[0].replace("\n", " ") + "."
        form = f'{{"category": "{{label}}", "reason": {json.dumps(sentence, ensure_ascii=False)}}}'
        return replies.label_reply(item.gold, labels, form, now.rng)

    return Application(
        "reasoned", "extract_fields", 6, rows.medical_documents, (Wording("reason", ask, reply, json=True),),
        (("gpt-4o", 1),), fields=("category", "reason"),
    )  # fmt: skip


def totals() -> Application:
    """Total and date of receipts; the keys stand in one order, later in the other."""

    def v1(item: Item, now: Moment) -> Messages:
        user = (
            f"<receipt>\n{item.text}\n</receipt>\n<keys>total, date</keys>\nFill the keys from the receipt and print a JSON "
            "object. Missing values are null."
        )
        return [("user", user)]

    def v2(item: Item, now: Moment) -> Messages:
        system = "You book expenses. From the OCR text you get, return {date, total} as JSON; null where unreadable."
        return [
            ("system", system),
            ("user", f"Expense report {now.when:%Y}-{now.rng.randint(1, 9999):04d}\n```\n{item.text}\n```"),
        ]

    def reply(keys: Sequence[str], indent: int | None) -> Reply:
        return lambda item, now: replies.json_reply({k: item.gold[k] for k in keys}, now.examples, indent, now.rng)

    return Application(
        "expenses", "extract_fields", 3, fresh_rows.totals,
        (
            Wording("keys in tags", v1, reply(("total", "date"), None), 2),
            Wording("fenced", v2, reply(("date", "total"), 2), 1, (6, DAYS)),
        ),
        (("gpt-4o-mini", 1),), edits="lines", fields=("total", "date"),
    )  # fmt: skip


def geography() -> Application:
    """SQL on one database, the schema after the question."""

    def ask(item: Item, now: Moment) -> Messages:
        user = f"-- {item.text}\n-- Write one SQLite statement that answers the question above, given:\n{item.more['schema']}\n"
        return [("system", "SQL only."), ("user", user)]

    return Application(
        "geography", "generate_text", 4, fresh_rows.geoquery,
        (Wording("comment", ask, lambda item, now: replies.sql_reply(item.gold, now.examples, False, now.rng)),),
        (("gpt-4.1-mini", 1),),
    )  # fmt: skip


def concrete() -> Application:
    """The strength of a mix of concrete, in MPa with one decimal."""

    def v1(item: Item, now: Moment) -> Messages:
        system = "Predict the compressive strength of the concrete in MPa. Output a decimal number."
        return [("system", system), ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        user = (
            f"Lab sheet of {now.when:%d %b %Y}, operator {now.customer}\n{item.text}\n\nFrom experience, what compressive "
            "strength (MPa, one decimal) will the test give?"
        )
        return [("user", user)]

    def reply(item: Item, now: Moment) -> Drawn:
        luck = now.rng.random()
        if luck < 0.003:
            return now.rng.choice(replies.REFUSALS), "refused"
        value = f"{item.gold * now.rng.lognormvariate(0, 0.05):.1f}"
        if luck < 0.06:
            return now.rng.choice((f"{value} MPa", f"about {value}", f"**{value}**", f"Strength: {value} MPa")), "spelt"
        return value, ""

    return Application(
        "concrete", "estimate_values", 5, fresh_rows.concrete,
        (Wording("system", v1, reply, 2, (0, 17)), Wording("lab sheet", v2, reply, 2, (10, DAYS))),
        (("gpt-4o", 1),), edits="appended",
    )  # fmt: skip


def persona() -> Application:
    """Free talk with a character who has a name, habits and a long introduction."""

    def ask(item: Item, now: Moment) -> Messages:
        system = (
            "You are Pip, a cheerful lighthouse keeper who knows a bit about everything. You love tea, gulls and bad puns. You "
            f"are talking with {now.customer}, who has been a friend for years; it is {now.when:%A} evening. Be warm, be "
            "curious, ask back now and then, and never say that you are a computer."
        )
        said: Messages = [("system", system), ("user", _typed(item, now))]
        while now.rng.random() < 0.4:
            after = now.rng.choice(
                ("haha, go on", "oh? why is that", str(now.rng.choice(now.examples).more["question"]))
            )
            said += [("assistant", _pip(said[-1][1], now)), ("user", after)]
        return said

    return Application(
        "pip", "chat", 12, rows.routellm_eval, (Wording("pip", ask, lambda item, now: (_pip(item.text, now), "")),),
        (("gpt-4o", 1),),
    )  # fmt: skip


def _typed(item: Item, now: Moment) -> str:
    start = now.rng.choice(("", "", "Pip, ", "hey Pip! ", "I was wondering... ", "quick one: "))
    return start + str(item.more["question"])


def _pip(asked: str, now: Moment) -> str:
    start = now.rng.choice(("Ahoy! ", "Well now. ", "", "Kettle's on! ", "Ha, ", "Blow me down - "))
    end = now.rng.choice(
        ("", "", " What do you make of it?", " But what do I know, I only keep the lamp.", " More tea?")
    )
    return f"{start}{replies.prose(asked, now.rng)}{end}"
