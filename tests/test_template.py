"""Templates: patterns with slots, the shape of replies, and the template behind recorded conversations."""

from __future__ import annotations

import json
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rows import rows
from shokunin.errors import TaskError
from shokunin.task import task_from_dict
from shokunin.template import Template, TemplateMessage, template_from_dict, text_of
from shokunin.template.found import Conversation, share_of, template_of
from shokunin.template.pattern import LONGEST, escape, parse
from shokunin.template.reply import LONGEST_REPLY, shape_of

TEXT = st.text(st.sampled_from("ab \n:{}\\_\u3042"), max_size=12)
NAMES = st.lists(st.sampled_from(["a", "b_2", "text", "_x", "件名"]), min_size=1, max_size=4)
SHOP = "You sort messages of our shop. The labels: parcel_status, refund, other."


def template(*messages: tuple[str, str], **more: Any) -> Template:
    return Template(tuple(TemplateMessage(role, pattern) for role, pattern in messages), **more)


def said(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


# -- patterns ---------------------------------------------------------------------------------------------------------


@given(st.data())
@settings(deadline=None)
def test_a_pattern_says_what_it_was_made_of_and_finds_what_it_was_filled_with(data: st.DataObject) -> None:
    names = data.draw(NAMES)
    literals = [data.draw(TEXT), *(data.draw(TEXT.filter(bool)) for _ in names[1:]), data.draw(TEXT)]
    parts = [escape(literals[0], slot_follows=True)]
    for i, (name, literal) in enumerate(zip(names, literals[1:], strict=True), 1):
        parts += ["{{" + name + "}}", escape(literal, slot_follows=i < len(names))]
    pattern = parse("".join(parts))
    assert (pattern.literals, pattern.slots) == (tuple(literals), tuple(names))
    assert parse(str(pattern)) == pattern
    values = {name: data.draw(TEXT) for name in names}
    filled = pattern.fill(values)
    found = pattern.match(filled)
    if len(set(names)) == len(names):
        assert found is not None  # the first place of a literal always leaves room for those after it
        assert pattern.fill(found) == filled
        clear = all(literal not in value for literal in literals[1:-1] for value in values.values())
        if clear and len(names) <= 2 and len(set("".join(literals[1:-1])) & set("".join(values.values()))) == 0:
            assert found == values
    else:
        assert found is None or pattern.fill(found) == filled


@given(TEXT)
@settings(deadline=None)
def test_any_text_can_be_written_as_a_literal(text: str) -> None:
    pattern = parse(escape(text))
    assert (pattern.literals, pattern.slots) == ((text,), ())
    assert pattern.match(text) == {}
    assert pattern.match(text + "x") is None


@pytest.mark.parametrize(
    ("written", "text", "values"),
    [
        ("Text: {{text}}\nLabel:", "Text: where is it?\nLabel:", {"text": "where is it?"}),
        ("Text: {{text}}\nLabel:", "Text: where is it?\nLabel: ", None),
        ("Text: {{text}}\nLabel:", "text: where is it?\nLabel:", None),
        ("{{a}}, {{b}}", "x, y, z", {"a": "x", "b": "y, z"}),
        ("{{a}}!", "!", {"a": ""}),
        ("ab{{a}}bc", "abc", None),  # the literals may not share a character
        ('{"text": "{{text}}"}', '{"text": "{"}', {"text": "{"}),
        (r"write \{{name}} for {{x}}", "write {{name}} for me", {"x": "me"}),
        (r"C:\\{{file}}", r"C:\a.txt", {"file": "a.txt"}),
        ("{{a}} and {{a}}", "x and x", {"a": "x"}),
        ("{{a}} and {{a}}", "x and y", None),
        ("{{件名}}。", "件名。", {"件名": "件名"}),
        ("{{ text }}", "{{ text }}", {}),
    ],
)
def test_patterns(written: str, text: str, values: dict[str, str] | None) -> None:
    assert parse(written).match(text) == values


def test_slots_that_touch_and_endless_patterns_are_refused() -> None:
    with pytest.raises(TaskError, match="'a' and 'b' touch"):
        parse("x {{a}}{{b}}")
    with pytest.raises(TaskError, match="at most 1,000,000 characters"):
        parse("x" * (LONGEST + 1))
    with pytest.raises(TaskError, match="slot 'a' of the template has no value"):
        parse("x {{a}}").fill({"b": "x"})


def test_a_text_full_of_near_misses_does_not_take_long() -> None:
    pattern = parse("".join(f"a{{{{s{i}}}}}b" for i in range(50)) + "c")
    assert pattern.match("ab" * (LONGEST // 2 - 1) + "d") is None
    assert pattern.match("a" + "ab" * (LONGEST // 2 - 2) + "bc") is not None
    assert pattern.match("a" * (LONGEST + 1)) is None


# -- templates --------------------------------------------------------------------------------------------------------


def test_a_request_is_matched_and_made_again() -> None:
    asked = template(("system", SHOP), ("user", "Subject: {{subject}}\nBody: {{body}}"))
    messages = asked.render({"subject": "hi", "body": "where is it?"})
    assert messages == [said("system", SHOP), said("user", "Subject: hi\nBody: where is it?")]
    assert asked.match(messages) == {"subject": "hi", "body": "where is it?"} == asked.inputs_in(messages)
    assert asked.inputs == ("subject", "body")
    assert asked.match([said("developer", SHOP), messages[1]]) is not None
    parts = [{"type": "text", "text": "Subject: hi"}, {"type": "text", "text": "Body: x"}]
    assert asked.match([messages[0], said("user", parts)]) == {"subject": "hi", "body": "x"}


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [said("user", "Text: x")],
        [said("system", SHOP), said("user", "Text: x"), said("user", "more")],
        [said("system", SHOP + " "), said("user", "Text: x")],
        [said("user", SHOP), said("user", "Text: x")],
        [said("system", SHOP), said("user", "text: x")],
        [said("system", SHOP), said("user", None)],
        [said("system", SHOP), said("user", [])],
        [said("system", SHOP), said("user", [{"type": "image_url", "image_url": {"url": "x"}}])],
        [said("system", SHOP), said("user", [{"type": "text", "text": 3}])],
        [said("system", SHOP), {"role": "user", "content": "Text: x", "tool_calls": [{"id": "1"}]}],
        [said("system", SHOP), "Text: x"],
        [said("system", SHOP), {"content": "Text: x"}],
    ],
)
def test_what_is_phrased_otherwise_does_not_match(messages: list[Any]) -> None:
    asked = template(("system", SHOP), ("user", "Text: {{text}}"))
    assert asked.match([said("system", SHOP), said("user", "Text: x")]) is not None
    assert asked.match(messages) is None


def test_slots_that_are_no_input() -> None:
    asked = template(("system", "Today is {{_date}}. Sort."), ("user", "{{text}}"))
    assert asked.inputs == ("text",)
    assert asked.inputs_in([said("system", "Today is Monday. Sort."), said("user", "x")]) == {"text": "x"}
    with pytest.raises(TaskError, match="slot '_date'"):
        asked.render({"text": "x"})
    with pytest.raises(TaskError, match="no slot for the input"):
        template(("system", "Today is {{_date}}."), ("user", "Go."))


def test_one_slot_in_two_messages_stands_for_one_text() -> None:
    asked = template(("system", "About {{text}}."), ("user", "{{text}}"))
    assert asked.match([said("system", "About x."), said("user", "x")]) == {"text": "x"}
    assert asked.match([said("system", "About x."), said("user", "y")]) is None


@pytest.mark.parametrize(
    ("messages", "specific"),
    [
        ([("user", "{{text}}")], False),
        ([("system", "You are a helpful assistant."), ("user", "{{text}}")], False),
        ([("system", "You are a helpful AI assistant"), ("user", "Q: {{text}}")], False),
        ([("user", "Text: {{text}}\nA:")], False),
        ([("user", "--------------------{{text}}")], False),
        ([("system", SHOP), ("user", "{{text}}")], True),
        ([("user", "次の問い合わせを四つの種類に分類してください：{{text}}")], True),
    ],
)
def test_whether_a_template_can_be_told_from_other_talk(messages: list[tuple[str, str]], specific: bool) -> None:
    assert template(*messages).is_specific is specific


def test_there_and_back_through_plain_values() -> None:
    asked = template(
        ("system", SHOP),
        ("user", r"\{{x}} {{text}}"),
        models=("gpt-4o-mini", "gpt-4o"),
        reply='{"intent": "{{answer}}"}',
        spellings={"other": '{"intent": null}'},
    )
    plain = json.loads(json.dumps(asked.to_dict()))
    assert template_from_dict(plain) == asked
    assert hash(template_from_dict(plain)) == hash(asked)
    assert asked.to_dict()["messages"][0] == {"role": "system", "pattern": SHOP}
    bare = template(("user", "{{text}}"))
    assert bare.to_dict() == {"messages": [{"role": "user", "pattern": "{{text}}"}]}
    assert template_from_dict({"messages": [{"role": "developer", "pattern": "{{text}}"}]}).roles == ("system",)


def test_the_fingerprint_names_the_wording() -> None:
    asked = template(("system", SHOP), ("user", "{{text}}"))
    assert asked.fingerprint == template(("system", SHOP), ("user", "{{text}}"), models=("gpt",)).fingerprint
    others = [
        (("system", SHOP), ("user", " {{text}}")),
        (("user", SHOP), ("user", "{{text}}")),
        (("system", SHOP + "{{text}}"),),
    ]
    assert len({asked.fingerprint, *(template(*other).fingerprint for other in others)}) == 4
    assert len(asked.fingerprint) == 16 and int(asked.fingerprint, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": None}, "no list of `messages`"),
        ({"messages": []}, "1 to 100 messages, not 0"),
        ({"messages": ["x"]}, "is a table with the keys role, pattern"),
        ({"messages": [{"role": "user", "content": "x"}]}, "unknown key 'content'"),
        ({"messages": [{"role": "user"}]}, "a `role` and a `pattern`"),
        ({"messages": [{"role": "tool", "pattern": "{{text}}"}]}, "unknown role 'tool'"),
        ({"messages": [{"role": "user", "pattern": "{{a}}{{b}}"}]}, "touch"),
        ({"messages": [{"role": "user", "pattern": "x"}]}, "no slot for the input"),
        ({"model": "gpt"}, "unknown key 'model' in template.*did you mean 'models'"),
        ({"models": "gpt"}, "'models' in template is a list"),
        ({"models": [""]}, "'models' in template is a list"),
        ({"reply": 3}, "'reply' in template is a text"),
        ({"reply": "no slot"}, "expected just one, {{answer}}"),
        ({"reply": "{{answer}} {{answer}}"}, "expected just one, {{answer}}"),
        ({"spellings": ["x"]}, "'spellings' in template maps answers"),
        ({"spellings": {"x": ""}}, "'spellings' in template maps answers"),
    ],
)
def test_plain_values_that_are_no_template(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        template_from_dict({"messages": [{"role": "user", "pattern": "{{text}}"}], **change})
    with pytest.raises(TaskError, match=r"'task\.toml' is a table with the keys"):
        template_from_dict(["x"], where="'task.toml'")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("x", "x"),
        ([{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}], "a\nb"),
        (None, None),
        (["a"], None),
        ([{"type": "text"}], None),
    ],
)
def test_the_text_of_a_message(content: Any, text: str | None) -> None:
    assert text_of(content) == text


# -- replies ----------------------------------------------------------------------------------------------------------

SHAPES = [
    "{{answer}}",
    "Category: {{answer}}",
    "The label is {{answer}}.",
    '"{{answer}}"',
    "<label>{{answer}}</label>",
    '{"intent": "{{answer}}"}',
    '{\n  "intent": "{{answer}}",\n  "version": 1\n}',
    '{"result": [{"label": "intent: {{answer}}"}]}',
    '{"intent": {{answer}}}',
    '["{{answer}}"]',
    '```json\n{"intent": "{{answer}}"}\n```',
    r"\{{answer}} is {{answer}}",
]


@pytest.mark.parametrize("shape", SHAPES)
@given(
    answer=st.one_of(
        st.sampled_from(["refund", "5", "true", "null", "a/b", 'say "hi"', "払い戻し"]), st.text(max_size=20)
    )
)
@settings(deadline=None)
def test_what_is_written_is_read(shape: str, answer: str) -> None:
    assume(answer == answer.strip() and answer and answer == answer.replace("\ue000", ""))
    assume("```" not in answer)
    reply = shape_of(shape)
    written = reply.write(answer)
    if shape == "{{answer}}":
        assert written == answer
    if reply.is_json:
        json.loads(written)
    if shape != '{"intent": {{answer}}}' or (answer not in ("null", "NaN") and not _number(answer)):
        assert reply.read(written) == answer


def _number(text: str) -> bool:
    try:
        return isinstance(json.loads(text), int | float | list | dict | None)
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("shape", "reply", "answer"),
    [
        ("Category: {{answer}}", "category:  Refund ", "Refund"),
        ("Category: {{answer}}", "```\nCategory: refund\n```", "refund"),
        ("Category: {{answer}}", "It is a refund.", None),
        ("The label is {{answer}}.", "the label is refund", "refund"),
        ("{{answer}}", "  ", None),
        ('{"intent": "{{answer}}"}', '```json\n{ "intent" : "refund" }\n```', "refund"),
        ('{"intent": "{{answer}}"}', '{"confidence": 0.9, "intent": "refund", "why": "money"}', "refund"),
        ('{"intent": "{{answer}}"}', 'Here you are: {"intent": "refund"} Anything else?', "refund"),
        ('{"intent": "{{answer}}"}', '{"label": "refund"}', None),
        ('{"intent": "{{answer}}"}', '{"intent": null}', None),
        ('{"intent": "{{answer}}"}', '{"intent": ["refund"]}', None),
        ('{"intent": "{{answer}}"}', '["refund"]', None),
        ('{"intent": "{{answer}}"}', '"refund"', None),
        ('{"intent": "{{answer}}"}', '{"intent": "refund"', None),
        ('{"intent": "{{answer}}"}', "[" * 100_000, None),
        ('{"stars": {{answer}}}', '{"stars": 5}', "5"),
        ('{"spam": {{answer}}}', '{"spam": true}', "true"),
        ("{{answer}}", "x" * (LONGEST_REPLY + 1), None),
    ],
)
def test_replies_are_read_with_tolerance(shape: str, reply: str, answer: str | None) -> None:
    assert shape_of(shape).read(reply) == answer


