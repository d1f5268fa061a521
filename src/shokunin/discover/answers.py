"""What the answers are: labels of a closed set, fields of one schema, numbers, SQL or other text; told from the replies alone."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from shokunin.discover.numbers import number_of
from shokunin.template.labels import find_label, names, plain
from shokunin.template.reply import shape_of, unfenced
from shokunin.template.reply_found import BARE, reply_of

WORK = CLASSIFY, EXTRACT, ESTIMATE, GENERATE, DOCUMENTS, CHAT = (
    "classify_text", "extract_fields", "estimate_values", "generate_text", "answer_from_documents", "chat",
)  # fmt: skip
"""What replies can be: the kinds of work that replies show, whether there is a specialist for them yet or not, and talk."""
SHORT = "short"
"""Short answers, too few of which come twice to say whether they are a closed set; a larger group may tell."""
JSON_SHARE, NUMBER_SHARE, SQL_SHARE, CLOSED_SHARE = 0.8, 0.85, 0.8, 0.8
LISTED_SHARE = 0.8
"""Of the answers so many must be named by the prompt for its words to be the list of labels."""
LONGEST_LABEL = 80
SENTENCE, WORDY, OFTEN = 30, 3, 0.05
"""What has more characters, and is so many times as long as any label of more than this share of the answers, is a sentence."""
FEWEST_EACH = 4
"""Answers for each label on average; with fewer, one cannot say that the set is closed."""
MOST_NUMBERS = 12
"""So many different numbers may still be labels, such as one to five stars."""
RARE = 0.02
"""A label that comes less often than this share of the usual one is a slip of the model."""
FIELD_SHARE = 0.02
VARIANT = 5
"""A form that names another which is said more than so many times as often is a way to say that one."""
_NO_WORD = re.compile(r"[^\w\s-]+")
_LISTED = re.compile(
    r"\.(?=\s|\Z)|[\n,;:/|、，：・。\"'`()\[\]{}<>「」『』（）]|\b(?:or|and)\b|または|もしくは|か(?=[。\s])"
)
"""What stands between the labels that a prompt lists."""
_SQL = re.compile(
    r"(?is)\s*(?:select\b.+\bfrom\b|with\b.+\bas\s*\(|insert\s+into\b|update\b.+\bset\b|delete\s+from\b|"
    r"create\s+(?:or\s+replace\s+|temp\w*\s+|unique\s+)*(?:table|view|index)\b).+"
)


@dataclass(frozen=True)
class Answers:
    """What a group's replies say.

    Attributes:
        kind: one of the kinds of work, `CHAT` for text that is no pattern, or `SHORT`.
        reply: the pattern of the replies, with `{{answer}}`.
        labels: of a closed set the labels, the commonest first, each in its commonest spelling.
        spellings: of a closed set the plain form of each known spelling, and its label.
        schema: of JSON its schema.
        sql: whether the text is SQL.
        readable: the share of the replies that can be read so.
    """

    kind: str
    reply: str = BARE
    labels: tuple[str, ...] = ()
    spellings: Mapping[str, str] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    sql: bool = False
    readable: float = 1.0

    def read(self, reply: str) -> str | None:
        """The answer in a reply in its usual spelling; None where the reply says something else."""
        return Reading(self)(reply)

    def reader(self) -> Reading:
        """The same for many replies."""
        return Reading(self)


class Reading:
    """Reads replies, which come again and again, once each: called with a reply it gives the answer, or None."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._shape = shape_of(answers.reply)
        self._known: dict[str, str | None] = {}

    def __call__(self, reply: str) -> str | None:
        """The answer in its usual spelling, or None."""
        if len(reply) > 400:
            return self._read(reply)
        if reply not in self._known:
            if len(self._known) > 50_000:
                self._known.clear()
            self._known[reply] = self._read(reply)
        return self._known[reply]

    def _read(self, reply: str) -> str | None:
        one = self._answers
        if one.kind == CLASSIFY:
            said = self._shape.read(reply)
            found = None if said is None else one.spellings.get(plain(said))
            return found or one.spellings.get(plain(reply)) or find_label(reply, one.labels)
        if one.kind == EXTRACT:
            value = json_of(reply)
            return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
        if one.kind == ESTIMATE:
            number = number_of(self._shape.read(reply) or reply)
            return None if number is None else repr(number)
        return reply.strip() or None


