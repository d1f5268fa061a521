"""The gate of a server with keys: tells whose a request is, or refuses it; follows the file of keys while it runs."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import os
import secrets
import time
from collections.abc import Callable

from starlette.requests import HTTPConnection

from shokunin.errors import ShokuninError
from shokunin.serve.callers import Caller
from shokunin.serve.edge import Gate, loopback_only
from shokunin.serve.keys import PREFIX, Key, KeyFile, digest_of, split_token
from shokunin.serve.refusal import Refusal, overloaded

LOOK_AGAIN_SECONDS = 1.0
"""A key that was made or revoked counts after this time at the latest."""

PAGE = "/"
"""The one address that takes a key as the password of a browser's own dialogue (Basic), for people cannot send headers.
It only shows figures; everywhere else a browser's habit of sending passwords along by itself would help other sites."""

_NO_KEY = secrets.token_hex(32)
_log = logging.getLogger("shokunin.serve")


class KeyGate:
    """Asks for a key as soon as the file has one, and from then on; until then `without_keys` decides.

    Host and Origin are not looked at when keys are: a key travels in a header that no web page of another site can make a
    browser send, and no such page can read an answer.

    Raises:
        ArtefactError: at the start, the file cannot be used.
    """

    def __init__(
        self,
        file: KeyFile,
        *,
        without_keys: Gate = loopback_only,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._without_keys = without_keys
        self._clock, self._ticks = clock, ticks
        self._broken = False
        self._seen = _fingerprint(file)
        self._keys = {key.id: key for key in file.read()}
        self._required = bool(self._keys)
        self._looked = ticks()

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return self._required

    def __call__(self, request: HTTPConnection) -> Caller:
        """Whose the request is.

        Raises:
            Refusal: 401 `invalid_api_key`; 503 while the file of keys cannot be read.
        """
        self._look()
        if not self._required:
            return self._without_keys(request)
        if self._broken:
            raise overloaded("the keys cannot be read, so nobody is let in; the server's log has the reason")
        if PREFIX.encode() in request.scope["query_string"]:
            raise _refused(
                request, "a key was sent in the address, where others may read it; revoke it, and send keys as a header"
            )
        given = request.headers.getlist("authorization")
        if len(given) != 1:
            raise _refused(request, "send one key in the header 'Authorization: Bearer KEY'")
        return self._known(request, _token(request, given[0])).caller()

    def _known(self, request: HTTPConnection, token: str) -> Key:
        """The key, found by its public part; a comparison in constant time is made whether there is one or not."""
        identity, secret = split_token(token)
        key = self._keys.get(identity)
        right = hmac.compare_digest(digest_of(secret), _NO_KEY if key is None else key.digest)
        if key is None or not right:
            raise _refused(request, "this key is not known here; is it complete, and of this server?")
        state = key.state(self._clock())
        if state != "valid":
            raise _refused(request, f"this key is {state}; ask the owner of this server for a new one")
        return key

    def _look(self) -> None:
        """Read the file again if it is another one than before, once a second at most."""
        if self._ticks() - self._looked < LOOK_AGAIN_SECONDS:
            return
        self._looked = self._ticks()
        seen = _fingerprint(self._file)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = {key.id: key for key in self._file.read()}
            self._broken = False
        except ShokuninError as error:
            self._broken = self._required = True
            _log.error("no request is answered until the keys can be read: %s", error)
            return
        self._required = self._required or bool(self._keys)
        _log.info("read the keys again: %d", len(self._keys))


def _fingerprint(file: KeyFile) -> tuple[int, ...]:
    try:
        found = os.stat(file.path)  # noqa: PTH116 - once a second on the event loop; Path.stat costs twice that
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)


def _token(request: HTTPConnection, header: str) -> str:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic" and _is_page(request):
        try:
            return base64.b64decode(rest.strip(), validate=True).decode("ascii").partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    raise _refused(request, "send the key in the header 'Authorization: Bearer KEY'")


def _is_page(request: HTTPConnection) -> bool:
    return bool(request.scope["path"] == PAGE and request.scope["method"] == "GET")


def _refused(request: HTTPConnection, message: str) -> Refusal:
    scheme = 'Basic realm="shokunin", charset="UTF-8"' if _is_page(request) else "Bearer"
    return Refusal(401, message, "invalid_api_key", www_authenticate=scheme)
