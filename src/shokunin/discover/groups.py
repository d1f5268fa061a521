"""Groups: a sample of calls sorted into wordings, and the wordings into tasks; then any call can be told its task."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from shokunin.discover.answers import CHAT, CLASSIFY, DOCUMENTS, EXTRACT, GENERATE, SHORT, Answers, answers_of
from shokunin.discover.commands import command_of, commands_in
from shokunin.discover.features import rarity
from shokunin.discover.retrieved import reads_documents
from shokunin.discover.same_task import alike_words, same_task
from shokunin.discover.slots import renamed
from shokunin.discover.tree import FEWEST, Tree
from shokunin.discover.wording import FITS, Wording, conversation, joined, spelled
from shokunin.progress import Progress, silent
from shokunin.recorded.call import Call
from shokunin.template import Template
from shokunin.template.found import VERSION, share_of
from shokunin.template.labels import plain
from shokunin.template.segments import SYSTEM, Segmented, Segmenter

SAMPLE = 20_000
"""Calls that wordings are looked for in, drawn evenly."""
OF_EACH = 64
"""Of each application, told by how its system prompt begins, at least so many calls are looked at, however rare it is."""
APPLICATIONS = 4096
QUOTED = 300
MOST_CHARACTERS = 20_000
"""Of a longer message the beginning and the end are looked at."""
RELATED = 0.3
"""Fixed text that two versions must share for it to be tried whether they are one."""
ANCHORED = 0.6
"""Fixed text that a handful of calls must share with a task to be taken for a fragment of it."""


Leaf = tuple[int, str]
"""A leaf of the tree, and the command by which a part of its calls is told from the rest, or ""."""


@dataclass
class Group:
    """A task that was found.

    Attributes:
        wordings: how it is phrased, the most used wording first.
        answers: what the replies are, over all wordings.
        kind: the kind of work.
    """

    wordings: list[Wording]
    answers: Answers = field(init=False)
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        self.look_again()

    def look_again(self) -> None:
        """Tell from all wordings together what the replies are."""
        if len(self.wordings) == 1:
            self.answers = self.wordings[0].answers
        else:
            said = "\n".join(w.said for w in self.wordings)
            replies = [c.reply for w in self.wordings for c in w.calls if c.reply]
            self.answers = _joined([w.answers for w in self.wordings], replies, said)
        if self.answers.kind == SHORT and self.answers.schema is not None:  # one field, whose values are no closed set
            self.answers = replace(self.answers, kind=EXTRACT)
        self.kind = _kind(self)

    @property
    def calls(self) -> int:
        """How many of the sample's calls belong to it."""
        return sum(len(w.calls) for w in self.wordings)

    @property
    def quote(self) -> str:
        """The beginning of the prompt that is used most."""
        return " ".join(self.wordings[0].said.split())[:QUOTED]

    def answers_in(self, replies: Sequence[str]) -> Answers:
        """What the replies are, by more of them than the sample has."""
        parts = [w.answers for w in self.wordings]
        found = _joined(parts, replies, "\n".join(w.said for w in self.wordings))
        return found if found.kind == self.answers.kind else self.answers

    def answers_with(self, labels: Sequence[str]) -> Answers:
        """What the replies are, with these labels."""
        known = {form: label for form, label in self.answers.spellings.items() if label in labels}
        return replace(self.answers, labels=tuple(labels), spellings={**known, **{plain(one): one for one in labels}})

    def templates(self, answers: Answers) -> tuple[Template, ...]:
        """The wordings that a gateway can recognise and whose slots are those of the most used one.

        What users often begin with, such as the head of a form, is no wording where a wider one fits.
        """
        made: list[Template] = []
        for one in self.wordings:
            template = one.template
            if template is None or not template.is_specific or self._is_narrow(one):
                continue
            if made and (template := _with_slots(template, made[0].inputs)) is None:
                continue
            if all(template.messages != known.messages for known in made):
                made.append(spelled(template, answers, one.calls))
        return tuple(made)

    def _is_narrow(self, one: Wording) -> bool:
        """Whether a wording is but a small part of what another one's template fits."""
        assert one.template is not None
        said = [conversation(call) for call in one.looked_at]
        return any(
            wide.template is not None
            and wide.template.is_specific
            and wide.template.fixed < one.template.fixed
            and len(one.calls) < VERSION * (len(wide.calls) + len(one.calls))
            and share_of(wide.template, said) >= FITS
            for wide in self.wordings
            if wide is not one
        )

    def inputs(self, call: Call) -> dict[str, str] | None:
        """The input fields of a call, by the wording that says most of those that it fits; None where it fits none."""
        fits = [(t.fixed, t, found) for t in self._recognised if (found := t.match_texts(call.messages)) is not None]
        if not fits:
            return None
        _, template, found = max(fits, key=lambda one: one[0])
        return {name: found[name] for name in template.inputs}

    @cached_property
    def _recognised(self) -> tuple[Template, ...]:
        return self.templates(self.answers)


