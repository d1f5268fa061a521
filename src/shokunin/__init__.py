"""Shokunin (職人): small models that a business owns, trained on its own data and proven before they serve.

```python
import shokunin

specialist = shokunin.train("inquiries.csv")
specialist.predict("where is my parcel?")
report = shokunin.prove(specialist, "holdout.csv")
```
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from shokunin.version import __version__

if TYPE_CHECKING:
    from shokunin.answer import Answer
    from shokunin.dataset import Dataset
    from shokunin.errors import ShokuninError
    from shokunin.pipeline import load, predict, prove, train
    from shokunin.report import Report
    from shokunin.specialist import Specialist
    from shokunin.task import Task

__all__ = [
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

_HOMES = {
    "Answer": "shokunin.answer",
    "Dataset": "shokunin.dataset",
    "Report": "shokunin.report",
    "ShokuninError": "shokunin.errors",
    "Specialist": "shokunin.specialist",
    "Task": "shokunin.task",
    "load": "shokunin.pipeline",
    "predict": "shokunin.pipeline",
    "prove": "shokunin.pipeline",
    "train": "shokunin.pipeline",
}


def __getattr__(name: str) -> Any:
    """Public names on first use, so that `import shokunin` and the command's `--help` load nothing heavy (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shokunin' has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


class _Verb(ModuleType):
    """A stage's folder whose name is also a public function, `train` and `prove`: it can be opened and called."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return __getattr__(self.__name__.rpartition(".")[2])(*arguments, **options)


class _Package(ModuleType):
    """Python sets a folder as an attribute when it is first imported, which would hide the function of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
