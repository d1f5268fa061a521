"""Upstream: the client that passes a request on to an OpenAI-compatible server and its reply back, byte by byte.

A reply of any status is a reply: errors and HTML pages of the upstream are passed on as they are. Only when there is no
reply, or it breaks off, is there an `UpstreamFailure`. A request is sent again only where it cannot have been worked on:
no connection came about, or it carries an `idempotency-key` and no byte came back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal

import aiohttp
from pydantic import SecretStr
from yarl import URL

from shokunin.errors import UsageError
from shokunin.serve.breaker import Breaker
from shokunin.serve.forwarding import reply_headers, request_headers
from shokunin.serve.refusal import Refusal

Reason = Literal[
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_reset",
    "upstream_open_circuit",
    "upstream_too_large",
    "upstream_not_http",
    "upstream_busy",
]

_MEANING: dict[Reason, tuple[int, str]] = {
    "upstream_unreachable": (502, "cannot be reached"),
    "upstream_timeout": (504, "did not answer in time"),
    "upstream_reset": (502, "broke off its answer"),
    "upstream_open_circuit": (503, "failed several times and is left alone for a while"),
    "upstream_too_large": (502, "gave an answer larger than this server takes"),
    "upstream_not_http": (502, "gave an answer that is not HTTP"),
    "upstream_busy": (503, "has as many requests waiting as this server allows"),
}

HEAD_BYTES = 32 << 10
"""A line of the reply's head may be this long."""
_PAUSE = 0.05
"""Seconds before the first repetition; doubled each time, and drawn from the upper half."""
_OWN = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Headers that the client library would add by itself."""
_log = logging.getLogger("shokunin.serve")


@dataclass(frozen=True, kw_only=True)
class UpstreamSettings:
    """One upstream, as the owner's settings describe it.

    Attributes:
        name: what it is called in settings, records and metrics.
        base_url: with `/v1`, as OpenAI clients take it.
        key: sent as a bearer token; None: no key.
        timeout_seconds: for a whole answer, repetitions and streams included.
        connect_seconds: for one connection.
        idle_seconds: between two pieces of a stream.
        connections: open at a time.
        waiting: requests that may wait for a connection; more fail at once.
        retries: how often a request that was not sent is tried again.
        breaker_failures: so many failures in a row and the upstream is left alone.
        breaker_seconds: for so long.
        forward_client_key: send the client's own `authorization` where it has one.
    """

    name: str
    base_url: str
    key: SecretStr | None = None
    timeout_seconds: float = 600.0
    connect_seconds: float = 5.0
    idle_seconds: float = 60.0
    connections: int = 256
    waiting: int = 256
    retries: int = 2
    breaker_failures: int = 5
    breaker_seconds: float = 15.0
    forward_client_key: bool = False

    def __post_init__(self) -> None:
        try:
            url = URL(self.base_url)
            good = url.scheme in ("http", "https") and url.host and not (url.user or url.password or url.query_string)
        except ValueError:
            good = False
        if not good:
            raise UsageError(
                f"the base_url of upstream {self.name!r} is not an address; "
                "expected one like 'https://api.openai.com/v1', without user, password or query"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            least = field.name not in ("retries", "waiting")  # these may be 0
            if isinstance(value, int | float) and (value < 0 or (least and not isinstance(value, bool) and value == 0)):
                raise UsageError(f"{field.name} of upstream {self.name!r} is a number above 0, not {value!r}")


class UpstreamFailure(Exception):  # noqa: N818 - what became of the request, not a fault of the program
    """There is no reply, or it broke off.

    Attributes:
        reason: a word of a closed set.
        upstream: the upstream's name.
        before_reply: nothing of the reply's body had been handed over.
        retry_after: seconds after which asking again makes sense, where that is known.
    """

    def __init__(
        self, reason: Reason, upstream: str, *, before_reply: bool = True, retry_after: float | None = None
    ) -> None:
        super().__init__(f"the upstream {upstream!r} {_MEANING[reason][1]}")
        self.reason = reason
        self.upstream = upstream
        self.before_reply = before_reply
        self.retry_after = retry_after

    def refusal(self) -> Refusal:
        """The failure as an answer to the client; says nothing of the upstream's address or key."""
        headers = {} if self.retry_after is None else {"retry_after": str(max(1, round(self.retry_after)))}
        return Refusal(_MEANING[self.reason][0], str(self), self.reason, **headers)

    def event(self) -> bytes:
        """The failure as the last event of a stream that has begun; ends what event was under way."""
        error = json.loads(self.refusal().body())["error"]
        return b"\n\ndata: " + json.dumps({"error": error}).encode() + b"\n\n"