def answers_of(replies: Sequence[str], said: str = "") -> Answers:
    """What the replies of one group are.

    Args:
        replies: their texts.
        said: the fixed text of the prompt, which may list the labels.
    """
    texts = [reply.strip() for reply in replies if reply and not reply.isspace()]
    if not texts:
        return Answers(CHAT, readable=0.0)
    objects = [value for text in texts if (value := json_of(text)) is not None]
    if len(objects) >= JSON_SHARE * len(texts):
        return _of_json(texts, objects, said)
    sql = sum(_SQL.fullmatch(unfenced(text)) is not None for text in texts) / len(texts)
    if sql >= SQL_SHARE:  # what queries that ask for nearly the same have in common is no frame around an answer
        return _closed(texts, texts, BARE, said) or Answers(GENERATE, sql=True, readable=sql)
    pattern = _pattern(texts)
    shape = shape_of(pattern)
    told = [shape.read(text) or text for text in texts]
    closed = _closed(texts, told, pattern, said)
    if closed is not None:
        return closed
    numbers = sum(number_of(answer) is not None for answer in told) / len(texts)
    if numbers >= NUMBER_SHARE:
        return Answers(ESTIMATE, pattern, readable=numbers)
    short = _short(told)
    return Answers(SHORT if short else CHAT, pattern if short else BARE)


