"""From the plain values of a TOML file to settings; an unknown key, a wrong value or a secret is said where it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

from shokunin.errors import ProjectError

_SECRET = re.compile(r"(?i)(^|_)(api_?)?(key|token|secret|password|authorization)$")
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text in quotes"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "tuple[str, ...]": ((list,), "a list of texts"),
}
T = TypeVar("T")


def read_sections(made: type[T], value: dict[str, Any], name: str, where: str) -> dict[str, T]:
    """Every `[name.KEY]` of a file, by key.

    Raises:
        ProjectError: as `read_section`.
    """
    for key, section in value.items():
        if not isinstance(section, dict):
            raise ProjectError(
                f"{key!r} in [{name}] of {where} is a section: write [{name}.NAME] and its keys below it"
            )
    return {key: read_section(made, section, f'[{name}."{key}"]', where) for key, section in value.items()}


def read_section(made: type[T], value: dict[str, Any], title: str, where: str) -> T:
    """One section as the settings class `made`.

    Raises:
        ProjectError: a key is unknown or missing, or a value is of the wrong type or out of range.
    """
    kinds = {f.name: str(f.type) for f in fields(made)}  # type: ignore[arg-type]  # only dataclasses come here
    plain = {}
    for key, given in value.items():
        known(key, tuple(kinds), "key", f"{title} of {where}")
        wanted = kinds[key].removesuffix(" | None")
        right, shown = _TYPES[wanted]
        of_type = isinstance(given, right) and (isinstance(given, bool) == (wanted == "bool"))
        if not of_type or (wanted.startswith("tuple") and not all(isinstance(one, str) for one in given)):
            raise ProjectError(f"{key!r} in {title} of {where} is {shown}, not {given!r}")
        plain[key] = tuple(given) if wanted.startswith("tuple") else given
    try:
        return made(**plain)
    except TypeError:
        missing = [k for k in kinds if k not in value and not hasattr(made, k)]
        raise ProjectError(f"{title} of {where} lacks {', '.join(map(repr, missing))}") from None
    except ValueError as error:
        raise ProjectError(f"{title} of {where}: {error}") from None


def no_secret(value: Mapping[str, Any], where: str) -> None:
    """Refuse anything that looks like a key; the message does not repeat it."""
    for key, given in value.items():
        if isinstance(given, dict):
            no_secret(given, where)
        elif _SECRET.search(key) or (isinstance(given, str) and given.startswith(("sk-", "hf_", "Bearer "))):
            raise ProjectError(
                f"{key!r} in {where} holds a secret; put it into an environment variable and name that: "
                'api_key_env = "OPENAI_API_KEY"'
            )


def known(name: str, names: Sequence[str], what: str, where: str) -> None:
    """Refuse a name that is none of `names`.

    Raises:
        ProjectError: with the nearest of them.
    """
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ProjectError(f"unknown {what} {name!r} in {where}{hint}; known: {', '.join(names)}")
