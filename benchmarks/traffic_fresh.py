"""Traffic that nobody developed against: fourteen tasks of thirteen applications, in other styles than those of the mix.

    python -m benchmarks.traffic_fresh OUT_DIR --records 20000 --seed 0

Files and truth are those of `benchmarks.traffic_mix`, and so are corrupt lines, rhythm and the sorts of noise in the replies.
Prompts, answers and most of the rows are other ones. `reasoned` asks for JSON with a label and a reason: by the rule that
JSON with a stable schema is an extraction, its kind is `extract_fields`, although nobody can foretell the reason.
"""

from __future__ import annotations

from benchmarks import traffic_fresh_rows as fresh_rows
from benchmarks import traffic_fresh_writing as writing
from benchmarks import traffic_rows as rows
from benchmarks.traffic_application import DAYS, Application, Messages, Moment, Wording
from benchmarks.traffic_fresh_writing import POLICY, labelled, labels_of
from benchmarks.traffic_mix import main
from benchmarks.traffic_rows import Item

SHOWN = (
    ("it has been nine days and no card in my letter box", "card_arrival"),
    ("what do you charge when I swap euros for pounds", "exchange_rate"),
    ("typed the wrong code three times, now nothing works", "pin_blocked"),
    ("my wallet was taken on the train", "lost_or_stolen_card"),
    ("can my daughter open one, she is 15", "age_limit"),
)
"""Examples that stand in a system prompt; no rows of the data set."""


def applications() -> list[Application]:
    """All tasks of the held-out traffic."""
    return [
        bank(),
        scenarios(),
        spam(),
        heart(),
        routes(),
        topics(),
        hotels(),
        quill_tone(),
        quill_subject(),
        writing.reasoned(),
        writing.totals(),
        writing.geography(),
        writing.concrete(),
        writing.persona(),
    ]


