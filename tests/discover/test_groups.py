"""Untagged calls are sorted into tasks: versions together, different work apart, every call in one place."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.discover.groups import Group, Grouping, draw
from shokunin.recorded.call import Call
from shokunin.template.pattern import LONGEST
from untagged import LABELS, App, Asked, calls, opinion, shop_text, system, talk, user

SORT = "Classify the message of the customer as delivery, refund or invoice."
HELP = "You work for a shop of books and films."


def shop(prompt: str, told: str | Callable[[random.Random], str] = "", reply: str = "{}") -> App:
    """An application that sorts inquiries: the user's message with `TEXT` in it, and what the system message says."""

    def app(rng: random.Random) -> Asked:
        text, label = shop_text(rng)
        before = told if isinstance(told, str) else told(rng)
        said = prompt.replace("TEXT", text)
        return system(before, said) if before else user(said), reply.replace("{}", label)

    return app


def sentiment(prompt: str, language: str = "en", labels: tuple[str, str] = ("positive", "negative")) -> App:
    """An application that sorts opinions."""

    def app(rng: random.Random) -> Asked:
        text, good = opinion(rng, language)
        return user(prompt.replace("TEXT", text)), labels[not good]

    return app


def found(*apps: App, count: int = 80, talks: int = 40, seed: int = 0) -> tuple[list[Group], list[set[int]]]:
    """The tasks of the applications' calls, and those that each application's calls were put in; talk is beside them."""
    asked, truth = calls([*((app, count) for app in apps), (talk, talks)], seed)
    grouping = Grouping(asked)
    places: list[set[int]] = [set() for _ in (*apps, talk)]
    for call, app in zip(asked, truth, strict=True):
        places[app].add(grouping.place(call))
    chat = places.pop()
    assert all(grouping.groups[place].kind == "chat" for place in chat)
    assert all(chat.isdisjoint(place) for place in places)
    return grouping.groups, places


def one(app: App, count: int = 80, talks: int = 40) -> Group:
    """The one task of one application."""
    groups, [place] = found(app, count=count, talks=talks)
    assert len(place) == 1 and -1 not in place
    return groups[min(place)]


def inputs_of(group: Group, asked: Sequence[Call]) -> list[dict[str, str] | None]:
    return [group.inputs(call) for call in asked]


# -- versions of one prompt -------------------------------------------------------------------------------------------


def dated(rng: random.Random) -> str:
    return f"You sort messages of a shop. Today is {rng.randint(1, 28)} {rng.choice(['May', 'July'])} 2026. {SORT}"


def named(rng: random.Random) -> str:
    return f"You help {rng.choice(['Anna', 'Ben', 'Chloe', 'Dev', 'Emi'])} at the desk. {SORT}"


def versioned(rng: random.Random) -> str:
    return f"[prompt v{rng.randint(1, 3)}.{rng.randint(0, 9)}] {SORT}"


@pytest.mark.parametrize("told", [dated, named, versioned])
def test_prompts_that_differ_in_a_date_a_name_or_a_version_are_one_task(told: Callable[[random.Random], str]) -> None:
    app = shop("Message: TEXT\nLabel:", told)
    group = one(app, count=120)
    assert group.kind == "classify_text" and sorted(group.answers.labels) == sorted(LABELS)
    (template,) = group.templates(group.answers)
    assert template.inputs == ("text",)
    later, _ = calls([(shop("Message: TEXT\nLabel:", lambda r: told(r).replace("2026", "2031")), 20)], seed=9)
    for call, said in zip(later, inputs_of(group, later), strict=True):
        assert said is not None and f"Message: {said['text']}\nLabel:" == call.messages[-1][1]


def test_two_wordings_of_one_task_are_one_task() -> None:
    plain = shop("Message: TEXT\nLabel:", SORT)
    other = shop(
        "Here is what was written: TEXT", "You are the sorter of a web shop. One of: delivery, refund, invoice."
    )
    groups, places = found(plain, other)
    assert places[0] == places[1] and len(places[0]) == 1
    group = groups[min(places[0])]
    assert [t.inputs for t in group.templates(group.answers)] == [("text",), ("text",)]


