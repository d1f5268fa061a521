"""Names for tasks: a few telling words from the prompt, else from the labels, else from the kind of work."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

WORDS = 3
LONGEST = 40
_WORD = re.compile(r"[A-Za-z][A-Za-z]+")
_SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "ko": re.compile("[\uac00-\ud7a3]"),
    "zh": re.compile("[\u4e00-\u9fff]"),
    "cyrillic": re.compile("[\u0400-\u04ff]"),
    "arabic": re.compile("[\u0600-\u06ff]"),
}
_USUAL = frozenset(
    re.findall(
        r"\S+",
        """
    a about above above-mentioned according action actual all allowed also an and answer answering answers any are
    as ask asked assistant at based be been below best between build but by can choose choosing class classes
    classification classifier classify comes concerning content context data date decide decides default described
    description determine do does each either else etc exact exactly example examples extract field fields find
    fits following follows form format friendly from get give given gives has have help helpful helpfully her here
    his how if in information input instruction instructions into is it its itself json just key keys kind know
    known label labels language lets like line list listed main map me means message messages model module more
    most must my name named names never no none not nothing null object of on one only option options or other our
    out output output-only over own phrase please print prompt provide question questions read reads reply respond
    response result results return returns rev right rules said say says see select sentence service should shown
    so some sort speak specific state stay step system take task tell text texts than that the their them then
    there these they thing this those to today tone type types under up use used user user's users utterance valid
    value values version was way we what when where whether which who whose why will with within word words write
    writes yes you your
    """,
    )
)


def name_of(said: str, kind: str, labels: Sequence[str], workload: str, rare: Counter[str], prompts: int) -> str:
    """A name of lower case letters, digits and `-`.

    Args:
        said: the fixed text of the prompt.
        kind: the kind of work.
        labels: if there are any.
        workload: what the application calls it, if it does.
        rare: in how many of the prompts each word occurs.
        prompts: how many prompts there are.
    """
    if workload and (plain := slug(workload)):
        return plain
    own = {word for label in labels for word in _words(label)} if len(labels) > 6 else set()
    counts = Counter(word for word in _words(said) if word not in _USUAL and word not in own and len(word) > 2)
    first = {word: i for i, word in reversed(list(enumerate(_words(said))))}
    telling = sorted(counts, key=lambda w: (rare[w] / prompts, -min(counts[w], 3), first[w]))[:WORDS]
    words = sorted(telling, key=lambda w: first[w])
    if words:
        return slug("-".join(words))
    plain = slug("-".join(labels[:WORDS]))
    return plain or f"{kind.replace('_', '-')}-{_script(said)}"


def words_of(said: str) -> set[str]:
    """The words of a prompt, for counting in how many prompts each occurs."""
    return set(_words(said))


def distinct(names: Sequence[str]) -> list[str]:
    """The names, a number behind those that come twice."""
    made: list[str] = []
    for name in names:
        made.append(next(n for i in range(1, len(names) + 2) if (n := name if i == 1 else f"{name}-{i}") not in made))
    return made


def slug(text: str) -> str:
    """Lower case letters, digits and `-`; accents dropped; "" if nothing is left."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST].rstrip("-")


def _script(text: str) -> str:
    """The language that a script gives away, else four digits that tell one text from another."""
    for name, pattern in _SCRIPTS.items():
        if pattern.search(text):
            return name
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:4]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