def bank() -> Application:
    """Intents of a bank's customers: markdown with headings and bullets; later with examples in the system prompt."""
    labels = labels_of(rows.banking77)
    listed = "\n".join(f"* `{label}`" for label in labels)
    head = "# Role\nYou sort incoming chat messages for **Tidewater Credit Union**.\n\n"

    def v1(item: Item, now: Moment) -> Messages:
        rules = (
            "## Rules\n- Pick exactly one topic.\n- Never invent a topic.\n- No punctuation, no explanation.\n- When two fit, "
            "prefer the more specific one.\n\n"
        )
        return [("system", f"{head}{rules}## Topics\n{listed}"), ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        shown = "\n\n".join(f"**Member:** {text}\n**Topic:** {label}" for text, label in SHOWN)
        after = "## Output\nOne line: `Topic:` and the name of the topic."
        system = f"{head}## Topics\n{listed}\n\n## Examples\n\n{shown}\n\n{after}"
        return [("system", system), ("user", f"**Member:** {item.text}")]

    return Application(
        "markdown_bank", "classify_text", 14, rows.banking77,
        (
            Wording("rules", v1, labelled(labels, "{label}"), 1, (0, 15)),
            Wording("examples in system", v2, labelled(labels, "Topic: {label}"), 1, (13, DAYS)),
        ),
        (("gpt-4.1", 1),), labels,
    )  # fmt: skip


def scenarios() -> Application:
    """What a spoken request is about; who asks, from where and when stands at the very start of the system prompt."""
    labels = labels_of(fresh_rows.hwu_scenarios)
    places = ("en-GB", "en-US", "en-IE", "en-AU", "en-IN", "en-ZA")

    def v1(item: Item, now: Moment) -> Messages:
        system = (
            f"customer_id=C-{now.rng.randint(10_000, 99_999)} locale={now.rng.choice(places)} now={now.when:%Y-%m-%dT%H:%M:%SZ}\n"
            "You are the first stage of a voice assistant. Decide which skill handles the request. Skills: "
            f"{', '.join(labels)}. Output the skill."
        )
        return [("system", system), ("user", item.text)]

    def v2(item: Item, now: Moment) -> Messages:
        system = (
            f"[{now.customer} | {now.rng.choice(places)} | {int(now.when.timestamp())}]\nRoute voice requests. Every request "
            f"belongs to one skill out of {{{', '.join(labels)}}}. Respond as `skill={{name}}`, for instance `skill=news`."
        )
        return [("system", system), ("user", f"heard: {item.text}")]

    return Application(
        "skills", "classify_text", 12, fresh_rows.hwu_scenarios,
        (
            Wording("session first", v1, labelled(labels, "{label}"), 2, (0, 20)),
            Wording("in brackets", v2, labelled(labels, "skill={label}"), 1, (9, DAYS)),
        ),
        (("gpt-4o-mini", 1),), labels,
    )  # fmt: skip


def spam() -> Application:
    """Spam as a digit; the input in XML tags."""

    def v1(item: Item, now: Moment) -> Messages:
        user = (
            "<task>\n  <goal>Flag unsolicited advertising, lotteries and phishing.</goal>\n  <output>1 = flag, 0 = let through"
            f'</output>\n</task>\n<message received="{now.when:%H:%M}">\n{item.text}\n</message>'
        )
        return [("user", user)]

    def v2(item: Item, now: Moment) -> Messages:
        system = (
            "<instructions>You guard the inbox of a phone. Reply 1 if the text in <sms> should be blocked and 0 if it should be "
            "delivered. Reply with that digit alone.</instructions>"
        )
        return [("system", system), ("user", f"<sms>{item.text}</sms>")]

    labels, reply = ("0", "1"), labelled(("0", "1"), "{label}", invented=("2", "unsure", "0.5"))
    return Application(
        "inbox_guard", "classify_text", 12, fresh_rows.spam_digits,
        (Wording("task tags", v1, reply, 2, (0, 19)), Wording("instructions", v2, reply, 2, (10, DAYS))),
        (("gpt-4.1-mini", 1),), labels,
    )  # fmt: skip


def heart() -> Application:
    """Yes or no, after a very long policy."""

    def ask(item: Item, now: Moment) -> Messages:
        user = (
            f"{POLICY}\n\nABSTRACT\n{item.text}\n\nQUESTION\nUnder the policy above, is the abstract in scope for the "
            "cardiovascular panel? Answer yes or no."
        )
        return [("user", user)]

    labels = ("no", "yes")
    reply = labelled(labels, "{label}", invented=("unclear", "partly", "not stated"))
    return Application(
        "long_policy",
        "classify_text",
        7,
        fresh_rows.heart_or_not,
        (Wording("policy", ask, reply),),
        (("gpt-4o", 1),),
        labels,
    )


def routes() -> Application:
    """German instructions, English questions, German answers."""
    labels = tuple(fresh_rows.GERMAN.values())

    def v1(item: Item, now: Moment) -> Messages:
        system = (
            "Du bist Teil der Suche der Stadtbibliothek Auenfeld. Entscheide, aus welcher Quelle eine Frage beantwortet werden "
            f"soll. Mögliche Quellen: {', '.join(labels)}. Antworte nur mit der Quelle. Die Fragen sind auf Englisch."
        )
        return [("system", system), ("user", f"Frage: {item.text}")]

    def v2(item: Item, now: Moment) -> Messages:
        user = (
            f"Stand: {now.when:%d.%m.%Y}, Anfrage {now.rng.randint(1000, 9999)}\n\nGegeben ist die Frage „{item.text}“\n\nWelche "
            f"Quelle passt? ({' / '.join(labels)})\nBitte im Format „Quelle: …“ antworten."
        )
        return [("user", user)]

    def reply(form: str) -> writing.Reply:
        return labelled(labels, form, "de", ("Tabelle", "Audio", "unklar"))

    return Application(
        "bibliothek", "classify_text", 9, fresh_rows.german_routes,
        (Wording("system", v1, reply("{label}"), 2), Wording("user", v2, reply("Quelle: {label}"), 1, (8, DAYS))),
        (("gpt-4o-mini", 1),), labels,
    )  # fmt: skip


def topics() -> Application:
    """Topics of Japanese news, all in Japanese."""
    labels = tuple(fresh_rows.JAPANESE.values())

    def v1(item: Item, now: Moment) -> Messages:
        system = (
            "# 役割\nニュース配信サービスの編集補助\n\n# 指示\n"
            "与えられた文の話題を次の中から一つ選び、話題名だけを出力すること。\n"
            + "\n".join(f"・{label}" for label in labels)
        )
        return [("system", system), ("user", f"【本文】\n{item.text}")]

    def v2(item: Item, now: Moment) -> Messages:
        listed = "、".join(labels)
        user = (
            f"次の文章を{listed}のどれかに分類してください。\n文章:「{item.text}」\n「話題:○○」の形で答えてください。"
        )
        return [("user", user)]

    def reply(form: str) -> writing.Reply:
        return labelled(labels, form, "ja", ("経済", "その他", "不明"))

    return Application(
        "news_ja", "classify_text", 5, fresh_rows.sib200_ja,
        (Wording("headings", v1, reply("{label}"), 2), Wording("one line", v2, reply("話題:{label}"), 1, (5, DAYS))),
        (("gpt-4o", 1),), labels, "japanese",
    )  # fmt: skip


def hotels() -> Application:
    """Whether a Japanese sentence is about the hotel: yes or no."""

    def ask(item: Item, now: Moment) -> Messages:
        system = (
            f"会員番号{now.rng.randint(100_000, 999_999)}様の投稿を確認します。文が宿泊施設そのもの(部屋、食事、接客、設備など)"
            "について述べていれば「はい」、そうでなければ「いいえ」と答えてください。"
        )
        return [("system", system), ("user", f"投稿文:{item.text}")]

    labels = ("いいえ", "はい")
    return Application(
        "posts_ja", "classify_text", 10, fresh_rows.about_hotels_ja,
        (Wording("member first", ask, labelled(labels, "{label}", "ja", ("どちらとも言えません", "不明"))),),
        (("gpt-4o-mini", 1),), labels, "japanese",
    )  # fmt: skip


QUILL = (
    "You are Quill, the writing desk's bot. The first word of a message is a command; carry it out on the rest. Commands: "
    "tone (favourable or unfavourable), subject (what the passage is about), both answered with the bare word."
)


def quill_tone() -> Application:
    """Tone of a sentence; only the first word of the message tells it from `quill_subject`."""
    labels = ("favourable", "unfavourable")
    return Application(
        "quill_tone", "classify_text", 6, fresh_rows.tone,
        (Wording("tone", lambda item, now: [("system", QUILL), ("user", f"tone {item.text}")], labelled(labels, "{label}")),),
        (("gpt-4o-mini", 1),), labels,
    )  # fmt: skip


def quill_subject() -> Application:
    """Subject of a passage; only the first word of the message tells it from `quill_tone`."""
    labels = labels_of(rows.sib200)
    reply = labelled(labels, "{label}")
    return Application(
        "quill_subject", "classify_text", 4, rows.sib200,
        (Wording("subject", lambda item, now: [("system", QUILL), ("user", f"subject {item.text}")], reply),),
        (("gpt-4o-mini", 1),), labels,
    )  # fmt: skip


if __name__ == "__main__":
    main(applications, __doc__)