def test_two_wordings_with_replies_of_different_shapes_are_one_task_with_both_shapes() -> None:
    bare = shop("Message: TEXT\nLabel:", SORT)
    framed = shop("Message: TEXT\nGive JSON.", f"{SORT} Reply in JSON.", '{"intent": "{}"}')
    groups, places = found(bare, framed)
    assert places[0] == places[1] and len(places[0]) == 1
    group = groups[min(places[0])]
    assert sorted(group.answers.labels) == sorted(LABELS)
    written = {template.write("refund") for template in group.templates(group.answers)}
    assert written == {"refund", '{"intent": "refund"}'}


def test_fields_in_another_order_keep_their_names() -> None:
    def app(told: str, first: str, second: str, end: str) -> App:
        def ask(rng: random.Random) -> Asked:
            start, label = shop_text(rng)
            said = {"Body": start, "Age": str(rng.randint(1, 5) + 10 * LABELS.index(label))}
            if rng.random() < 0.5:  # neither alone tells the label
                said["Body" if rng.random() < 0.5 else "Age"] = str(rng.randint(100, 999))
            return system(told, f"{first}: {said[first]}\n{second}: {said[second]}\n{end}"), label

        return ask

    first = app(SORT, "Age", "Body", "Label:")
    second = app("Which of refund, invoice and delivery is the note about? One word.", "Body", "Age", "### Verdict")
    groups, places = found(first, second, count=200)
    assert places[0] == places[1] and len(places[0]) == 1
    group = groups[min(places[0])]
    assert [sorted(t.inputs) for t in group.templates(group.answers)] == [["age", "body"], ["age", "body"]]
    asked, _ = calls([(first, 20), (second, 20)], seed=4)
    for call, said in zip(asked, inputs_of(group, asked), strict=True):
        lines = dict(line.split(": ", 1) for line in call.messages[-1][1].splitlines()[:2])
        assert said == {"age": lines["Age"], "body": lines["Body"]}


# -- different work ---------------------------------------------------------------------------------------------------


def under(told: str, app: App) -> App:
    return lambda rng: ((("system", told), *(asked := app(rng))[0]), asked[1])


def test_different_tasks_under_one_system_prompt_are_apart() -> None:
    intents = under(HELP, shop("Classify the inquiry as delivery, refund or invoice.\nInquiry: TEXT"))
    moods = under(HELP, sentiment("Is this review positive or negative?\nReview: TEXT"))
    groups, (first, second) = found(intents, moods)
    assert first.isdisjoint(second) and len(first) == len(second) == 1
    assert sorted(groups[min(first)].answers.labels) == sorted(LABELS)
    assert sorted(groups[min(second)].answers.labels) == ["negative", "positive"]


@pytest.mark.parametrize("count", [40, 80, 200])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sentiment_in_two_languages_is_two_tasks(count: int, seed: int) -> None:
    english = sentiment("Is this review positive or negative?\nReview: TEXT\nSentiment:")
    japanese = sentiment("次のレビューの感情を positive か negative で答えてください。\nレビュー: TEXT\n感情:", "ja")
    _, (first, second) = found(english, japanese, count=count, seed=seed)
    assert first.isdisjoint(second)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_same_labels_by_another_rule_are_another_task(seed: int) -> None:
    mood = sentiment("Is this review positive or negative?\nReview: TEXT\nSentiment:")

    def sarcasm(rng: random.Random) -> Asked:
        text, _ = opinion(rng)
        ironic = rng.random() < 0.5
        said = f"{'Oh sure, yeah right,' if ironic else 'In earnest, I say:'} {text}"
        return user(f"Sincere (positive) or sarcastic (negative)?\nText: {said}\nAnswer:"), (
            "negative" if ironic else "positive"
        )

    _, (first, second) = found(mood, sarcasm, count=100, seed=seed)
    assert first.isdisjoint(second)


