"""Tally: what is counted of one task while all its calls go by; the memory it takes does not grow with the texts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from shokunin.recorded.call import Call
from shokunin.template.tokens import tokens_of

ROWS = 6000
"""Calls of a task that are kept with their texts, drawn evenly: what it is judged by."""
TIMES = 4000
SPELLINGS = 50_000
LONGEST_SPELLING = 200
LONGEST_TEXT = 20_000
"""Characters of an input or a reply in a row that is kept; of a longer one its beginning."""
NAMES = 10_000
"""Clients, and names that applications gave the work, that are told apart."""


@dataclass(frozen=True, slots=True)
class Row:
    """One call as the task sees it: its inputs where a template fits, else None, and the reply."""

    id: str
    inputs: Mapping[str, str] | None
    reply: str | None


@dataclass
class Spend:
    """What was asked of one model.

    Attributes:
        calls: how many.
        prompt_tokens: of all, and `completion_tokens`; estimated where the record has no count.
        cost: US dollars, of the calls whose cost is in the record.
        priced: how many those are.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    priced: int = 0
    unpriced_prompt: int = 0
    unpriced_completion: int = 0


@dataclass
class Tally:
    """The counts of one task.

    Attributes:
        records: calls.
        local: calls that a specialist answered already.
        estimated: calls whose tokens are not in the record.
        by_model: what was asked of each model.
        rows: a sample of the calls.
        ids: of all calls.
        said: how often each short reply was given.
    """

    records: int = 0
    local: int = 0
    estimated: int = 0
    by_model: dict[str, Spend] = field(default_factory=dict)
    clients: Counter[str] = field(default_factory=Counter)
    workloads: Counter[str] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    timed: int = 0

    @property
    def prompt_tokens(self) -> float:
        """Of one call, on average."""
        return sum(s.prompt_tokens for s in self.by_model.values()) / max(1, self.records)

    @property
    def completion_tokens(self) -> float:
        """Of one reply, on average."""
        return sum(s.completion_tokens for s in self.by_model.values()) / max(1, self.records)

    def count(self, call: Call) -> None:
        """Everything but the text."""
        self.records += 1
        self.local += call.local
        self.ids.append(call.id)
        _count(self.clients, call.client, NAMES)
        _count(self.workloads, call.workload, NAMES)
        prompt, completion = call.prompt_tokens, call.completion_tokens
        if prompt is None or completion is None:
            self.estimated += 1
            prompt = tokens_of([text for _, text in call.messages]) if prompt is None else prompt
            completion = tokens_of([call.reply or ""]) if completion is None else completion
        spend = self.by_model.setdefault(call.model, Spend())
        spend.calls += 1
        spend.prompt_tokens += prompt
        spend.completion_tokens += completion
        if call.cost is not None or call.local:
            spend.cost += call.cost or 0.0
            spend.priced += 1
        else:
            spend.unpriced_prompt += prompt
            spend.unpriced_completion += completion
        if call.reply is not None and len(call.reply) <= LONGEST_SPELLING:
            _count(self.said, call.reply.strip(), SPELLINGS)

    def time(self, seconds: float | None, rng: random.Random) -> None:
        """How long one reply took."""
        if seconds is None:
            return
        self.timed += 1
        if len(self.seconds) < TIMES:
            self.seconds.append(seconds)
        elif (place := rng.randrange(self.timed)) < TIMES:
            self.seconds[place] = seconds

    def place_of_row(self, rng: random.Random) -> int | None:
        """Where in `rows` the call that was counted last belongs, None: it is not drawn."""
        if len(self.rows) < ROWS:
            return len(self.rows)
        place = rng.randrange(self.records)
        return place if place < ROWS else None

    def keep(self, place: int, row: Row) -> None:
        """Put a drawn row where it belongs."""
        inputs = None if row.inputs is None else {name: text[:LONGEST_TEXT] for name, text in row.inputs.items()}
        row = Row(row.id, inputs, None if row.reply is None else row.reply[:LONGEST_TEXT])
        if place == len(self.rows):
            self.rows.append(row)
        else:
            self.rows[place] = row


def _count(counter: Counter[str], one: str, most: int) -> None:
    """One more of what is not empty, as long as there are not too many sorts."""
    if one and (one in counter or len(counter) < most):
        counter[one] += 1
