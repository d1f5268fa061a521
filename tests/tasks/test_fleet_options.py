"""Options of foreseeing failures: what is wrong with one is said in a sentence, with the likeliest name."""

from __future__ import annotations

from typing import Any

import pytest

from shokunin.errors import TaskError
from shokunin.task import Task
from shokunin.tasks.anticipate_failures import Options, options_of


def told(**options: Any) -> str:
    task = Task("pumps", kind="anticipate_failures", inputs=("unit", "readings"), target="failure", options=options)
    with pytest.raises(TaskError) as wrong:
        options_of(task)
    return str(wrong.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [({"windw": 3}, "window"), ({"horizon": [3]}, "horizons"), ({"alarms_month": 1}, "alarms_a_month")],
)
def test_an_unknown_option_is_given_the_likeliest_name_alone(given: dict[str, Any], meant: str) -> None:
    (name,) = given
    assert told(**given) == f"task 'pumps' has the unknown option {name!r}; did you mean {meant!r}?"


def test_one_like_no_other_is_given_all_names() -> None:
    assert told(xyzzy=1) == f"task 'pumps' has the unknown option 'xyzzy'; there are {', '.join(Options.model_fields)}"


def test_options_of_trees_are_known_by_their_own_names() -> None:
    assert told(trees={"round": 3}) == "task 'pumps' has the unknown option 'trees.round'; did you mean 'trees.rounds'?"
    assert "learning_rate" in told(trees={"xyzzy": 3}) and "window" not in told(trees={"xyzzy": 3})


@pytest.mark.parametrize(
    ("given", "place", "value", "why"),
    [
        ({"window": 1}, "window", "1", "greater than or equal to 2"),
        ({"horizons": [30, "soon"]}, "horizons.1", "'soon'", "valid integer"),
        ({"when": "sometimes"}, "when", "'sometimes'", "should be 'at' or 'within'"),
        ({"alarms_a_week": 0}, "alarms_a_week", "0", "are no budget"),
        ({"trees": {"rounds": 0}}, "trees.rounds", "0", "greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_do(given: dict[str, Any], place: str, value: str, why: str) -> None:
    found = told(**given)
    assert found.startswith(f"the option {place!r} of task 'pumps' cannot be {value}: ") and why in found
    assert "Value error" not in found and "there are" not in found