def json_of(reply: str) -> dict[str, Any] | None:
    """The JSON object that a reply is, in a code fence or not; None if it is none."""
    text = unfenced(reply)
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def schema_of(objects: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of objects: the keys that are not slips, the types that their values have, and which are always there."""
    count = 0
    there: Counter[str] = Counter()
    types: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in objects:
        count += 1
        for key, value in one.items():
            there[key] += 1
            types[key][_type(value)] += 1
    kept = [key for key, n in there.items() if n >= max(2, FIELD_SHARE * count) or count < 3]
    properties = {}
    for key in kept:
        names = [name for name, n in types[key].most_common() if n >= FIELD_SHARE * there[key]]
        properties[key] = {"type": names[0] if len(names) == 1 else sorted(names)}
    always = [key for key in kept if there[key] >= (1 - FIELD_SHARE) * count]
    return {"type": "object", "properties": properties, "required": always}


def closed_set(counts: Mapping[str, int], said: str) -> list[str]:
    """Which plain forms are labels, the commonest first: those that the prompt lists, else those that are not too rare.

    A rare sentence among words, such as a refusal, is no label unless the prompt lists it.

    Args:
        counts: how often each plain form was said.
        said: the fixed text of the prompt.
    """
    total = sum(counts.values())
    forms = sorted(counts, key=lambda form: (-counts[form], form))
    text = _words(said)
    listed = {form for form in forms if form and _words(form) in text}
    if _listed(counts, said):
        usual = [form for form in forms if form in listed]
        least = max(0.01 * total, median(counts[form] for form in usual) / 4, 3)
    else:
        mass, usual, listed = 0, [], set()
        for form in forms:  # the usual label is the one half way through what is said
            mass += counts[form]
            usual.append(form)
            if mass >= 0.9 * total:
                break
        least = max(2, RARE * median(counts[form] for form in usual)) if usual else 2
    most = max([SENTENCE, *(WORDY * len(form) for form in usual if counts[form] >= OFTEN * total)])
    return [
        form for form in forms if form in listed or (counts[form] >= least and len(form) <= min(most, LONGEST_LABEL))
    ]


def _listed(counts: Mapping[str, int], said: str) -> bool:
    """Whether nearly all answers stand in the prompt, which then lists what may be answered, however few answers there are."""
    text = _words(said)
    named = [form for form in counts if form and _words(form) in text]
    return len(named) > 1 and sum(counts[form] for form in named) >= LISTED_SHARE * sum(counts.values())


def _words(text: str) -> str:
    """The words alone, with a space before and after."""
    return f" {plain(_NO_WORD.sub(' ', text))} "


def _pattern(texts: Sequence[str]) -> str:
    """The frame of the replies, without regard to what hardly anybody says."""
    counts = Counter(texts)
    usual, mass = [], 0
    for text, n in counts.most_common():
        if mass >= 0.9 * len(texts):
            break
        usual.append(text)
        mass += n
    return reply_of(usual) or BARE if len(usual) > 1 else BARE


def _closed(texts: Sequence[str], told: Sequence[str], pattern: str, said: str) -> Answers | None:
    """The replies as labels, or None if they are no closed set."""
    spelled: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for answer in told:
        if len(answer) <= LONGEST_LABEL:
            spelled[plain(answer)][answer] += 1
    counts = {form: sum(ways.values()) for form, ways in spelled.items() if form}
    forms = closed_set(counts, said) if counts else []
    mass = sum(counts[form] for form in forms)
    numbers = sum(number_of(form) is not None for form in forms)
    if (
        len(forms) < 2
        or mass < CLOSED_SHARE * len(texts)
        or (len(texts) < FEWEST_EACH * len(forms) and not _listed(counts, said))
        or (numbers > 0.8 * len(forms) and len(forms) > MOST_NUMBERS)
    ):
        return None
    listed = {plain(part) for part in _LISTED.split(said)}
    forms = [form for form in forms if form in listed or not _variant(form, forms, counts)]
    labels = {form: spelled[form].most_common(1)[0][0] for form in forms}
    made = Answers(CLASSIFY, pattern, tuple(labels.values()), labels)
    reader = made.reader()
    return Answers(
        CLASSIFY, pattern, made.labels, labels, readable=sum(reader(t) is not None for t in texts) / len(texts)
    )


def _variant(form: str, forms: Sequence[str], counts: Mapping[str, int]) -> bool:
    """Whether a form is a rare way to say another: `the intent is card arrival`, `sentiment: positive`."""
    return any(
        other != form and VARIANT * counts[form] < counts[other] and len(other) < len(form) and names(form, other)
        for other in forms
    )


def _short(told: Sequence[str]) -> bool:
    """Whether nearly all answers are a few words."""
    return sum(len(answer) <= LONGEST_LABEL / 2 for answer in told) >= CLOSED_SHARE * len(told)


def _of_json(texts: Sequence[str], objects: Sequence[Mapping[str, Any]], said: str) -> Answers:
    """One field that varies within a closed set is a label; anything more are fields."""
    schema = schema_of(objects)
    varying = [
        key for key in schema["properties"] if len({json.dumps(o.get(key), sort_keys=True) for o in objects}) > 1
    ]
    if len(varying) == 1:
        pattern = reply_of([text for text in texts if json_of(text) is not None])
        if pattern is not None:
            shape = shape_of(pattern)
            told = [shape.read(text) or text for text in texts]
            closed = _closed(texts, told, pattern, said)
            if closed is not None:
                return closed
            if _short(told):
                return Answers(SHORT, pattern, schema=schema, readable=len(objects) / len(texts))
    return Answers(EXTRACT, schema=schema, readable=len(objects) / len(texts))


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def said_alike(first: Answers, second: Answers) -> float:
    """The share of the smaller set of labels, or of all fields, that both have, 0 to 1."""
    if first.schema and second.schema:
        a, b = set(first.schema["properties"]), set(second.schema["properties"])
        return len(a & b) / len(a | b) if a | b else 0.0
    a, b = set(first.spellings), set(second.spellings)
    return len(a & b) / min(len(a), len(b)) if a and b else 0.0


def leaves(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of an object as texts; what is null or nested is left out."""
    for key, one in value.items():
        if isinstance(one, (str, int, float)) and not isinstance(one, bool):
            yield key, str(one)