def test_many_small_tasks_with_the_same_two_answers_are_not_thrown_together() -> None:
    letters = random.Random(3)
    words = ["".join(letters.sample("abcdefghijklmnopqrstuvwxyz", 7)) for _ in range(20)]

    def app(number: int) -> App:
        rng = random.Random(number)
        yes, no = words[2 * number], words[2 * number + 1]
        rule = " ".join(rng.sample(words, 5))

        def ask(rng: random.Random) -> Asked:
            answer = rng.random() < 0.5
            said = f"{rng.choice(words[:4])} {yes if answer else no} {rng.randint(1, 999)}"
            return system(f"By the rules of {rule}, say yes or no to the text.", said), "yes" if answer else "no"

        return ask

    _, places = found(*(app(number) for number in range(2, 8)), count=64)
    assert all(a.isdisjoint(b) for i, a in enumerate(places) for b in places[:i])


# -- kinds of work ----------------------------------------------------------------------------------------------------


def test_examples_as_turns_are_fixed_text_and_the_last_message_is_the_input() -> None:
    turns = (("user", "where is it"), ("assistant", "delivery"), ("user", "money back"), ("assistant", "refund"))

    def app(rng: random.Random) -> Asked:
        text, label = shop_text(rng)
        return (("system", SORT), *turns, ("user", text)), label

    group = one(app)
    (template,) = group.templates(group.answers)
    assert [m.pattern for m in template.messages] == [SORT, *(text for _, text in turns), "{{text}}"]


def test_examples_drawn_anew_as_turns_are_no_input() -> None:
    def app(rng: random.Random) -> Asked:
        text, label = shop_text(rng)
        turns = [turn for _ in range(3) for turn in zip(("user", "assistant"), shop_text(rng), strict=True)]
        return (("system", SORT), *turns, ("user", text)), label

    group = one(app)
    (template,) = group.templates(group.answers)
    assert template.inputs == ("text",) and template.messages[-1].pattern == "{{text}}"


def test_examples_drawn_anew_inside_the_prompt_are_no_input() -> None:
    def app(rng: random.Random) -> Asked:
        text, label = shop_text(rng)
        drawn = "\n\n".join("Inquiry: {}\nLabel: {}".format(*shop_text(rng)) for _ in range(3))
        return system(SORT, f"Sort inquiries.\n\n{drawn}\n\nInquiry: {text}\nLabel:"), label

    group = one(app, count=200)
    (template,) = group.templates(group.answers)
    assert template.inputs == ("text",) and template.messages[-1].pattern.endswith("Inquiry: {{text}}\nLabel:")


def test_instructions_may_come_after_the_text() -> None:
    group = one(shop("TEXT\n\nClassify the inquiry above as delivery, refund or invoice. One word only."))
    assert sorted(group.answers.labels) == sorted(LABELS)
    (template,) = group.templates(group.answers)
    assert template.messages[0].pattern.startswith("{{text}}\n\nClassify the inquiry above")


def test_numbers_are_estimated_from_all_fields_that_vary() -> None:
    def app(rng: random.Random) -> Asked:
        rooms, area, town = rng.randint(1, 6), rng.randint(20, 200), rng.choice(["Ely", "York", "Bath"])
        said = f"Estimate the price. Number only.\nRooms: {rooms}\nArea: {area}\nTown: {town}\nPrice:"
        return user(said), f"${area * 3000 + rooms * 10000 + rng.randint(0, 5000):,}"

    group = one(app)
    assert group.kind == "estimate_values"
    (template,) = group.templates(group.answers)
    assert template.inputs == ("rooms", "area", "town")


def test_numbers_that_the_label_depends_on_are_inputs_and_others_are_not() -> None:
    def loan(rng: random.Random) -> Asked:
        children = rng.randint(0, 5)
        said = f"Age: {rng.randint(18, 80)}\nChildren: {children}\nDate: 2026-05-{rng.randint(1, 28)}\nDecision:"
        return system("Decide on the loan: approve or refuse. One word.", said), "approve" if children < 3 else "refuse"

    group = one(loan, count=300)
    (template,) = group.templates(group.answers)
    assert template.inputs == ("text",) and "Children: {{text}}\n" in template.messages[-1].pattern


def test_stars_are_labels() -> None:
    def app(rng: random.Random) -> Asked:
        text, good = opinion(rng)
        return user(f"How many stars, 1 to 5, does this give? Number only.\nReview: {text}"), str(
            rng.choice((4, 5) if good else (1, 2))
        )

    group = one(app)
    assert group.kind == "classify_text" and sorted(group.answers.labels) == ["1", "2", "4", "5"]


