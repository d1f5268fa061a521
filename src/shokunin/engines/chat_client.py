"""One chat request to an OpenAI-compatible server, asked again while the server is overloaded, no sooner than it says.

What a request may cost is the caller's to watch: it is told before every attempt and how each one ended.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import httpx

from shokunin.errors import UsageError

RETRIES = 4
LONGEST_WAIT = 60.0
"""Seconds; a server that asks for more is not waited for."""
AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Usage:
    """The tokens of one call, as the server counted them; 0 where it does not say."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class ChatReply:
    """What a model said.

    Attributes:
        text: the reply, not empty.
        usage: its tokens.
        finished: False where the server cut it off at `max_tokens`.
    """

    text: str
    usage: Usage
    finished: bool = True


class Attempts(Protocol):
    """Told of every attempt at a request; what it raises in `begin` ends the request."""

    def begin(self) -> None:
        """A request is about to be sent."""

    def refused(self) -> None:
        """The server answered with an error: nothing is charged for it."""

    def lost(self) -> None:
        """No answer came; whether the server did the work, and charges for it, nobody knows."""


class NoReplyError(Exception):
    """One request came to nothing; the message says why.

    Attributes:
        usage: the tokens of a reply that came but cannot be used; None when none came.
    """

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage


class ChatClient:
    """Connections to one server, and the settings that its model has turned out to want. Safe to use from many threads."""

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`base_url` is up to and with `/v1`; `timeout` in seconds for one attempt; `sleep` waits between attempts.

        Raises:
            UsageError: the address is not http(s).
        """
        if not base_url.startswith(("http://", "https://")):
            raise UsageError(f"{base_url!r} is not an address; expected one like 'http://127.0.0.1:8000/v1'")
        self.model = model
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(
            base_url=base_url.rstrip("/") + "/", headers=headers, timeout=timeout, follow_redirects=False
        )
        self._retries = retries
        self._sleep = sleep
        self._lock = threading.Lock()
        self._long_name = False
        self._unwanted: set[str] = set()

    def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        attempts: Attempts | None = None,
        **more: Any,
    ) -> ChatReply:
        """The model's reply; `more` are further settings of the request, for instance `seed`.

        Raises:
            NoReplyError: the server cannot be reached, refuses, or does not answer with a chat completion.
        """
        settings = {"temperature": temperature, **more}
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            if attempts is not None:
                attempts.begin()
            try:
                response = self._client.post(
                    "chat/completions",
                    json={"model": self.model, "messages": list(messages), **self._wanted(settings, max_tokens)},
                )
            except httpx.HTTPError as error:
                if attempts is not None:
                    # A connection that was never made has brought the request to nobody.
                    never_sent = isinstance(
                        error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)
                    )
                    (attempts.refused if never_sent else attempts.lost)()
                if last or isinstance(error, httpx.UnsupportedProtocol):
                    raise NoReplyError(f"no answer from {self._client.base_url}: {type(error).__name__}") from error
                self._sleep(_pause(attempt))
                continue
            if response.status_code == 200:
                return _content(response)
            if attempts is not None:
                attempts.refused()
            if response.status_code == 400 and not last and self._yields(_message(response)):
                continue
            wait = _wished_pause(response)
            if last or response.status_code not in AGAIN or (wait is not None and wait > LONGEST_WAIT):
                raise NoReplyError(f"the server said {response.status_code}: {_message(response)}")
            self._sleep(_pause(attempt) if wait is None else wait)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _wanted(self, settings: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
        name = "max_completion_tokens" if self._long_name else "max_tokens"
        return {**{k: v for k, v in settings.items() if k not in self._unwanted}, name: max_tokens}

    def _yields(self, message: str) -> bool:
        """Whether the refusal was about a setting that this model wants otherwise, which it then gets from now on."""
        with self._lock:
            if "max_completion_tokens" in message and not self._long_name:
                self._long_name = True
                return True
            for name in ("temperature", "seed"):
                if name in message and name not in self._unwanted:
                    self._unwanted.add(name)
                    return True
        return False


def key_in(variable: str | None, base_url: str) -> str | None:
    """The key in an environment variable; None where none is named.

    Raises:
        UsageError: the variable is not set.
    """
    key = os.environ.get(variable, "").strip() if variable else None
    if key == "":
        raise UsageError(f"the environment variable {variable!r} is not set; it should hold the key of {base_url!r}")
    return key


def _content(response: httpx.Response) -> ChatReply:
    try:
        body = response.json()
        choice = body["choices"][0]
        content = choice["message"]["content"]
        counts: Mapping[str, Any] = body.get("usage") or {}
        usage = Usage(int(counts.get("prompt_tokens") or 0), int(counts.get("completion_tokens") or 0))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NoReplyError("the reply is not a chat completion") from error
    if not isinstance(content, str) or not content.strip():
        raise NoReplyError("the reply is empty", usage)
    return ChatReply(content, usage, choice.get("finish_reason") != "length")


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])[:200]
    except (ValueError, LookupError, TypeError):
        return json.dumps(response.text[:200])


def _pause(attempt: int) -> float:
    return float(min(8.0, 0.5 * 2**attempt))


def _wished_pause(response: httpx.Response) -> float | None:
    """The seconds in `Retry-After`, which is a number or a date (RFC 9110, 10.2.3)."""
    wish = response.headers.get("retry-after")
    if wish is None:
        return None
    try:
        return max(0.0, float(wish))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(wish).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
