"""Keys: who may use the server; made once, shown once, kept as digests in one file.

The file holds the SHA-256 of a secret of 256 random bits. A slow hash would add nothing: it is there to make the guessing
of passwords dear, nobody guesses 256 bits, and it would cost every request a tenth of a second.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from shokunin.errors import ArtefactError, ProjectError, UsageError
from shokunin.files import exclusive, read_json, write_json
from shokunin.serve.callers import ALL, LOCAL, Allowance, Caller, Permission, Scopes

PREFIX = "sk-shokunin-"
"""What every key begins with, so that scanners for leaked secrets can find it."""

DEFAULT: frozenset[Permission] = frozenset({"answer", "feedback"})
"""What a new key may do unless it is said otherwise."""

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_TOKEN = re.compile(rf"{PREFIX}([0-9a-f]{{12}})-([A-Za-z0-9_-]{{43}})")
_LARGEST = 16 << 20


@dataclass(frozen=True)
class Key:
    """What is kept of a key; the key itself is not.

    Attributes:
        id: its public part.
        name: whose it is; the record's `client_id`.
        digest: SHA-256 of its secret part, 64 hexadecimal digits.
        created: when, seconds since 1970.
        expires: from when on it is refused, or None.
        revoked: when it was taken back, or None.
        scopes: what it may do.
        limits: how much it may use.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    created: float
    expires: float | None = None
    revoked: float | None = None
    scopes: Scopes = field(default_factory=lambda: Scopes(DEFAULT))
    limits: Allowance = field(default_factory=Allowance)

    def state(self, now: float) -> Literal["valid", "expired", "revoked"]:
        """Whether it opens anything at that time."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "valid"

    def caller(self) -> Caller:
        """Who sends a request with it."""
        return Caller(self.name, self.id, self.scopes, self.limits)


class KeyFile:
    """The keys of a server, `keys.json`: readable and writable by its owner alone, replaced whole, one writer at a time."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock

    def read(self) -> tuple[Key, ...]:
        """All keys, revoked ones too, oldest first; none if there is no file.

        Raises:
            ArtefactError: the file is not one of ours, or others may write it.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return ()
        if os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ArtefactError(f"others may write {str(self.path)!r}, and with it keys of their own; chmod 600 it")
        value = read_json(self.path, limit=_LARGEST)
        try:
            if value["format"] != FORMAT:
                raise ValueError(f"its format is {value['format']!r}; this release reads {FORMAT}")
            return tuple(_key(one) for one in value["keys"])
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise ArtefactError(f"{str(self.path)!r} is not a file of keys: {error}") from error

    def any_valid(self) -> bool:
        """Whether there is a key that opens something now."""
        return any(key.state(self._clock()) == "valid" for key in self.read())

    def create(
        self,
        name: str,
        *,
        permissions: Sequence[str] = tuple(sorted(DEFAULT)),
        models: Sequence[str] = (),
        seconds: float | None = None,
        limits: Allowance | None = None,
    ) -> tuple[Key, str]:
        """Make a key and keep its digest; returns what is kept, and the key, which nobody can tell again.

        Args:
            name: whose it is. Someone may have several, so that a new one can be put in place before the old one goes.
            permissions: what it may do.
            models: patterns of the models it may ask; none: all.
            seconds: how long it is good for; None: until it is revoked.
            limits: how much it may use.

        Raises:
            UsageError: a name, permission or time that cannot be.
        """
        if not _NAME.fullmatch(name) or name == LOCAL.name:
            raise UsageError(
                f"a key's name is up to 64 letters, digits and . _ @ + -, and not {LOCAL.name!r}; {name!r} is not"
            )
        if seconds is not None and not 0 < seconds < 1e10:
            raise UsageError(f"a key is good for a time above 0, not {seconds!r} seconds")
        now = self._clock()
        secret = secrets.token_urlsafe(32)
        with self._alone():
            keys = self.read()
            identity = secrets.token_hex(6)
            while any(key.id == identity for key in keys):
                identity = secrets.token_hex(6)
            key = Key(
                identity,
                name,
                digest_of(secret),
                now,
                None if seconds is None else now + seconds,
                None,
                Scopes(_permissions(permissions), _patterns(models)),
                limits or Allowance(),
            )
            self._write((*keys, key))
        return key, f"{PREFIX}{identity}-{secret}"

    def revoke(self, name_or_id: str) -> Key:
        """Take a key back, for good.

        Raises:
            ProjectError: there is no such key, or several of that name are in use.
        """
        with self._alone():
            keys = self.read()
            meant = [key for key in keys if key.id == name_or_id] or [
                key for key in keys if key.name == name_or_id and key.revoked is None
            ]
            if not meant:
                gone = any(key.name == name_or_id for key in keys)
                why = "is revoked already" if gone else "is not there; `shokunin keys list` shows them"
                raise ProjectError(f"the key {name_or_id[:80]!r} {why}")
            if len(meant) > 1:
                ids = ", ".join(key.id for key in meant)
                raise ProjectError(f"{name_or_id!r} has {len(meant)} keys; revoke one by its id: {ids}")
            if meant[0].revoked is not None:
                raise ProjectError(f"the key {name_or_id!r} is revoked already")
            revoked = replace(meant[0], revoked=self._clock())
            self._write(tuple(revoked if key.id == revoked.id else key for key in keys))
        return revoked

    def _alone(self) -> Any:
        return exclusive(self.path.with_name(f".{self.path.name}.lock"), seconds=10.0)

    def _write(self, keys: tuple[Key, ...]) -> None:
        write_json(self.path, {"format": FORMAT, "keys": [_plain(key) for key in keys]}, private=True)


def split_token(token: str) -> tuple[str, str]:
    """The public and the secret part of a key; for what is no key two texts that fit none."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else ("", token[:200])


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "sha256": key.digest,
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "permissions": sorted(key.scopes.permissions),
        "models": list(key.scopes.models),
        "limits": {name: value for name, value in asdict(key.limits).items() if value is not None},
    }