@pytest.mark.parametrize("fence", ["{}", "```sql\n{};\n```"])
def test_queries_are_one_task_however_alike_some_are(fence: str) -> None:
    def app(rng: random.Random) -> Asked:
        table, column, most = rng.choice(["people", "cars"]), rng.choice(["name", "price", "year"]), rng.randint(1, 99)
        told = "Write one query in SQL for the tables people(name, year) and cars(price, year)."
        said = f"{told}\nQuestion: which {column} of {table} is above {most}?\nSQL:"
        return user(said), fence.replace("{}", f"SELECT {column} FROM {table} WHERE {column} > {most}")

    group = one(app)
    assert group.kind == "generate_text" and group.answers.sql


def test_fields_in_json_are_extracted_with_their_schema() -> None:
    def app(rng: random.Random) -> Asked:
        shop_name = f"{rng.choice(['Moon', 'Sun', 'Old'])} {rng.choice(['Mart', 'Mill', 'Store'])}"
        total, number = rng.randint(100, 9999) / 100, rng.randint(1, 999)
        reply = {"shop": shop_name, "total": total, "number": number if rng.random() < 0.7 else None}
        return system(
            "Extract shop, total and number as JSON.", f"{shop_name}\nNo {number}\nTOTAL {total}"
        ), json.dumps(reply)

    group = one(app)
    assert group.kind == "extract_fields" and group.answers.schema is not None
    assert group.answers.schema["properties"] == {
        "shop": {"type": "string"},
        "total": {"type": "number"},
        "number": {"type": ["null", "number"]},
    }
    assert group.answers.schema["required"] == ["shop", "total", "number"]


FACTS = [
    "The harbour opened in {} after the old quay had collapsed during a storm.",
    "Members pay {} dollars each quarter and may bring two visitors along.",
    "Every lantern carries a number between one and {} on its brass base.",
    "The archive keeps letters for {} years before they are destroyed.",
    "Trains towards the glacier leave from platform {} on weekdays only.",
]
QUESTIONS = [
    "When did the harbour open?",
    "What do members pay?",
    "What is on a lantern?",
    "How long are letters kept?",
]


def documents(rng: random.Random) -> Asked:
    facts = [fact.format(rng.randint(2, 2000)) for fact in FACTS]
    number = rng.randrange(len(QUESTIONS))
    text = "\n".join(rng.sample(facts, len(facts)))
    told = "Answer the question from the documents only."
    return system(told, f"Documents:\n{text}\n\nQuestion: {QUESTIONS[number]}"), facts[number]


def test_documents_and_a_question_are_told_from_other_text() -> None:
    assert one(documents).kind == "answer_from_documents"

    def rewritten(rng: random.Random) -> Asked:
        asked, _ = documents(rng)
        return asked, (talk(rng)[1] or "")

    assert one(rewritten).kind == "generate_text"


def test_japanese_prompts() -> None:
    group = one(
        sentiment("次のレビューが肯定か否定かを判定し、一語で答えてください。\n「TEXT」\n答え:", "ja", ("肯定", "否定"))
    )
    assert sorted(group.answers.labels) == ["否定", "肯定"]
    (template,) = group.templates(group.answers)
    assert template.is_specific and template.inputs == ("text",)


def test_calls_of_tools_have_no_text_to_learn_from_and_are_no_labels() -> None:
    group = one(lambda rng: (system("You route messages of a shop with tools.", shop_text(rng)[0]), None))
    assert group.kind not in ("classify_text", "chat") and not group.answers.labels


def test_free_talk_is_one_thing_with_whatever_friendly_words_it_begins() -> None:
    def kind_talk(rng: random.Random) -> Asked:
        return system("You are a helpful assistant. Answer in a friendly tone.", talk(rng)[0][0][1]), talk(rng)[1]

    asked, _ = calls([(kind_talk, 60), (talk, 60)])
    grouping = Grouping(asked)
    assert {grouping.groups[grouping.place(call)].kind for call in asked} == {"chat"}


# -- how a gateway reads it -------------------------------------------------------------------------------------------


