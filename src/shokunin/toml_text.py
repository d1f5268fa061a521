"""TOML text: how a value is written so that it reads well and is read back as the same value."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from shokunin.errors import ProjectError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def toml_key(key: str) -> str:
    """A key as it is written: bare where it may be."""
    return key if _BARE.fullmatch(key) else _quoted(key)


def toml_value(value: Any) -> str:
    """A value as it is written; a text of several lines stands on lines of its own, a mapping on one line.

    Args:
        value: a text, a number, true or false, or a sequence or a mapping of such.

    Raises:
        ProjectError: a text holds half of a surrogate pair, or there is no value, which TOML cannot say.
    """
    if value is None:
        raise ProjectError("TOML has no word for “no value”; leave the key out")
    if isinstance(value, Mapping):
        inner = (
            f"{toml_key(str(key))} = {_line(one) if isinstance(one, str) else toml_value(one)}"
            for key, one in value.items()
        )
        return "{ " + ", ".join(inner) + " }" if value else "{}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _lines(value) if "\n" in value else _line(value)
    return "[" + ", ".join(_line(one) if isinstance(one, str) else toml_value(one) for one in value) + "]"


def _line(text: str) -> str:
    """Quotes and backslashes as they are, in single quotes, where the text has no single quote."""
    if re.search(r'["\\]', text) and "'" not in text and text.isprintable():
        return f"'{text}'"
    return _quoted(text)


def _lines(text: str) -> str:
    shown = text.replace("\n", "").replace("\t", "").isprintable()
    if shown and re.search(r'\\|"""|"\Z', text) and "'''" not in text and not text.endswith("'"):
        return f"'''\n{text}'''"
    # Every third quote in a row is escaped, and one at the end, as they would end the text.
    written = _escaped(text, keep='\n\t"')
    return '"""\n' + re.sub(r'""(?:"|\Z)|"\Z', lambda found: found[0][:-1] + '\\"', written) + '"""'


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str, keep: str = "") -> str:
    """The text with everything escaped that TOML does not allow, or that nobody could see."""
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ProjectError(
            f"{text[:80]!r} holds half of a surrogate pair, which no TOML file can say; take it out of the text"
        )
    return "".join(c if c in keep or (c.isprintable() and c not in '"\\') else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def told_value(text: str) -> Any:
    """What somebody wrote behind an equals sign: a TOML value, one of JSON (null, say), or else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return json.loads(text)
    except ValueError:
        return text