@pytest.mark.parametrize(
    ("shape", "is_json"),
    [(shape, shape.startswith(("{\n", '{"', "["))) for shape in SHAPES],
)
def test_which_replies_are_json(shape: str, is_json: bool) -> None:
    assert template(("user", "{{text}}"), reply=shape).is_json is is_json


def test_answers_with_a_spelling_of_their_own() -> None:
    asked = template(("user", "{{text}}"), reply="Category: {{answer}}", spellings={"other": "No category"})
    assert (asked.write("other"), asked.write("refund")) == ("No category", "Category: refund")
    assert (asked.read("No category\n"), asked.read("Category: refund")) == ("other", "refund")


# -- found in conversations -------------------------------------------------------------------------------------------


def recorded(system: str | None, user: str, reply: str, count: int = 200, model: str = "") -> list[Conversation]:
    """Conversations of an invented shop; `@` in the wordings is where text and label go."""
    made = []
    for row in rows(count):
        messages = [said("user", user.replace("@", row["text"]))]
        if system is not None:
            messages.insert(0, said("system", system))
        made.append(Conversation(messages, reply.replace("@", row["label"]), model))
    return made


@pytest.mark.parametrize("count", [8, 200])
@pytest.mark.parametrize(
    ("system", "user", "reply"),
    [
        (None, "@", "@"),
        (SHOP, "@", "@"),
        (SHOP, "Text: @\nLabel:", "@"),
        (SHOP, '"@"', '{"intent": "@"}'),
        ("You are {{name}}. \\", "Classify this message of a customer:\n\n```\n@\n```\n\nOne word.", "Category: @"),
        (
            None,
            "Which one is it: parcel_status, refund or other?\n<text>@</text>\nAnswer with one.",
            "<label>@</label>",
        ),
        (SHOP, "次の問い合わせ：@", '```json\n{"intent": "@", "version": 2}\n```'),
        (SHOP, "@", "The label is @."),
    ],
)
def test_the_wording_of_conversations_is_found(system: str | None, user: str, reply: str, count: int) -> None:
    conversations = recorded(system, user, reply, count)
    found = template_of(conversations)
    assert found is not None
    assert found.inputs == ("text",)
    assert found.reply == escape(reply).replace("@", "{{answer}}")
    patterns = [*([escape(system)] if system else []), escape(user).replace("@", "{{text}}")]
    assert [m.pattern for m in found.messages] == patterns
    assert share_of(found, conversations) == 1
    for one, row in zip(conversations, rows(count), strict=True):
        assert found.inputs_in(one.messages) == {"text": row["text"]}
        assert found.read(one.reply or "") == row["label"]
        assert found.write(row["label"]) == one.reply


