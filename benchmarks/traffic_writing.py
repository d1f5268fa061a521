"""Applications that ask for fields, SQL, a number, an answer from documents, or just talk."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import traffic_replies as replies
from benchmarks import traffic_rows as rows
from benchmarks.traffic_application import DAYS, Application, Messages, Moment, Wording
from benchmarks.traffic_replies import Drawn
from benchmarks.traffic_rows import Item


def receipts() -> Application:
    """Fields of receipts as JSON."""

    def v1(item: Item, now: Moment) -> Messages:
        system = (
            "Extract the fields of a receipt for Ledgerly. Return a JSON object with the keys company, date, address and total. "
            "Use null for what is not on the receipt."
        )
        return [("system", system), ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        user = (
            f"Receipt uploaded by {now.customer} on {now.when:%Y-%m-%d}:\n\n<<<\n{item.text}\n>>>\n\n"
            "Give me company, date, address and total as JSON (null if missing), nothing else."
        )
        return [("user", user)]

    def reply(indent: int | None) -> Callable[[Item, Moment], Drawn]:
        return lambda item, now: replies.json_reply(item.gold, now.examples, indent, now.rng)

    return Application(
        "receipts", "extract_fields", 3, rows.sroie_receipts,
        (Wording("system", v1, reply(None), 2), Wording("user", v2, reply(2), 1, (7, DAYS))),
        (("gpt-4o", 1),), edits="lines", fields=("company", "date", "address", "total"),
    )  # fmt: skip


def queries() -> Application:
    """SQL for a question; the schema is in the prompt."""

    def v1(item: Item, now: Moment) -> Messages:
        system = (
            f"You write SQLite queries for Insight Studio. Answer with the query only.\nSchema of {item.more['database']}:\n"
            f"{item.more['schema']}"
        )
        return [("system", system), ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        user = f"### Tables\n{item.more['schema']}\n\n### Question\n{item.text}\n\n### SQL"
        return [("system", f"Insight Studio text-to-SQL, build {now.when:%y%m%d}."), ("user", user)]

    def reply(fenced: bool) -> Callable[[Item, Moment], Drawn]:
        return lambda item, now: replies.sql_reply(item.gold, now.examples, fenced, now.rng)

    return Application(
        "sql", "generate_text", 4, rows.spider_dev,
        (Wording("schema in system", v1, reply(False), 2), Wording("schema in user", v2, reply(True), 1, (9, DAYS))),
        (("gpt-4.1", 1),),
    )  # fmt: skip


def houses() -> Application:
    """The price of a house."""

    def v1(item: Item, now: Moment) -> Messages:
        system = (
            "You estimate what houses in Ames, Iowa, sell for, on behalf of Keystone Realty. Answer with a whole number of US "
            "dollars and nothing else."
        )
        return [("system", system), ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        number = f"{now.rng.randint(100, 999)}-{now.rng.randint(100, 999)}"
        user = f"Listing {number}: {item.text}\n\nExpected sale price in USD (number only):"
        return [("user", user)]

    def reply(item: Item, now: Moment) -> Drawn:
        return replies.number_reply(item.gold, now.rng)

    return Application(
        "house_prices", "estimate_values", 5, rows.ames_housing,
        (Wording("system", v1, reply, 2), Wording("listing", v2, reply, 1, (11, DAYS))),
        (("gpt-4o", 1),), edits="appended",
    )  # fmt: skip


def passages() -> Application:
    """Questions answered from passages that were looked up."""

    def found(item: Item, now: Moment) -> list[str]:
        shown = [item.more["passage"], *(one.more["passage"] for one in now.rng.sample(now.examples, 2))]
        now.rng.shuffle(shown)
        return shown

    def question(item: Item, now: Moment) -> str:
        ways = (
            "What did the study on {title} find?",
            "What is reported about {title}?",
            "What is the main result concerning {title}?",
            "{title}: what came out of it?",
        )
        title = item.text[:1].lower() + item.text[1:]
        return now.rng.choice(ways).format(title=title)

    def v1(item: Item, now: Moment) -> Messages:
        context = "\n\n".join(f"[{n}] {text}" for n, text in enumerate(found(item, now), 1))
        system = f"Answer the question from the passages only; if they do not say, say so.\n\nPassages:\n{context}"
        return [("system", system), ("user", question(item, now))]

    def v2(item: Item, now: Moment) -> Messages:
        context = "\n".join(f'<doc id="{n}">{text}</doc>' for n, text in enumerate(found(item, now), 1))
        user = f"Context:\n{context}\n\nQuestion: {question(item, now)}\n\nAnswer in one sentence, from the context."
        return [("system", "You are the knowledge base of Brendan Clinic."), ("user", user)]

    def reply(item: Item, now: Moment) -> Drawn:
        return replies.answer_reply(item.gold, now.rng)

    return Application(
        "clinic_answers", "answer_from_documents", 5, rows.medical_passages,
        (Wording("passages in system", v1, reply, 1), Wording("context in user", v2, reply, 1, (6, DAYS))),
        (("gpt-4o", 1), ("gpt-4.1", 1)),
    )  # fmt: skip


def chat() -> Application:
    """People talking to a model: no instructions or nobody's in particular, some in several turns."""
    systems = ("You are a helpful assistant.", "You are a helpful AI assistant. Answer in a friendly tone.")

    def typed(item: Item, now: Moment) -> str:
        asked, options = str(item.more["question"]), item.more["options"]
        if not options or now.rng.random() < 0.4:
            return asked
        if now.rng.random() < 0.5:
            return f"{asked} {now.rng.choice(('Is it', 'Options:', 'I have the choice between', '-'))} {', '.join(options)}?"
        return item.text

    def talk(item: Item, now: Moment) -> Messages:
        said: Messages = [] if now.rng.random() < 0.5 else [("system", now.rng.choice(systems))]
        asked = typed(item, now)
        said.append(("user", asked))
        while now.rng.random() < 0.3:
            after = now.rng.choice(
                (
                    "why?", "can you explain that more simply", "Are you sure?", "and in practice?", "thanks. what else?",
                    "I don't follow the last step.", rng_item(now).more["question"],
                )
            )  # fmt: skip
            said += [("assistant", replies.prose(asked, now.rng)), ("user", str(after))]
        return said

    def rng_item(now: Moment) -> Item:
        return now.rng.choice(now.examples)

    def reply(item: Item, now: Moment) -> Drawn:
        return replies.prose(item.text, now.rng), ""

    return Application(
        "chat", "chat", 14, rows.routellm_eval, (Wording("chat", talk, reply),), (("gpt-4o", 3), ("gpt-4.1", 1))
    )
