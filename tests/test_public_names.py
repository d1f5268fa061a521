"""The public names are these and no others; each is documented."""

from __future__ import annotations

import inspect

import pytest

import shokunin


def test_the_list() -> None:
    assert sorted(shokunin.__all__) == sorted(
        [
            "Answer",
            "Dataset",
            "Report",
            "ShokuninError",
            "Specialist",
            "Task",
            "__version__",
            "load",
            "predict",
            "prove",
            "train",
        ]
    )
    assert dir(shokunin) == sorted(shokunin.__all__)


@pytest.mark.parametrize("name", [n for n in shokunin.__all__ if n != "__version__"])
def test_each_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(shokunin, name))


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'fit'; it has Answer"):
        shokunin.fit  # noqa: B018
