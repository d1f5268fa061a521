"""The large model behind an OpenAI-compatible address, as a predictor: one chat request a row, a label back.

It is asked as its caller says, or else the plain way: the labels are listed, and one of them is the answer; temperature
0. A row that cannot be answered gets an Answer with a problem; nothing is raised for it, and an overloaded server is
asked again a few times, no sooner than it says.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from shokunin.answer import Answer, Inputs
from shokunin.errors import UsageError
from shokunin.tasks.classify_text import plain_question
from shokunin.template.labels import find_label

CONCURRENCY = 4
RETRIES = 4
LONGEST_WAIT = 60.0
"""Seconds; a server that asks for more is not waited for."""
AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
MAX_TOKENS = 512
"""Room for a label; more than any has, for models that think aloud first."""


@dataclass(frozen=True)
class Usage:
    """The tokens of one call, as the server counted them."""

    prompt_tokens: int
    completion_tokens: int


def upstream(
    base_url: str,
    model: str,
    api_key_env: str | None = None,
    labels: Sequence[str] = (),
    *,
    ask: Callable[[Inputs], list[dict[str, str]]] | None = None,
    read: Callable[[str], str | None] | None = None,
    timeout: float = 60.0,
    retries: int = RETRIES,
    concurrency: int = CONCURRENCY,
    usd_per_million: tuple[float, float] = (0.0, 0.0),
    sleep: Callable[[float], None] = time.sleep,
) -> Upstream:
    """A predictor that asks `model` at `base_url` (with `/v1`, as OpenAI clients take it) for one of `labels`.

    Args:
        base_url: for instance `https://api.openai.com/v1`.
        model: the model's name there.
        api_key_env: the environment variable that holds the key; None: no key is sent.
        labels: the answers to choose from.
        ask: makes the messages of a request, by default a plain question that lists the labels.
        read: what a reply means, by default the label that it names.
        timeout: seconds for one request.
        retries: how often one request is repeated when the server is overloaded or out of reach.
        concurrency: requests under way at a time.
        usd_per_million: price of a million prompt and completion tokens.
        sleep: how to wait between retries.

    Raises:
        UsageError: the address is not http(s), there are no labels, or the variable that is to hold the key is not set.
    """
    if not base_url.startswith(("http://", "https://")):
        raise UsageError(f"{base_url!r} is not an address; expected one like 'http://127.0.0.1:8000/v1'")
    if not labels:
        raise UsageError(f"{model!r} cannot be asked without labels to choose from")
    key = os.environ.get(api_key_env, "").strip() if api_key_env else None
    if key == "":
        raise UsageError(f"the environment variable {api_key_env!r} is not set; it should hold the key of {base_url!r}")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    client = httpx.Client(base_url=base_url.rstrip("/") + "/", headers=headers, timeout=timeout, follow_redirects=False)
    return Upstream(
        client,
        model,
        ask or (lambda inputs: plain_question(inputs, labels)),
        read or (lambda reply: find_label(reply, labels)),
        retries,
        concurrency,
        usd_per_million,
        sleep,
    )


class Upstream:
    """The large model as a predictor; `usages` has the token counts of every call so far."""

    def __init__(
        self,
        client: httpx.Client,
        model: str,
        ask: Callable[[Inputs], list[dict[str, str]]],
        read: Callable[[str], str | None],
        retries: int,
        concurrency: int,
        usd_per_million: tuple[float, float],
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._model = model
        self._question = ask
        self._read = read
        self._retries = retries
        self._concurrency = concurrency
        self._usd_per_million = usd_per_million
        self._sleep = sleep
        self._extra: dict[str, Any] = {"temperature": 0, "max_tokens": MAX_TOKENS}
        self.usages: list[Usage] = []

    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        """Ask every input, a few at a time; the answers are in order, and one that failed has a problem."""
        with ThreadPoolExecutor(max_workers=self._concurrency) as pool:
            return list(pool.map(self._ask, batch))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, inputs: Inputs) -> Answer:
        start = time.perf_counter()
        try:
            content, usage = self._chat(self._question(inputs))
        except _FailedError as failed:
            return Answer(None, 0.0, self._model, str(failed), sure=False, seconds=time.perf_counter() - start)
        seconds = time.perf_counter() - start
        self.usages.append(usage)
        prices = self._usd_per_million
        cost = (usage.prompt_tokens * prices[0] + usage.completion_tokens * prices[1]) / 1e6
        value = self._read(content)
        if value is None:
            problem = f"the reply is not one of the labels: {content[:80]!r}"
            return Answer(None, 0.0, self._model, problem, sure=False, seconds=seconds, cost=cost)
        # It is taken at its word: what such a model says of its own certainty is not calibrated.
        return Answer(value, 1.0, self._model, seconds=seconds, cost=cost)

    def _chat(self, messages: list[dict[str, str]]) -> tuple[str, Usage]:
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                response = self._client.post(
                    "chat/completions", json={"model": self._model, "messages": messages, **self._extra}
                )
            except httpx.HTTPError as error:
                if last or isinstance(error, httpx.UnsupportedProtocol):
                    raise _FailedError(f"no answer from {self._client.base_url}: {type(error).__name__}") from error
                self._sleep(_pause(attempt))
                continue
            if response.status_code == 200:
                return _content(response)
            if response.status_code == 400 and not last and self._yields(_message(response)):
                continue
            wait = _wished_pause(response)
            if last or response.status_code not in AGAIN or (wait is not None and wait > LONGEST_WAIT):
                raise _FailedError(f"the server said {response.status_code}: {_message(response)}")
            self._sleep(_pause(attempt) if wait is None else wait)
        raise AssertionError("unreachable")

    def _yields(self, message: str) -> bool:
        """Whether the refusal was about a setting that this model wants otherwise, which it then gets from now on."""
        if "max_completion_tokens" in message and "max_tokens" in self._extra:
            self._extra = {k: v for k, v in self._extra.items() if k != "max_tokens"} | {
                "max_completion_tokens": MAX_TOKENS
            }
            return True
        if "temperature" in message and "temperature" in self._extra:
            self._extra = {k: v for k, v in self._extra.items() if k != "temperature"}
            return True
        return False


class _FailedError(Exception):
    """One request came to nothing; the message becomes the Answer's problem."""


def _content(response: httpx.Response) -> tuple[str, Usage]:
    try:
        body = response.json()
        content = body["choices"][0]["message"]["content"]
        counts: Mapping[str, Any] = body.get("usage") or {}
        usage = Usage(int(counts.get("prompt_tokens") or 0), int(counts.get("completion_tokens") or 0))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _FailedError("the reply is not a chat completion") from error
    if not isinstance(content, str) or not content.strip():
        raise _FailedError("the reply is empty")
    return content, usage


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
