"""The texts in an answer: the answer itself, or those that a JSON object holds, wherever in it they stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any


def texts_in(answer: str) -> Iterator[str]:
    """The texts, in their order; of a JSON object without its keys."""
    told = _object(answer)
    if told is None:
        yield answer
        return
    found: list[str] = []
    _through(told, lambda text: found.append(text) or text)  # type: ignore[func-returns-value]
    yield from found


def with_texts(answer: str, texts: Sequence[str]) -> str:
    """The answer with other texts, one for each of `texts_in`; a JSON object that stays the same keeps its spelling."""
    told = _object(answer)
    if told is None:
        return texts[0]
    given = iter(texts)
    made = _through(told, lambda _: next(given))
    return answer if made == told else json.dumps(made, ensure_ascii=False)


def _object(answer: str) -> dict[str, Any] | None:
    if not answer.startswith("{"):
        return None
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _through(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_through(one, change) for one in value]
    if isinstance(value, dict):
        return {name: _through(one, change) for name, one in value.items()}
    return value
