"""Caller: who asks, what that one may do, and the one table of what each route requires."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Literal, get_args

from starlette.requests import HTTPConnection
from starlette.routing import compile_path

from shokunin.errors import UsageError
from shokunin.serve.refusal import Refusal

Permission = Literal["answer", "feedback", "metrics", "traffic", "admin"]
"""`answer`: ask models and list them; `feedback`: send corrections; `metrics`: the page and the figures; `traffic`: read
what was recorded; `admin`: change what is served."""

ALL: frozenset[Permission] = frozenset(get_args(Permission))

Requirement = Permission | Literal["open", "any"]
"""What a route requires: a permission, `any` valid key, or nothing (`open`)."""

PERMISSIONS: Mapping[tuple[str, str], Requirement] = {
    ("GET", "/health"): "open",
    # A balancer's probe carries no key, and what it learns is one bit.
    ("GET", "/ready"): "open",
    ("GET", "/version"): "any",
    ("GET", "/openapi.json"): "any",
    ("GET", "/"): "metrics",
    ("GET", "/metrics"): "metrics",
    ("GET", "/v1/models"): "answer",
    ("GET", "/v1/models/{name:path}"): "answer",
    ("POST", "/v1/chat/completions"): "answer",
    ("POST", "/v1/completions"): "answer",
    ("POST", "/v1/embeddings"): "answer",
    ("POST", "/v1/responses"): "answer",
    ("POST", "/v1/specialists/{name}/predict"): "answer",
    ("POST", "/v1/feedback"): "feedback",
    ("POST", "/v1/specialists/{name}/resume"): "admin",
}
"""Every route there may be. What is not in here is refused, even if somebody has written a route for it."""


@dataclass(frozen=True)
class Allowance:
    """How much one client may use; None is no limit.

    Attributes:
        requests_per_minute: in any 60 seconds.
        tokens_per_minute: read and written together, in any 60 seconds.
        tokens_per_day: in one day, UTC.
        usd_per_day: what upstreams charge, in one day, UTC.
        usd_per_month: the same in one calendar month, UTC.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    usd_per_day: float | None = None
    usd_per_month: float | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"the limit `{one.name}` is a number above 0, or left out, not {value!r}")

    @property
    def unlimited(self) -> bool:
        """Whether nothing is limited."""
        return all(getattr(self, one.name) is None for one in fields(self))

    @property
    def money(self) -> bool:
        """Whether money is limited."""
        return self.usd_per_day is not None or self.usd_per_month is not None


@dataclass(frozen=True)
class Scopes:
    """What a caller may do.

    Attributes:
        permissions: see `Permission`.
        models: names of specialists and upstream models, `*` and `?` stand for any characters; empty: all.
    """

    permissions: frozenset[Permission] = ALL
    models: tuple[str, ...] = ()

    def allows(self, *names: str) -> bool:
        """Whether a model that goes by these names may be asked; `inquiries` includes `inquiries@3`."""
        every = [alias for name in names for alias in (name, name.partition("@")[0])]
        return not self.models or any(fnmatchcase(name, pattern) for name in every for pattern in self.models)


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: what the record calls it (`client_id`); `local` without keys.
        key_id: the public part of the key; None without.
        scopes: what it may do.
        limits: how much it may use.
    """

    name: str
    key_id: str | None = None
    scopes: Scopes = field(default_factory=Scopes)
    limits: Allowance = field(default_factory=Allowance)

    def require_model(self, *names: str) -> None:
        """Let it ask a model that goes by these names: the one in the request, the specialist's, the upstream's.

        Raises:
            Refusal: 403 `model_not_allowed`.
        """
        if not self.scopes.allows(*names):
            raise Refusal(
                403,
                "this key may not ask that model; GET /v1/models lists those it may, "
                "and a key for another is made with: shokunin keys create NAME --allow MODEL",
                "model_not_allowed",
                "model",
            )


LOCAL = Caller("local")
"""Everyone on this machine, as long as there are no keys."""

NOBODY = Caller("nobody", scopes=Scopes(frozenset()))
"""Who asks an open route."""


def caller_of(request: HTTPConnection) -> Caller:
    """Who sent this request, as the edge found it."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


class RouteTable:
    """Finds what a request requires."""

    def __init__(self, permissions: Mapping[tuple[str, str], Requirement] = PERMISSIONS) -> None:
        self._exact: dict[str, dict[str, Requirement]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Requirement]]] = []
        for path in dict.fromkeys(path for _, path in permissions):
            methods = {method: needed for (method, other), needed in permissions.items() if other == path}
            if "{" in path:
                self._patterns.append((compile_path(path)[0], methods))
            else:
                self._exact[path] = methods

    def requirement(self, method: str, path: str) -> Requirement:
        """What a request requires; HEAD counts as GET.

        Raises:
            Refusal: 404, the table has no such address; 405, the address is there for other methods.
        """
        method = "GET" if method == "HEAD" else method
        found = self._exact.get(path)
        if found is not None and method in found:
            return found[method]
        allowed = set(found or ())
        for pattern, methods in self._patterns:
            if pattern.match(path):
                if method in methods:
                    return methods[method]
                allowed |= set(methods)
        if allowed:
            raise Refusal(
                405, f"{method} is not for this address", "method_not_allowed", allow=", ".join(sorted(allowed))
            )
        raise Refusal(404, "there is nothing at this address; GET / tells where to go", "not_found")


def require(caller: Caller, needed: Requirement) -> None:
    """Let the caller in.

    Raises:
        Refusal: 403 `permission_denied`.
    """
    if needed not in ("open", "any") and needed not in caller.scopes.permissions:
        raise Refusal(
            403,
            f"this key lacks the permission {needed!r}; one that has it is made with: "
            f"shokunin keys create NAME --permission {needed}",
            "permission_denied",
        )