class UpstreamClient:
    """Asks one upstream; lives in one event loop. Close it in the end."""

    def __init__(self, settings: UpstreamSettings, *, breaker: Breaker | None = None) -> None:
        self.settings = settings
        self.breaker = breaker or Breaker(settings.breaker_failures, settings.breaker_seconds)
        self.in_flight = 0
        self._base = settings.base_url.rstrip("/")
        self._own_key = None if settings.key is None else f"Bearer {settings.key.get_secret_value()}"
        self._session: aiohttp.ClientSession | None = None
        self._url = lru_cache(maxsize=256)(self._make_url)

    async def send(
        self,
        path: str,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        *,
        client_authorization: str | None = None,
        seconds: float | None = None,
        method: str = "POST",
    ) -> UpstreamReply:
        """Pass a request on; returns once the head of the reply is there.

        Args:
            path: the address under `/v1`, for instance `/v1/chat/completions`, as the client asked for it.
            body: passed on as it is.
            headers: the client's; `forwarding` says which go on.
            client_authorization: the client's own `authorization`, sent only with `forward_client_key`.
            seconds: time left for the whole answer, if less than the upstream's own limit.
            method: the HTTP method.

        Raises:
            UpstreamFailure: there is no reply.
        """
        forwarded = self.settings.forward_client_key and client_authorization is not None
        going = request_headers(headers, client_authorization if forwarded else self._own_key)
        repeatable = any(name == "idempotency-key" for name, _ in going)
        limit = self.settings.timeout_seconds
        deadline = asyncio.get_running_loop().time() + (limit if seconds is None else min(seconds, limit))
        if self.in_flight >= self.settings.connections + self.settings.waiting:
            raise self._failure("upstream_busy", retry_after=1.0)
        self.in_flight += 1
        try:
            reply = await self._attempts(method, self._url(path), body, going, deadline, repeatable)
        except BaseException:
            self.in_flight -= 1
            raise
        return reply

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _attempts(
        self, method: str, url: URL, body: bytes, headers: list[tuple[str, str]], deadline: float, repeatable: bool
    ) -> UpstreamReply:
        for attempt in range(self.settings.retries + 1):
            ticket = self.breaker.admit()
            if ticket is None:
                raise self._failure("upstream_open_circuit", retry_after=self.breaker.wait_seconds)
            try:
                return await self._once(method, url, body, headers, deadline, ticket)
            except _AttemptError as error:
                again = error.safe == "always" or (error.safe == "idempotent" and repeatable and attempt == 0)
                pause = _PAUSE * 2**attempt * random.uniform(0.5, 1.0)
                late = asyncio.get_running_loop().time() + pause >= deadline
                if not again or late or attempt == self.settings.retries:
                    _log.warning("%s: %s", self._failure(error.reason), error.__cause__)
                    raise self._failure(error.reason) from error.__cause__
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _once(
        self, method: str, url: URL, body: bytes, headers: list[tuple[str, str]], deadline: float, ticket: int
    ) -> UpstreamReply:
        good: bool | None = None
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._open().request(
                    method, url, data=body or None, headers=headers, allow_redirects=False
                )
            if not 200 <= response.status < 600:
                response.close()
                raise aiohttp.ClientResponseError(response.request_info, (), status=response.status)
            good = response.status < 500 or response.status == 501
            if good and not self.breaker.probing(ticket):
                good = None  # the reply says so at its end
                return UpstreamReply(self, response, deadline, ticket)
            return UpstreamReply(self, response, deadline, None)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            good = False
            raise _attempt_error(error) from error
        finally:
            if good is not None:
                self.breaker.report(ticket, good)
            elif self.breaker.probing(ticket):  # cancelled: let another try
                self.breaker.report(ticket, None)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self.settings.connections, ttl_dns_cache=60, socket_factory=_kept_alive_socket
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.settings.connect_seconds),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=_OWN,
                max_line_size=HEAD_BYTES,
                max_field_size=HEAD_BYTES,
            )
        return self._session

    def _make_url(self, path: str) -> URL:
        asked = path.removeprefix("/v1")
        if not asked.startswith("/") or ".." in asked.partition("?")[0].split("/"):
            raise ValueError(f"{path!r} is not an address under '/v1'")
        return URL(self._base + asked, encoded=True)

    def _failure(self, reason: Reason, **about: Any) -> UpstreamFailure:
        return UpstreamFailure(reason, self.settings.name, **about)


