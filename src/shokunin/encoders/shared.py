"""Shared: what has the same content is in memory once, for as long as somebody holds it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

_lock = threading.RLock()
_open: WeakValueDictionary[Hashable, object] = WeakValueDictionary()


def shared(kind: type[T], content: Hashable, make: Callable[[], T]) -> T:
    """The one object of this kind and content in the process; made now if nobody holds one.

    Args:
        kind: its class.
        content: what it is made from; equal content means an equal object, for instance a digest of the files.
        make: makes it; one at a time in the whole process. What it raises is passed on and nothing is kept.
    """
    key = (kind, content)
    with _lock:
        found = _open.get(key)
        if found is None:
            found = _open[key] = make()
        assert isinstance(found, kind)
        return found
