"""Task: what the business asks. Its fields, its metric, its target; no behaviour."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from shokunin.errors import TaskError
from shokunin.template import Template, template_from_dict
from shokunin.toml_text import toml_key, toml_value

KINDS: dict[str, tuple[str, ...]] = {
    "classify_text": ("accuracy", "macro_f1"),
    "extract_fields": ("field_f1", "document_exact"),
    "generate_text": ("exact_match", "execution", "rouge_l", "chrf"),
    "anticipate_failures": ("pr_auc", "roc_auc", "power"),
}
"""The kinds of work, each a module of `shokunin.tasks`, and what it can be measured by: the first is what is measured where
nobody says."""
NONE = "none_of_these"
"""What a specialist answers where none of its labels fits."""
_TEXTS = ("inputs", "none_labels")
_NUMBERS = ("target_score", "max_error", "promise_confidence")
_TOLD = {
    "name": "also the specialist's name",
    "kind": "which sort of work",
    "inputs": "the columns to read",
    "target": "the column with the answer",
    "group": "rows with one value here stay on one side of every split",
    "time": "the newest rows are the test, instead of rows at random",
    "metric": "what the verdict is about; for labels also macro_f1, when rare ones count as much as common ones",
    "target_score": "pass only if the lower end of the metric's 95 % interval reaches this",
    "max_error": "of the answers given without asking a large model, at most this share may be wrong …",
    "promise_confidence": "… with this probability",
    "none_labels": 'labels that mean "none of these"',
}
_EXAMPLES = {"group": '"customer"', "time": '"received"', "target_score": "0.9"}


@dataclass(frozen=True)
class Task:
    """What the business asks.

    Attributes:
        name: the task's name, also the specialist's; lower case letters, digits, `-` and `_`.
        kind: which sort of work it is, one of `KINDS`.
        inputs: the names of the input columns.
        target: the name of the column with the expected answer.
        group: a column whose equal values must stay on one side of every split (a customer, a thread), if any.
        time: a column to split by time instead of at random: the newest rows are the test, if any.
        metric: what the verdict is about, one of the kind's in `KINDS`; by default the first of them.
        target_score: the lower end of the metric's 95 % interval must reach this; None asks only to beat the baseline.
        max_error: of the answers given without asking the large model, at most this share may be wrong.
        promise_confidence: with this probability the promise about `max_error` holds.
        none_labels: labels that mean "none of these"; such rows are not learnt, they test whether the specialist can decline.
        template: how the application phrases the task, or mostly does; None where nobody has said.
        wordings: how it phrases the task, too: earlier or other versions of the prompt, each with its own models and replies.
        options: what only this kind of work has to be told, such as the fields to find; the kind checks it.
    """

    name: str
    kind: str = "classify_text"
    inputs: tuple[str, ...] = ("text",)
    target: str = "label"
    group: str | None = None
    time: str | None = None
    metric: str = ""
    target_score: float | None = None
    max_error: float = 0.05
    promise_confidence: float = 0.95
    none_labels: tuple[str, ...] = (NONE, "out_of_scope", "oos")
    template: Template | None = None
    wordings: tuple[Template, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= 100 or not all(
            c.isascii() and (c.islower() or c.isdigit() or c in "-_") for c in self.name
        ):
            raise TaskError(f"a task's name has 1 to 100 lower case letters, digits, '-' and '_', not {self.name!r}")
        if self.kind not in KINDS:
            raise TaskError(
                f"unknown kind {self.kind!r}; expected one of {', '.join(KINDS)}{hint(self.kind, tuple(KINDS))}"
            )
        known = KINDS[self.kind]
        if not self.metric:
            object.__setattr__(self, "metric", known[0])
        if self.metric not in known:
            names = " or ".join(map(repr, known))
            raise TaskError(f"unknown metric {self.metric!r} for {self.kind!r}; expected {names}")
        if not self.inputs:
            raise TaskError(f"task {self.name!r} has no input column; name at least one in `inputs`")
        if self.target in self.inputs:
            raise TaskError(f"column {self.target!r} cannot be both an input and the target of task {self.name!r}")
        if self.target_score is not None and not 0 <= self.target_score <= 1:
            raise TaskError(f"`target_score` is a share from 0 to 1, not {self.target_score!r}; 90 % is 0.9")
        for name, share in (("max_error", self.max_error), ("promise_confidence", self.promise_confidence)):
            if not 0 < share < 1:
                raise TaskError(f"`{name}` is a share between 0 and 1, not {share!r}")
        _check_wordings(self)

    @property
    def templates(self) -> tuple[Template, ...]:
        """Every wording of the task, the most used first; none where nobody has said any."""
        return () if self.template is None else (self.template, *self.wordings)


def task_from_dict(value: dict[str, Any], where: str = "task") -> Task:
    """A Task from plain values, as in `task.toml` or a manifest.

    Raises:
        TaskError: a key is unknown (with a suggestion) or a value does not fit.
    """
    known = [f.name for f in fields(Task)]
    for key in value:
        if key not in known:
            raise TaskError(f"unknown key {key!r} in {where}; known keys: {', '.join(known)}{hint(key, known)}")
    if "name" not in value:
        raise TaskError(f"{where} has no `name`")
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    if plain.get("template") is not None:
        plain["template"] = template_from_dict(plain["template"], where=f"`template` of {where}")
    if "wordings" in plain:
        plain["wordings"] = _wordings(plain["wordings"], where)
    for key, given in plain.items():
        if key not in ("template", "wordings"):
            plain[key] = _checked(key, given, where)
    try:
        return Task(**plain)
    except TypeError as error:
        raise TaskError(f"{where} has a value of the wrong type: {error}") from error


def task_to_dict(task: Task) -> dict[str, Any]:
    """The plain values of a Task, ready for JSON; without those that came later where they say nothing."""
    values = {f.name: getattr(task, f.name) for f in fields(task) if f.name not in ("template", "wordings", "options")}
    plain: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    if task.template is not None:
        plain["template"] = task.template.to_dict()
    if task.wordings:
        plain["wordings"] = [wording.to_dict() for wording in task.wordings]
    if task.options:
        plain["options"] = _plain(task.options)
    return plain


def task_to_toml(task: Task) -> str:
    """The text of a `task.toml` that `read_task` reads back as this task.

    Raises:
        ProjectError: a text holds half of a surrogate pair, which no TOML file can say.
    """
    lines = ["# What one task is."]
    for name, comment in _TOLD.items():
        value = getattr(task, name)
        told = f"# {name} = {_EXAMPLES[name]}" if value is None else f"{name} = {toml_value(value)}"
        lines.append(f"{told:<30} # {comment}" if "\n" not in told else told)
    if task.options:
        lines += ["", "# What only this kind of work has to be told."]
        lines += _table_lines("options", task.options)
    if task.template is not None:
        lines += ["", "# How the application phrases it: {{name}} is where something else stands each time."]
        lines += _template_lines("template", "[template]", task.template)
    for wording in task.wordings:
        lines += ["", "# Another version of the prompt, with replies of its own shape."]
        lines += _template_lines("wordings", "[[wordings]]", wording)
    return "\n".join(lines) + "\n"


def read_task(path: Path) -> Task:
    """The Task in a `task.toml`; its `[learners]` say how to learn, not what is asked, and are read by `read_learners`.

    Raises:
        TaskError: the file is missing, is not TOML, or does not describe a task.
    """
    told = _toml(path)
    told.pop("learners", None)
    return task_from_dict(told, where=repr(str(path)))


def read_learners(path: Path) -> dict[str, dict[str, Any]]:
    """The tables `[learners.NAME]` in a `task.toml`: options by learner, unchecked.

    Raises:
        TaskError: the file is missing or is not TOML, or `learners` is not a table of tables.
    """
    told = _toml(path).get("learners", {})
    if not isinstance(told, dict) or not all(isinstance(options, dict) for options in told.values()):
        raise TaskError(f"'learners' in {str(path)!r} holds one table a learner; write [learners.causal_lora]")
    return told


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TaskError(f"cannot read {str(path)!r}: {error.strerror}; `shokunin init DIR` writes one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"{str(path)!r} is not TOML: {error}") from error


def _check_wordings(task: Task) -> None:
    if task.wordings and task.template is None:
        raise TaskError(f"task {task.name!r} has `wordings` but no `template`; make the most used wording its template")
    for place, template in enumerate(task.templates):
        if sorted(template.inputs) != sorted(task.inputs):
            raise TaskError(
                f"{'a wording' if place else 'the template'} of task {task.name!r} has the slots {template.inputs!r}, the "
                f"task the inputs {task.inputs!r}; name them alike, and begin the names of slots that are no input with '_'"
            )
    if len({template.messages for template in task.templates}) < len(task.templates):
        raise TaskError(f"two wordings of task {task.name!r} have the same messages; make them one, with all `models`")


def _wordings(value: Any, where: str) -> tuple[Template, ...]:
    if not isinstance(value, tuple):
        raise TaskError(f"'wordings' in {where} is a list of tables; write [[wordings]] before each, not {value!r}")
    return tuple(template_from_dict(one, where=f"`wordings[{i}]` of {where}") for i, one in enumerate(value))


def _template_lines(key: str, head: str, template: Template) -> Iterator[str]:
    yield head
    if template.models:
        yield f"models = {toml_value(template.models)}"
    yield f"reply = {toml_value(template.reply)}"
    for message in template.messages:
        yield f"\n[[{key}.messages]]"
        yield f"role = {toml_value(message.role)}"
        yield f"pattern = {toml_value(message.pattern)}"
    if template.spellings:
        yield f"\n[{key}.spellings]"
        yield from (f"{toml_key(answer)} = {toml_value(reply)}" for answer, reply in template.spellings.items())


def _table_lines(head: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{head}]"
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    yield from (f"{toml_key(key)} = {toml_value(value)}" for key, value in table.items() if key not in inner)
    for key, value in inner.items():
        yield ""
        yield from _table_lines(f"{head}.{toml_key(key)}", value)


def _plain(value: Any) -> Any:
    """Mappings and sequences as JSON knows them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _checked(key: str, given: Any, where: str) -> Any:
    """A value as a Task holds it, if it is of the right type."""
    if key == "options" and not isinstance(given, Mapping):
        raise TaskError(f"'options' in {where} is a table; write [options] before it, not {given!r}")
    if key in _TEXTS and isinstance(given, str):
        return (given,)
    if key != "options" and not _fits(key, given):
        shape = "a list of texts" if key in _TEXTS else "a number" if key in _NUMBERS else "a text"
        raise TaskError(f"{key!r} in {where} is {shape}, not {given!r}")
    return given


def _fits(key: str, given: Any) -> bool:
    if given is None:
        return key in ("group", "time", "target_score")
    if key in _TEXTS:
        return isinstance(given, tuple) and all(isinstance(one, str) for one in given)
    if key in _NUMBERS:
        return isinstance(given, (int, float)) and not isinstance(given, bool)
    return isinstance(given, str)


def hint(word: str, known: Collection[str]) -> str:
    """The known word that is likeliest meant, as an addition to an error; nothing where none is near."""
    near = get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