def test_what_users_often_begin_with_is_no_wording_of_its_own() -> None:
    def app(rng: random.Random) -> Asked:
        text, label = shop_text(rng)
        greeting = "Good day to the whole team of the shop!\n" if rng.random() < 0.12 else ""
        return system(SORT, greeting + text), label

    group = one(app, count=300)
    asked, _ = calls([(app, 50)], seed=3)
    assert [said and said["text"] for said in inputs_of(group, asked)] == [call.messages[-1][1] for call in asked]


def test_what_users_ask_again_and_again_is_no_task_of_its_own() -> None:
    canned = [
        ("please correct my bill!", "invoice"),
        ("where is my parcel?", "delivery"),
        ("I want my money back!", "refund"),
    ]

    def app(rng: random.Random) -> Asked:
        text, label = rng.choice(canned) if rng.random() < 0.4 else shop_text(rng)
        return system(SORT, f"{text} {rng.choice('abcdefg')}{rng.randint(1, 9999)}"), label

    group = one(app, count=300)
    asked, _ = calls([(app, 50)], seed=3)
    assert [said and said["text"] for said in inputs_of(group, asked)] == [call.messages[-1][1] for call in asked]


def test_of_two_wordings_that_a_call_fits_the_one_that_says_more_reads_it() -> None:
    plain, marked = shop("TEXT", SORT), shop("Message: TEXT\nLabel:", SORT)
    groups, places = found(plain, marked, count=150)
    assert places[0] == places[1]
    group = groups[min(places[0])]
    assert group.inputs(call_of("Message: it is late\nLabel:", SORT)) == {"text": "it is late"}
    assert group.inputs(call_of("it is late", SORT)) == {"text": "it is late"}
    assert group.inputs(call_of("it is late", "Tell a joke.")) is None


def call_of(said: str, told: str) -> Call:
    return Call(id="x", messages=system(told, said), reply=None)


# -- every call once, and the same again ------------------------------------------------------------------------------


def mixed() -> list[tuple[App, int]]:
    return [
        (shop("Message: TEXT\nLabel:", dated), 90),
        (under(HELP, sentiment("Is this review positive or negative?\nReview: TEXT")), 70),
        (sentiment("次の感情を positive か negative で。\nレビュー: TEXT\n感情:", "ja"), 60),
        (documents, 50),
        (talk, 50),
    ]


def parts(asked: Sequence[Call], grouping: Grouping) -> set[frozenset[str]]:
    """Which calls are together."""
    made: defaultdict[int, set[str]] = defaultdict(set)
    for call in asked:
        made[grouping.place(call)].add(call.id)
    return {frozenset(part) for part in made.values()}


def test_every_call_has_one_place_and_the_largest_task_comes_first() -> None:
    asked, truth = calls(mixed())
    grouping = Grouping(asked)
    counts = Counter(grouping.place(call) for call in asked)
    assert sum(counts.values()) == len(asked) and -1 not in counts
    assert sorted(counts) == list(range(len(grouping.groups))) and len(counts) == len(set(truth))
    assert [counts[place] for place in range(len(counts))] == sorted(counts.values(), reverse=True)


def test_the_same_calls_in_any_order_make_the_same_tasks() -> None:
    asked, _ = calls(mixed())
    expected = parts(asked, Grouping(asked))
    assert len(expected) == 5
    for seed in range(3):
        shuffled = list(asked)
        random.Random(seed).shuffle(shuffled)
        assert parts(asked, Grouping(shuffled)) == expected


def test_what_is_phrased_like_nothing_that_was_seen_has_no_place() -> None:
    asked, _ = calls(mixed()[:2])
    grouping = Grouping(asked)
    assert grouping.place(Call(id="x", messages=system("Translate into Latin.", "hello"), reply="salve")) == -1


# -- the sample -------------------------------------------------------------------------------------------------------


def numbered(count: int, told: Callable[[int], str]) -> Iterator[Call]:
    for i in range(count):
        yield Call(id=str(i), messages=system(told(i), "x"), reply="y")