def test_fields_become_slots_that_are_named_after_what_stands_before_them() -> None:
    draw = random.Random(0)
    conversations = [
        Conversation(
            [
                said("system", f"Today is 2026-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}. Sort the tickets."),
                said(
                    "user", f"Subject: {row['text'][:12]}\nBody: {row['text']}\n\nCustomer level: {draw.randint(1, 99)}"
                ),
            ],
            row["label"],
        )
        for row in rows(300)
    ]
    found = template_of(conversations)
    assert found is not None
    assert found.messages[0].pattern == "Today is {{_system}}. Sort the tickets."
    assert found.messages[1].pattern == "Subject: {{subject}}\nBody: {{body}}\n\nCustomer level: {{customer_level}}"
    assert found.inputs == ("subject", "body", "customer_level")


def test_examples_in_the_prompt_are_fixed_text() -> None:
    shots = [said("system", SHOP), said("user", "my money back"), said("assistant", "refund")]
    conversations = [Conversation([*shots, said("user", row["text"])], row["label"]) for row in rows(50)]
    found = template_of(conversations)
    assert found is not None
    assert [m.pattern for m in found.messages] == [SHOP, "my money back", "refund", "{{text}}"]


def test_a_few_that_are_phrased_otherwise_do_not_matter() -> None:
    usual = recorded(SHOP, "Text: @\nLabel:", "@", 90, "gpt-4o-mini")
    strays = [
        *recorded("Another prompt.", "Text: @\nLabel:", "@", 5, "gpt-4o"),
        *recorded(None, "hello, @", "Good day! How can I help?", 5),
    ]
    mixed = [*usual, *strays]
    random.Random(0).shuffle(mixed)
    found = template_of(mixed)
    assert found is not None
    assert [m.pattern for m in found.messages] == [SHOP, "Text: {{text}}\nLabel:"]
    assert found.models == ("gpt-4o-mini",)
    assert share_of(found, mixed) == 0.9


