"""Options of learners as the owner gives them (`causal_lora.r=8`, a table in `task.toml`, mappings), checked before any work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from shokunin.errors import MissingExtraError, UsageError
from shokunin.task import hint, read_learners
from shokunin.toml_text import told_value
from shokunin.train import LEARNERS, learner

LearnerOptions = Mapping[str, Mapping[str, Any]]
"""Values by option by learner."""


def parse_learner_options(pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`["causal_lora.r=8", "causal_lora.merge=false"]` by learner; each value is TOML, JSON, or else a text.

    Raises:
        UsageError: one is not of the shape LEARNER.NAME=VALUE.
    """
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        place, equals, value = pair.partition("=")
        name, dot, option = place.strip().partition(".")
        if not (equals and dot and name.strip() and option.strip()):
            raise UsageError(
                f"--learner-option {pair!r} is not of the shape LEARNER.NAME=VALUE, such as causal_lora.r=8"
            )
        found.setdefault(name.strip(), {})[option.strip()] = told_value(value.strip())
    return found


def learner_options(
    data: object, given: LearnerOptions | None, learners: Collection[str] | None
) -> dict[str, dict[str, Any]]:
    """The options of every learner that has some: those of the task's folder, if `data` is one, and before them the given ones.

    Args:
        data: what is trained on; of a folder with a `task.toml` the tables `[learners.NAME]` count.
        given: by learner; they go before those of the folder.
        learners: only these are tried; None: all.

    Returns:
        The values as JSON knows them. Options of a learner whose libraries are not installed are left out, as it is itself.

    Raises:
        UsageError: a learner or an option is unknown or not tried, or a value does not fit.
        TaskError: `learners` in the file is not a table of tables.
    """
    for name in given or {}:
        if learners and name in LEARNERS and name not in learners:
            raise UsageError(f"there are options of {name!r}, but only {', '.join(learners)} shall be tried")
    written: LearnerOptions = {}
    if isinstance(data, (str, Path)) and (Path(data) / "task.toml").is_file():
        written = read_learners(Path(data) / "task.toml")
    return {
        name: checked
        for name in dict.fromkeys([*written, *(given or {})])
        if (checked := _checked(name, written.get(name, {}), (given or {}).get(name, {})))
    }


def _checked(name: str, *parts: object) -> dict[str, Any]:
    """What the parts say together, the later ones first, as the learner's own options take it."""
    if name not in LEARNERS:
        raise UsageError(f"unknown learner {name!r}; expected one of {', '.join(LEARNERS)}{hint(name, LEARNERS)}")
    told: dict[str, Any] = {}
    for part in parts:
        if not isinstance(part, Mapping):
            raise UsageError(f"the options of the learner {name!r} are names with values, not {part!r}")
        told |= part
    try:
        model = learner(name).Options
    except MissingExtraError:
        return {}
    for option in told:
        if option not in model.model_fields:
            known = ", ".join(model.model_fields)
            raise UsageError(
                f"the learner {name!r} has no option {option!r}; it has {known}{hint(option, model.model_fields)}"
            )
    try:
        return model(**told).model_dump(mode="json", include=set(told))
    except ValidationError as error:
        raise UsageError(_what_does_not_fit(name, model, error)) from error


def _what_does_not_fit(name: str, model: type[BaseModel], error: ValidationError) -> str:
    wrong = error.errors(include_url=False)[0]
    known = f"its options are {', '.join(model.model_fields)}"
    if not wrong["loc"]:
        return f"the options of the learner {name!r} do not fit together: {wrong['msg']}; {known}"
    option = str(wrong["loc"][0])
    about = model.model_fields[option].description
    return (
        f"the option {option!r} of the learner {name!r} cannot be {wrong['input']!r}: {wrong['msg']}"
        f"{f' ({about})' if about else ''}; {known}"
    )
