"""The shelf of compressors: weights in, smaller weights out.

A compressor is a module with the names of `Compressor`. To add one: write the file and add a line to `COMPRESSORS`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import BaseModel

from shokunin.errors import UsageError
from shokunin.weights import Weights

COMPRESSORS = {
    "integer": "shokunin.compress.integer",
}


class Compressor(Protocol):
    """A compression method, checked structurally: a module with these names."""

    FORMATS: tuple[str, ...]
    Options: type[BaseModel]

    def shrink(self, weights: Weights, lessons: Any, options: BaseModel, folder: Path) -> Weights:
        """Write smaller weights of the same form into the existing, empty `folder`; `lessons` are there to calibrate on."""


def compressor(name: str) -> Compressor:
    """The compressor of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in COMPRESSORS:
        raise UsageError(f"unknown compressor {name!r}; expected one of {', '.join(COMPRESSORS)}")
    return cast(Compressor, import_module(COMPRESSORS[name]))
