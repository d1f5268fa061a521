"""Refusal: every failure of a request, in the error envelope that OpenAI clients read."""

from __future__ import annotations

import json
from collections.abc import Mapping

_TYPES = {401: "invalid_request_error", 403: "permission_denied", 429: "rate_limit_exceeded"}


class Refusal(Exception):  # noqa: N818 - it is an answer to the client, not a fault of the program
    """A request that gets an error instead of an answer.

    Attributes:
        status: the HTTP status.
        message: for the caller: what is wrong and what to do; never the text of the request or a path on this machine.
        code: a word for programs, for instance `model_not_found`.
        param: the field of the request that is at fault, if one is.
        headers: headers to send along.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None, **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers: Mapping[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}

    def body(self) -> bytes:
        """The error envelope as JSON."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()


def overloaded(message: str) -> Refusal:
    """503: try again in a second."""
    return Refusal(503, message, "overloaded", retry_after="1")


def internal_error(request_id: str) -> Refusal:
    """500: says nothing of what went wrong but the name under which the log has it."""
    return Refusal(
        500, f"the server failed on this request; its log has the reason under {request_id}", "internal_error"
    )
