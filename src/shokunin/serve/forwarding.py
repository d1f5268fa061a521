"""Forwarding: which headers of a request go on to an upstream, and which of its reply's headers come back.

Requests: all go on but those listed here. A list of the allowed would break the applications that send fields of their
upstream's own (`openai-beta`, `x-title`, `anthropic-version`). What identifies the client towards this server, or belongs
to this connection, stays here. The upstream is always asked for an unencoded body: the record must read it, and what
arrives is passed on byte by byte.

Replies: what belongs to the connection, to the upstream's own address (cookies, CORS, HSTS, alternative services) or is
set by this server stays behind; the rest is passed on, content encoding included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "http2-settings", "content-length",
    }
)  # fmt: skip
"""Of one connection, not of the message; lengths are counted anew."""

STAYS = HOP_BY_HOP | {
    "authorization", "api-key", "x-api-key", "x-goog-api-key",  # they open this server
    "cookie", "cookie2", "from", "host", "origin", "referer", "expect", "accept-encoding", "upgrade-insecure-requests",
    "forwarded", "via", "x-real-ip", "true-client-ip", "x-client-ip", "client-ip", "baggage",
}  # fmt: skip
"""Of a request, what the upstream does not get."""
STAYS_PREFIXES = ("x-shokunin-", "x-forwarded-", "x-original-", "sec-", "cf-", "proxy-")

LEFT_BEHIND = HOP_BY_HOP | {
    "set-cookie", "set-cookie2", "server", "date", "x-powered-by", "via", "alt-svc", "strict-transport-security",
    "public-key-pins", "clear-site-data", "report-to", "nel", "reporting-endpoints", "timing-allow-origin",
    "x-request-id", "cache-control", "x-content-type-options",  # this server sets its own
}  # fmt: skip
"""Of a reply, what the client does not get."""
LEFT_BEHIND_PREFIXES = ("x-shokunin-", "access-control-", "cross-origin-", "cf-")


def request_headers(headers: Iterable[tuple[str, str]], authorization: str | None) -> list[tuple[str, str]]:
    """What the upstream gets of a client's headers, with `authorization` as the upstream's own."""
    pairs = [(name.lower(), value) for name, value in headers]
    stays = STAYS | _named_by_connection(pairs)
    kept = [(n, value) for n, value in pairs if n not in stays and not n.startswith(STAYS_PREFIXES)]
    kept.append(("accept-encoding", "identity"))
    if authorization is not None:
        kept.append(("authorization", authorization))
    return kept


def reply_headers(raw: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """What the client gets of an upstream's headers; names in lower case."""
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]
    left = LEFT_BEHIND | _named_by_connection(pairs)
    return [(n, value) for n, value in pairs if n not in left and not n.startswith(LEFT_BEHIND_PREFIXES)]


def _named_by_connection(pairs: Sequence[tuple[str, str]]) -> frozenset[str]:
    """The header names that `Connection` lists: they are of this connection too (RFC 9110, 7.6.1)."""
    named = [value for name, value in pairs if name == "connection"]
    if not named or named == ["keep-alive"]:
        return frozenset()
    return frozenset(word.strip().lower() for value in named for word in value.split(","))