@pytest.mark.parametrize(
    "conversations",
    [
        [],
        recorded(SHOP, "@", "@", 4),
        recorded(SHOP, "the same each time", "@"),
        recorded(SHOP, "@", "@", 40) + recorded(None, "@", "@", 41) + recorded("Three", "a @", "@", 40),
        [Conversation([said("user", [{"type": "image_url", "image_url": {}}])], "x")] * 20,
        [  # a reply with a reason for each answer could not be made up
            Conversation([said("user", row["text"])], json.dumps({"intent": row["label"], "why": row["text"]}))
            for row in rows(50)
        ],
    ],
    ids=["none", "few", "constant", "three wordings", "images", "several things in a reply"],
)
def test_where_there_is_no_one_wording(conversations: list[Conversation]) -> None:
    assert template_of(conversations) is None


def test_words_that_happen_to_be_shared_are_no_frame() -> None:
    labels = ["card_lost", "card_stolen"]
    conversations = [
        Conversation([said("user", f"My {thing} is gone")], labels[i % 2])
        for i, thing in enumerate(["card", "money", "bag", "phone", "key", "car", "cat", "ring"])
    ]
    found = template_of(conversations)
    assert found is not None
    assert (found.messages[0].pattern, found.reply) == ("{{text}}", "{{answer}}")


