"""Commands: first words of messages that say which work is asked for, `tone …` and `subject …`, told by the answers.

People's messages begin with all sorts of words, and what is answered does not hang on the first. Where nearly all messages begin
with one of a few words, and each of these has answers of its own out of a closed set, it is the application that wrote them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from shokunin.discover.tree import FEWEST
from shokunin.recorded.call import Call
from shokunin.template.labels import plain

MOST = 12
SHARE, TOLD = 0.03, 0.95
"""Of the calls so many must begin with each command, and so many with one of them."""
OWN = 0.9
"""Of a command's answers so many must be no other command's."""
EACH = 4
"""Answers for every different one, on average, for a command's answers to be a closed set."""


def commands_in(calls: Sequence[Call]) -> frozenset[str]:
    """The commands in calls of one wording; none if their messages do not begin with any."""
    words = Counter(_first(call) for call in calls)
    usual = [word for word, n in words.items() if word and n >= max(FEWEST, SHARE * len(calls))]
    if not 1 < len(usual) <= MOST or sum(words[word] for word in usual) < TOLD * len(calls):
        return frozenset()
    said: dict[str, Counter[str]] = {word: Counter() for word in usual}
    for call in calls:
        if call.reply is not None and (word := _first(call)) in said:
            said[word][plain(call.reply)] += 1
    for word, answers in said.items():
        others = {form for other in usual if other != word for form, n in said[other].items() if n > 1}
        own = sum(n for form, n in answers.items() if form not in others)
        if own < OWN * answers.total() or answers.total() < EACH * sum(n > 1 for n in answers.values()):
            return frozenset()
    return frozenset(usual)


def command_of(call: Call, commands: Collection[str]) -> str:
    """The command that a call begins with, or ""."""
    word = _first(call)
    return word if word in commands else ""


def _first(call: Call) -> str:
    first, _, rest = call.messages[-1][1].lstrip().partition(" ")
    return first.casefold() if rest else ""