def test_a_sample_is_even_in_order_and_has_some_of_every_application() -> None:
    rare = {5000, 6000, 7000}
    drawn = draw(numbered(20_000, lambda i: "rare one" if i in rare else "usual one"), size=500, seed=1)
    places = [int(call.id) for call in drawn]
    assert places == sorted(set(places)) and rare <= set(places)
    assert 500 <= len(drawn) <= 500 + 64 + len(rare)
    assert abs(sum(place < 10_000 for place in places) / len(places) - 0.5) < 0.1
    assert draw(numbered(20_000, lambda i: "usual one"), size=500, seed=2) != drawn
    assert draw(numbered(300, str), size=500) == list(numbered(300, str))


def test_a_sample_is_bounded_however_many_prompts_there_are_and_however_long_they_are() -> None:
    drawn = draw(numbered(20_000, lambda i: f"{i:06} {'x' * (100_000 if i < 20 else 1)}"), size=300)
    assert 300 <= len(drawn) <= 600
    assert max(len(text) for call in drawn for _, text in call.messages) <= 20_000


# -- anything at all --------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["", " ", "\n", "a", "#", "7", "{{text}}", "{", "}", '"', "「", "：", ": ", "。", "\x00", "é"])
TEXTS = st.lists(WORDS, max_size=6).map("".join)
MESSAGES = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), TEXTS), min_size=1, max_size=4)
CALLS = st.lists(st.tuples(MESSAGES, st.none() | TEXTS), min_size=1, max_size=5)


@given(CALLS, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_no_calls_break_the_grouping(drawn: list[tuple[list[tuple[str, str]], str | None]], times: int) -> None:
    asked = [
        Call(id=f"{i}.{j}", messages=tuple(messages), reply=reply)
        for j in range(times)
        for i, (messages, reply) in enumerate(drawn)
    ]
    grouping = Grouping(asked)
    for call in asked:
        place = grouping.place(call)
        assert -1 <= place < len(grouping.groups)
        if place >= 0:
            group = grouping.groups[place]
            said = group.inputs(call)
            assert said is None or set(said) == set(group.templates(group.answers)[0].inputs)


def test_a_message_of_a_megabyte_and_one_giant_line() -> None:
    text = "word " * (LONGEST // 5 - 1000)
    asked = [
        Call(id=str(i), messages=system(SORT, f"{text}{i} {shop_text(random.Random(i))[0]}"), reply=LABELS[i % 3])
        for i in range(12)
    ]
    grouping = Grouping(draw(asked))
    assert {grouping.place(call) for call in asked} == {0}


def test_json_with_one_open_field_is_an_extraction() -> None:
    rng = random.Random(0)
    made = []
    for number in range(120):
        name = f"{rng.choice(['Alder', 'Birch', 'Cedar', 'Dogwood', 'Elm'])} {rng.randrange(10_000)} Ltd"
        text = f"Invoice {number} from {name}, payable in thirty days."
        reply = json.dumps({"supplier": name})
        prompt = (("system", "Name the supplier of this invoice as JSON with the key supplier."), ("user", text))
        made.append(Call(id=str(number), messages=prompt, reply=reply))
    (group,) = Grouping(made).groups
    assert group.kind == "extract_fields"
    assert group.answers.schema is not None and list(group.answers.schema["properties"]) == ["supplier"]


def test_tasks_that_only_the_first_word_of_the_message_tells_apart() -> None:
    rng, made = random.Random(2), []
    told = "You are the desk's bot. The first word of a message is a command; carry it out on the rest."
    for number in range(600):
        words = " ".join(rng.choice(["a", "strange", "fine", "long", "dull", "bright", "quiet"]) for _ in range(6))
        sort, label = (
            ("tone", rng.choice(["good", "bad"])) if number % 2 else ("size", rng.choice(["big", "small", "odd"]))
        )
        messages = (("system", told), ("user", f"{sort} {words} {label}"))
        made.append(Call(id=str(number), messages=messages, reply=label))
    grouping = Grouping(made)
    placed = {sort: {grouping.place(c) for c in made if c.messages[1][1].startswith(sort)} for sort in ("tone", "size")}
    assert [len(groups) for groups in placed.values()] == [1, 1] and placed["tone"] != placed["size"]
    templates = [group.wordings[0].template for group in grouping.groups]
    assert {t.messages[1].pattern for t in templates if t is not None} == {"tone {{text}}", "size {{text}}"}
