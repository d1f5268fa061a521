"""The error tree: what can go wrong, and what the user should do about it.

```
ShokuninError
├── UsageError              wrong use or bad input; nothing was written           exit code 2
│   ├── DataError           a file of rows that cannot be used as it is
│   │   └── DocumentError   a document that cannot be read
│   ├── TaskError           a task definition that does not make sense
│   ├── ProjectError        a project folder, name, version or alias that is not as it should be
│   ├── LessonsError        lessons that one learner cannot learn from; another one may
│   ├── BaseModelError      base weights that cannot be found, or are not what they claim to be
│   └── MissingExtraError   a library that belongs to an optional extra is not installed
├── ArtefactError           a specialist's folder is incomplete, changed or unsafe  exit code 2
├── StoreError              the database of the record cannot be used at the moment   exit code 2
└── RefusedError            the work ran and the verdict is no                      exit code 1
    └── ReplayError         the served model does not answer as the tested one did
```

A message names the thing (with `!r`), what was expected, and the next step. Foreign exceptions are translated where the
foreign library is called.
"""

from __future__ import annotations


class ShokuninError(Exception):
    """Anything that Shokunin raises on purpose; the message is written for the user."""

    exit_code = 2


class UsageError(ShokuninError):
    """Wrong use or bad input; nothing was written."""


class DataError(UsageError):
    """A file of rows that cannot be used as it is."""


class DocumentError(DataError):
    """A document that cannot be read; `reason` is the same for every such document, so that they can be counted."""

    def __init__(self, name: str, reason: str, advice: str) -> None:
        super().__init__(f"{name!r}: {reason}; {advice}")
        self.reason = reason
        self.advice = advice


class TaskError(UsageError):
    """A task definition that does not make sense."""


class ProjectError(UsageError):
    """A project folder, name, version or alias that is not as it should be."""


class LessonsError(UsageError):
    """Lessons that one learner cannot learn from, such as too few; another learner may."""


class BaseModelError(UsageError):
    """Base weights that cannot be found, or are not what they claim to be."""


class MissingExtraError(UsageError):
    """A library that belongs to an optional extra is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library!r} is not installed; it comes with the extra: pip install 'shokunin[{extra}]'")
        self.library = library
        self.extra = extra


class ArtefactError(ShokuninError):
    """A specialist's folder is incomplete, changed or unsafe."""


class StoreError(ShokuninError):
    """The database of the record cannot be used at the moment."""


class RefusedError(ShokuninError):
    """The work ran and the verdict is no."""

    exit_code = 1


class ReplayError(RefusedError):
    """The served model does not answer as the tested one did."""