class UpstreamReply:
    """The head of a reply, and its body as it comes. Whoever has it reads it to the end or calls `aclose`.

    Attributes:
        status: the HTTP status.
        headers: those to pass on, names in lower case.
        is_stream: the body is a stream of server-sent events.
        content_encoding: how the body is encoded, "" if it is not.
        upstream_request_id: the upstream's own name for this request, or "".
    """

    def __init__(
        self, client: UpstreamClient, response: aiohttp.ClientResponse, deadline: float, ticket: int | None
    ) -> None:
        self.status = response.status
        self.headers = reply_headers(response.raw_headers)
        own = response.headers
        self.is_stream = own.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"
        self.content_encoding = own.get("content-encoding", "").strip().lower().replace("identity", "")
        self.upstream_request_id = own.get("x-request-id", "")
        self._client = client
        self._response = response
        self._deadline = deadline
        self._ticket = ticket
        self._over = False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body in the pieces in which it arrives, as it is on the wire.

        Raises:
            UpstreamFailure: it broke off, or nothing came for too long.
        """
        given, content, clock = False, self._response.content, asyncio.get_running_loop().time
        try:
            while not content.at_eof():
                end = self._deadline
                if self.is_stream:  # a body that is no stream has until the deadline for each piece
                    end = min(end, clock() + self._client.settings.idle_seconds)
                with self._translated(before_reply=not given):
                    async with asyncio.timeout_at(end):
                        piece = await content.readany()
                if piece:
                    given = True
                    yield piece
            self._end(True)
        finally:
            await self.aclose()

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            UpstreamFailure: it broke off, did not come in time or is larger than `limit` bytes.
        """
        pieces, size, content = [], 0, self._response.content
        try:
            with self._translated(before_reply=True):
                async with asyncio.timeout_at(self._deadline):
                    while not content.at_eof():
                        pieces.append(await content.readany())
                        size += len(pieces[-1])
                        if size > limit:
                            raise UpstreamFailure("upstream_too_large", self._client.settings.name)
            self._end(True)
        finally:
            await self.aclose()
        return b"".join(pieces)

    async def aclose(self) -> None:
        """Let go of it; a body that was not read to its end is cut off, so that the upstream stops working on it."""
        self._end(None)

    @contextmanager
    def _translated(self, before_reply: bool) -> Iterator[None]:
        """The client library's words for a body that breaks off, in ours."""
        try:
            yield
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._end(False)
            reason: Reason = "upstream_timeout" if isinstance(error, TimeoutError) else "upstream_reset"
            raise UpstreamFailure(reason, self._client.settings.name, before_reply=before_reply) from error

    def _end(self, good: bool | None) -> None:
        if not self._over:
            self._over = True
            self._client.in_flight -= 1
            self._response.close()  # a connection whose reply is complete has gone back to the pool already
            if self._ticket is not None:
                self._client.breaker.report(self._ticket, good)


class _AttemptError(Exception):
    """One attempt came to nothing; `safe` says whether the request may be sent again."""

    def __init__(self, reason: Reason, safe: Literal["always", "idempotent", "never"]) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.safe = safe


def _attempt_error(error: Exception) -> _AttemptError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return _AttemptError("upstream_unreachable", "never")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return _AttemptError("upstream_unreachable", "always")
    if isinstance(error, TimeoutError):
        return _AttemptError("upstream_timeout", "never")
    if isinstance(error, aiohttp.ServerDisconnectedError) and isinstance(error.message, str):
        return _AttemptError("upstream_reset", "idempotent")  # else the message is the beginning of a reply
    not_http = isinstance(error, aiohttp.ClientResponseError)
    return _AttemptError("upstream_not_http" if not_http else "upstream_reset", "never")


def _kept_alive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose dead peer is noticed within minutes, not hours."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
    return made