def test_an_answer_with_a_spelling_of_its_own_is_noticed() -> None:
    replies = [f"Category: label {i % 20}" if i % 20 else "category:  label 0" for i in range(100)]
    texts = [row["text"] for row in rows(100)]
    conversations = [Conversation([said("user", text)], reply) for text, reply in zip(texts, replies, strict=True)]
    found = template_of(conversations)
    assert found is not None
    assert found.reply == "Category: {{answer}}"
    assert found.spellings == {"label 0": "category:  label 0"}
    assert (found.write("label 0"), found.read("category:  label 0")) == ("category:  label 0", "label 0")


def test_known_labels_are_taken_as_they_are() -> None:
    conversations = [Conversation([said("user", row["text"])], "intent: " + row["label"]) for row in rows(50)]
    labels = sorted({c.reply or "" for c in conversations})
    assert (bare := template_of(conversations, labels)) is not None and bare.reply == "{{answer}}"
    assert (framed := template_of(conversations)) is not None and framed.reply == "intent: {{answer}}"


def test_the_example_for_task_files_is_a_template() -> None:
    page = (Path(__file__).parents[1] / "docs" / "templates.md").read_text(encoding="utf-8")
    toml = page.partition("```toml\n")[2].partition("```")[0]
    task = task_from_dict(tomllib.loads(toml))
    assert task.template is not None and task.template.is_specific and task.template.is_json
    messages = task.template.render({"text": "where is it?"})
    assert messages[1]["content"] == "Message:\nwhere is it?\n\nIntent:"
    assert f"reply == {task.template.reply!r}" in page.replace('\\"', '"')
    further = page.partition("```toml\n[[wordings]]")[2].partition("```")[0]
    both = task_from_dict(tomllib.loads(f"{toml}\n[[wordings]]{further}"))
    assert [t.reply for t in both.templates] == ['{"intent": "{{answer}}"}', "Category: {{answer}}"]