def _key(value: dict[str, Any]) -> Key:
    """A key as the file has it; what is missing or unknown is an error, for a limit that is not read does not limit."""
    known = ("id", "name", "sha256", "created", "expires", "revoked", "permissions", "models", "limits")
    if set(value) != set(known):
        raise ValueError(f"a key has {', '.join(known)}, not {', '.join(sorted(value))}")
    if not re.fullmatch(r"[0-9a-f]{64}", value["sha256"]) or not _NAME.fullmatch(value["name"]):
        raise ValueError("a key's name or digest is none")
    wrong = set(value["limits"]) - {one.name for one in fields(Allowance)}
    if wrong:
        raise ValueError(f"there are no limits called {', '.join(sorted(wrong))}")
    return Key(
        str(value["id"]),
        value["name"],
        value["sha256"],
        float(value["created"]),
        None if value["expires"] is None else float(value["expires"]),
        None if value["revoked"] is None else float(value["revoked"]),
        Scopes(_permissions(value["permissions"]), _patterns(value["models"])),
        Allowance(**value["limits"]),
    )


def _permissions(names: Sequence[str]) -> frozenset[Permission]:
    unknown = sorted(set(names) - ALL)
    if unknown or not names:
        raise UsageError(
            f"a key's permissions are some of {', '.join(sorted(ALL))}, not {', '.join(unknown) or 'none'}"
        )
    return frozenset(p for p in ALL if p in names)


def _patterns(models: Sequence[str]) -> tuple[str, ...]:
    if isinstance(models, str) or not all(isinstance(m, str) and m.strip() and m.isprintable() for m in models):
        raise UsageError("the models a key may ask are names, or patterns with * and ?")
    return tuple(models)