class Grouping:
    """Tells calls their task.

    Attributes:
        groups: the tasks, the largest first.
    """

    def __init__(self, sample: Sequence[Call], progress: Progress = silent) -> None:
        self._segment = Segmenter()
        progress("looking for prompts", 0, None)
        prompts = [self._segment(call.messages) for call in sample]
        self._tree = Tree(prompts)
        by_leaf: defaultdict[int, list[int]] = defaultdict(list)
        for i, prompt in enumerate(prompts):
            by_leaf[self._tree.place(prompt)].append(i)
        self._commands = {leaf: commands_in([sample[i] for i in members]) for leaf, members in by_leaf.items()}
        leaves: defaultdict[Leaf, list[int]] = defaultdict(list)
        for leaf, members in by_leaf.items():
            for i in members:
                leaves[self._leaf(leaf, sample[i])].append(i)
        wordings, fragments = _wordings(leaves, sample, prompts, progress)
        both = list(wordings.values())
        weights = rarity([w.features for w in both]), rarity([w.reply_features for w in both])
        for one in both:
            one.rarity = weights
        self.groups, leaf_of = _tasks(wordings, progress)
        _attach(self.groups, fragments, leaf_of)
        self._task_of = leaf_of

    def place(self, call: Call) -> int:
        """The number of the task that a call belongs to, -1 if it is phrased like nothing that was found."""
        return self._task_of.get(self._leaf(self._tree.place(self._segment(call.messages)), call), -1)

    def _leaf(self, leaf: int, call: Call) -> Leaf:
        commands = self._commands.get(leaf)
        return leaf, command_of(call, commands) if commands else ""


def draw(calls: Iterable[Call], *, size: int = SAMPLE, seed: int = 0) -> list[Call]:
    """An even sample of a stream, with some calls of every application that has a system prompt, in the order of the stream.

    At most `size` calls are drawn evenly, and at most as many again for the applications.
    """
    rng = random.Random(seed)
    kept: list[tuple[int, Call]] = []
    rare: dict[str, list[tuple[int, Call]]] = {}
    extra = 0
    for number, call in enumerate(calls):
        if len(kept) < size:
            kept.append((number, _shortened(call)))
            continue
        if (place := rng.randint(0, number)) < size:
            kept[place] = (number, _shortened(call))
        role, text = call.messages[0]
        if role == SYSTEM[1:-1] and extra < size and (len(rare) < APPLICATIONS or text[:40] in rare):
            some = rare.setdefault(text[:40], [])
            if len(some) < OF_EACH:
                some.append((number, _shortened(call)))
                extra += 1
    numbers = {number for number, _ in kept}
    kept += [pair for some in rare.values() for pair in some if pair[0] not in numbers]
    return [call for _, call in sorted(kept, key=lambda pair: pair[0])]


def _shortened(call: Call) -> Call:
    if all(len(text) <= MOST_CHARACTERS for _, text in call.messages):
        return call
    half = MOST_CHARACTERS // 2
    return replace(
        call,
        messages=tuple(
            (role, text if len(text) <= MOST_CHARACTERS else text[:half] + text[-half:]) for role, text in call.messages
        ),
    )


def _with_slots(template: Template, names: Sequence[str]) -> Template | None:
    """The template with input slots of these names, those that it has already where they are; None: it has more or fewer."""
    if len(template.inputs) != len(names):
        return None
    others = [name for name in template.inputs if name not in names]
    wanted = [name for name in names if name not in template.inputs]
    return renamed(template, dict(zip(others, wanted, strict=True))) if others else template


