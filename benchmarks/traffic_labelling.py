"""Applications that ask for one of a list of labels, each in several wordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks import traffic_replies as replies
from benchmarks import traffic_rows as rows
from benchmarks.traffic_application import DAYS, Application, Messages, Moment, Wording
from benchmarks.traffic_replies import Drawn
from benchmarks.traffic_rows import Item


def bank() -> Application:
    """Intents of a bank's customers: the list in the system prompt, then in the user's message, then JSON in an A/B test."""
    labels = _labels(rows.banking77)
    listed = "\n".join(f"- {label}" for label in labels)

    def v1(item: Item, now: Moment) -> Messages:
        system = (
            f"You are the triage service of Lumen Bank. Today is {now.when:%A, %d %B %Y}.\nRead the customer's message and "
            f"name the one intent that fits best. Choose from this list:\n{listed}\nReply with the intent only."
        )
        return [("system", system), ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        user = (
            f"Customer: {now.customer}\nMessage: {item.text}\n\nWhich of these intents is it? {', '.join(labels)}\n"
            "Answer in the form 'Category: <intent>'."
        )
        return [("system", "You route customer messages at Lumen Bank."), ("user", user)]

    def a(item: Item, now: Moment) -> Messages:
        system = (
            'Classify support messages for Lumen Bank. Output a JSON object {"intent": "<name>"} and nothing else.\n'
            f"Allowed names: {', '.join(labels)}"
        )
        return [("system", system), ("user", item.text)]

    def b(item: Item, now: Moment) -> Messages:
        system = (
            "As the classifier behind Lumen Bank's help desk (prompt rev. 7) you decide which support queue a message goes "
            f'to.\nQueues: {"; ".join(labels)}\nRespond with JSON of the form {{"intent": "<queue>"}}.'
        )
        return [("system", system), ("user", f"Message from the customer:\n{item.text}")]

    bare, named, as_json = (
        _labelled(labels, form) for form in ("{label}", "Category: {label}", '{"intent": "{label}"}')
    )
    return Application(
        "banking77", "classify_text", 17, rows.banking77,
        (
            Wording("list in system", v1, bare, 3, (0, 18)),
            Wording("list in user", v2, named, 2, (8, DAYS)),
            Wording("json a", a, as_json, 1, (14, DAYS), json=True),
            Wording("json b", b, as_json, 1, (14, DAYS), json=True),
        ),
        (("gpt-4o", 2), ("gpt-4o-mini", 1)), labels,
    )  # fmt: skip


def speaker() -> Application:
    """Intents of a smart speaker: examples as turns, examples in the prompt drawn anew each time, a plain list."""
    labels = _labels(rows.hwu64)
    listed = "\n".join(labels)
    turns: Messages = [
        ("user", "wake me up at five am this week"), ("assistant", "alarm_set"),
        ("user", "dim the lights in the hallway"), ("assistant", "iot_hue_lightdim"),
        ("user", "what is on my list for groceries"), ("assistant", "lists_query"),
        ("user", "play the next episode of the podcast"), ("assistant", "play_podcasts"),
    ]  # fmt: skip

    def v1(item: Item, now: Moment) -> Messages:
        firmware = f"5.{now.when.day // 8}.{now.when.day % 8}"
        system = (
            f"You are the language module of the Hestia speaker, firmware {firmware}. Map each utterance to one of the "
            f"intents below and print its name.\n\n{listed}"
        )
        return [("system", system), *turns, ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        shown = "\n\n".join(f"Request: {one.text}\nIntent: {one.gold}" for one in now.rng.sample(now.examples, 5))
        user = (
            f"Task: find the intent of a spoken request to the Hestia speaker.\nIntents: {', '.join(labels)}\n\n"
            f"Examples:\n\n{shown}\n\nRequest: {item.text}\nIntent:"
        )
        return [("user", user)]

    def v3(item: Item, now: Moment) -> Messages:
        system = f"Hestia NLU. Known intents: {' | '.join(labels)}. Say which one the utterance is."
        return [("system", system), ("user", f'Utterance ({now.when:%H:%M}): "{item.text}"')]

    reply = _labelled(labels, "{label}")
    return Application(
        "hwu64", "classify_text", 15, rows.hwu64,
        (
            Wording("examples as turns", v1, reply, 2),
            Wording("examples drawn anew", v2, reply, 2, (5, DAYS)),
            Wording("plain list", v3, reply, 1, (0, 20)),
        ),
        (("gpt-4.1-mini", 1),), labels,
    )  # fmt: skip


def messages() -> Application:
    """Spam in text messages; the instructions stand after the text."""

    def v1(item: Item, now: Moment) -> Messages:
        after = "The text above was sent to one of our subscribers. Is it spam or ham? Answer with one word."
        return [("user", f"{item.text}\n\n---\n{after}")]

    def v2(item: Item, now: Moment) -> Messages:
        after = (
            'Decide whether the SMS above is unwanted advertising or fraud. Reply "spam" if so, otherwise "ham". '
            f"(Parrot Mobile filter 2.{now.when.day // 10})"
        )
        return [("user", f"{item.text}\n\n{after}")]

    labels = ("ham", "spam")
    return Application(
        "sms_spam", "classify_text", 12, rows.sms_spam,
        (
            Wording("after the text", v1, _labelled(labels, "{label}"), 2, (0, 21)),
            Wording("reworded", v2, _labelled(labels, "{label}"), 2, (6, DAYS)),
        ),
        (("gpt-4o-mini", 1),), labels,
    )  # fmt: skip


def reviews() -> Application:
    """Sentiment of English reviews, with names in the prompt."""

    def v1(item: Item, now: Moment) -> Messages:
        system = f"You read reviews for {now.customer}. Say whether the writer is positive or negative. One word."
        return [("system", system), ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        system = (
            "Sentiment service for Northwind Reviews. Given one sentence of a review, answer with 'Sentiment: positive' or "
            "'Sentiment: negative'."
        )
        return [("system", system), ("user", f"Review received {now.when:%Y-%m-%d}:\n{item.text}")]

    labels = ("negative", "positive")
    return Application(
        "sentiment_en", "classify_text", 8, rows.sentiment_sentences,
        (
            Wording("one word", v1, _labelled(labels, "{label}"), 2),
            Wording("with prefix", v2, _labelled(labels, "Sentiment: {label}"), 1),
        ),
        (("gpt-4o-mini", 1),), labels,
    )  # fmt: skip


def hotels() -> Application:
    """Sentiment of Japanese hotel reviews."""

    def v1(item: Item, now: Moment) -> Messages:
        day = f"{now.when.year}年{now.when.month}月{now.when.day}日"
        system = (
            f"あなたは旅館の口コミ分析担当です。本日は{day}です。次の文を「ポジティブ」「中立」「ネガティブ」のいずれかに"
            "分類し、その語だけを答えてください。"
        )
        return [("system", system), ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        user = f"以下は宿泊者の口コミの一文です。\n\n{item.text}\n\n評価の極性を答えてください(ポジティブ/中立/ネガティブ)。"
        return [("user", user)]

    labels = ("ネガティブ", "ポジティブ", "中立")
    return Application(
        "sentiment_ja", "classify_text", 12, rows.jrte_ja,
        (
            Wording("dated", v1, _labelled(labels, "{label}"), 2),
            Wording("in the user's message", v2, _labelled(labels, "{label}"), 1, (10, DAYS)),
        ),
        (("gpt-4o", 1),), labels, "japanese",
    )  # fmt: skip


ATLAS = "You are a component of Atlas Desk, the search assistant of Meridian Publishing. Do exactly what the user's message asks."
ATLAS_NEW = f"{ATLAS} Never add explanations. (release 2026.{{week}})"


def routes() -> Application:
    """Which source should answer a question; the system prompt is the one of `topics`."""
    labels = _labels(rows.universalrag_routing)

    def user(item: Item) -> tuple[str, str]:
        instruction = (
            "Instruction: name the source that should answer the question. Sources: no (nothing needs to be looked up), "
            "paragraph, document, image, clip, video."
        )
        return "user", f"{instruction}\nQuestion: {item.text}\nSource:"

    reply = _labelled(labels, "{label}")
    return Application(
        "atlas_routing", "classify_text", 10, rows.universalrag_routing,
        (
            Wording("first", lambda item, now: [("system", ATLAS), user(item)], reply, 2, (0, 16)),
            Wording("second", lambda item, now: [("system", _atlas(now)), user(item)], reply, 2, (12, DAYS)),
        ),
        (("gpt-4o-mini", 1),), labels,
    )  # fmt: skip


def topics() -> Application:
    """What a passage is about; the system prompt is the one of `routes`."""
    labels = _labels(rows.sib200)

    def user(item: Item) -> tuple[str, str]:
        return (
            "user",
            f"Instruction: name the topic of the passage ({', '.join(labels)}).\nPassage: {item.text}\nTopic:",
        )

    reply = _labelled(labels, "{label}")
    return Application(
        "atlas_topics", "classify_text", 4, rows.sib200,
        (
            Wording("first", lambda item, now: [("system", ATLAS), user(item)], reply, 2, (0, 16)),
            Wording("second", lambda item, now: [("system", _atlas(now)), user(item)], reply, 2, (12, DAYS)),
        ),
        (("gpt-4o-mini", 1),), labels,
    )  # fmt: skip


def documents() -> Application:
    """Which shelf a medical abstract goes to; most shelves overlap."""
    labels = _labels(rows.medical_documents)

    def v1(item: Item, now: Moment) -> Messages:
        system = (
            "You file papers for the library of St. Brendan Hospital. Shelves: "
            + ", ".join(labels)
            + ". Print the shelf."
        )
        return [("system", system), ("user", f"Paper no. {now.rng.randint(10_000, 99_999)}\n\n{item.text}")]

    def v2(item: Item, now: Moment) -> Messages:
        user = (
            f"{item.text}\n\nFile the abstract above under one of: {' / '.join(labels)}.\nAnswer as JSON with the one key "
            '"shelf".'
        )
        return [("user", user)]

    return Application(
        "medical_documents", "classify_text", 5, rows.medical_documents,
        (
            Wording("system", v1, _labelled(labels, "{label}"), 2),
            Wording("json", v2, _labelled(labels, '{"shelf": "{label}"}'), 1, (4, DAYS)),
        ),
        (("gpt-4.1-mini", 1),), labels,
    )  # fmt: skip


def _labels(items: Callable[[], list[Item]]) -> tuple[str, ...]:
    return tuple(sorted({str(item.gold) for item in items()}))


def _labelled(labels: Sequence[str], form: str) -> Callable[[Item, Moment], Drawn]:
    return lambda item, now: replies.label_reply(item.gold, labels, form, now.rng)


def _atlas(now: Moment) -> str:
    return ATLAS_NEW.replace("{week}", str(now.when.isocalendar().week))
