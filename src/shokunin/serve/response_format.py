"""Whether a reply has the format that a request asks for: JSON, or JSON that is valid under the caller's schema.

A specialist does not write to order: it has one answer, in one shape. So the question is asked after the fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic_core import from_json

from shokunin.serve.body import unsupported
from shokunin.serve.json_schema import is_valid


class Formatted(Protocol):
    """A request that may say how its reply should look."""

    @property
    def wanted(self) -> tuple[str, Mapping[str, Any] | bool | None]:
        """`text`, `json_object` or `json_schema`, and the schema."""


def fits_response_format(request: Formatted, text: str) -> bool:
    """Whether `text` is a reply such as the request asks for."""
    kind, schema = request.wanted
    if kind == "text":
        return True
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    if kind == "json_object":
        return isinstance(value, dict)
    return is_valid(value, {} if schema is None else schema)


def check_format(request: Formatted, text: str, param: str = "response_format") -> None:
    """Let a reply pass that is as asked.

    Raises:
        Refusal: 400, it is not.
    """
    if not fits_response_format(request, text):
        raise unsupported(
            param, f"this specialist's reply is not of the format asked for; leave `{param}` out or ask for 'text'"
        )