def _wordings(
    leaves: dict[Leaf, list[int]], sample: Sequence[Call], prompts: Sequence[Segmented], progress: Progress
) -> tuple[dict[Leaf, Wording], dict[Leaf, Wording]]:
    """The wordings by leaf, the largest first, and those of a handful of calls."""
    found: dict[Leaf, Wording] = {}
    few: dict[Leaf, Wording] = {}
    ordered = sorted(leaves.items(), key=lambda leaf: -len(leaf[1]))
    for done, (leaf, members) in enumerate(ordered, 1):
        one = Wording([sample[i] for i in members], [prompts[i] for i in members])
        (found if len(members) >= FEWEST else few)[leaf] = one
        progress("looking at wordings", done, len(ordered))
    return found, few


def _tasks(wordings: dict[Leaf, Wording], progress: Progress) -> tuple[list[Group], dict[Leaf, int]]:
    """Wordings that ask for the same work, together; the task of each leaf."""
    groups: list[Group] = []
    task_of: dict[Leaf, int] = {}
    for done, (leaf, wording) in enumerate(wordings.items(), 1):
        place = next((g for g, group in enumerate(groups) if _belongs(wording, group)), None)
        if place is None:
            place = len(groups)
            groups.append(Group([wording]))
        else:
            groups[place].wordings.append(wording)
        task_of[leaf] = place
        progress("putting versions together", done, len(wordings))
    for done, group in enumerate(groups, 1):
        group.wordings = _as_few([part for wording in group.wordings for part in wording.versions()])
        group.look_again()
        progress("putting versions together", done, len(groups))
    order = sorted(range(len(groups)), key=lambda g: -groups[g].calls)
    return [groups[g] for g in order], {leaf: order.index(g) for leaf, g in task_of.items()}


def _as_few(wordings: list[Wording]) -> list[Wording]:
    """Versions that differ in a name or a date only, as one; the most used wording first."""
    kept: list[Wording] = []
    for one in wordings:
        for place, known in enumerate(kept):
            if known.covers(one):
                known.calls += one.calls
                known.prompts += one.prompts
                break
            if alike_words(known, one) >= RELATED and (both := joined(known, one)) is not None:
                kept[place] = both
                break
        else:
            kept.append(one)
    return sorted(kept, key=lambda w: -len(w.calls))


def _belongs(wording: Wording, group: Group) -> bool:
    """Whether a wording is of a task: it asks for the same work as the task's largest wording that can be compared."""
    return any(same_task(known, wording) for known in group.wordings[:3])


def _attach(groups: list[Group], fragments: dict[Leaf, Wording], task_of: dict[Leaf, int]) -> None:
    """Leaves of a handful of calls go to the task whose words they share and whose replies they have."""
    for leaf, one in fragments.items():
        best, most = None, ANCHORED
        for g, group in enumerate(groups):
            words = max(1.0 if w.instructs and w.covers(one) else alike_words(w, one) for w in group.wordings)
            read = group.answers.reader()
            readable = sum(c.reply is not None and read(c.reply) is not None for c in one.calls)
            if words >= most and readable >= 0.5 * len(one.calls):
                best, most = g, words
        if best is not None:
            task_of[leaf] = best
        elif not one.instructs:
            chat = next((g for g, group in enumerate(groups) if group.kind == CHAT), None)
            if chat is not None and not any(p.system for p in one.prompts):
                task_of[leaf] = chat


def _joined(parts: Sequence[Answers], replies: Sequence[str], said: str) -> Answers:
    """What the replies of several wordings are, each of which may have a shape of its own."""
    first = parts[0]
    if first.kind != CLASSIFY:
        return answers_of(replies, said) if len({p.reply for p in parts}) == 1 else first
    told = []
    readers = [p.reader() for p in parts if p.kind == CLASSIFY]
    for reply in replies:
        told.append(next((label for read in readers if (label := read(reply)) is not None), reply))
    found = answers_of(told, said)
    return found if found.kind == CLASSIFY else first


def _kind(group: Group) -> str:
    kind = group.answers.kind
    if kind not in (CHAT, SHORT):
        return kind
    if any(reads_documents(w) for w in group.wordings[:3]):
        return DOCUMENTS
    told = sum(len(w.calls) for w in group.wordings if w.instructs)
    return GENERATE if 2 * told > group.calls else CHAT
