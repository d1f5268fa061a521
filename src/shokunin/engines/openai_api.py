"""The large model behind an OpenAI-compatible address, as a predictor: one chat request a row, a label back.

It is asked as its caller says, or else the plain way: the labels are listed, and one of them is the answer; temperature
0. A row that cannot be answered gets an Answer with a problem; nothing is raised for it, and an overloaded server is
asked again a few times, no sooner than it says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from shokunin.answer import Answer, Inputs
from shokunin.engines.chat_client import RETRIES, ChatClient, NoReplyError, Usage, key_in
from shokunin.errors import UsageError
from shokunin.template.labels import find_label, plain_question

__all__ = ["Upstream", "Usage", "upstream"]

CONCURRENCY = 4
MAX_TOKENS = 512
"""Room for a label; more than any has, for models that think aloud first."""


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
    max_tokens: int = MAX_TOKENS,
    sleep: Callable[[float], None] = time.sleep,
) -> Upstream:
    """A predictor that asks `model` at `base_url` (with `/v1`, as OpenAI clients take it) for one of `labels` or as told.

    Args:
        base_url: for instance `https://api.openai.com/v1`.
        model: the model's name there.
        api_key_env: the environment variable that holds the key; None: no key is sent.
        labels: the answers to choose from; none are needed where `ask` and `read` are given.
        ask: makes the messages of a request, by default a plain question that lists the labels.
        read: what a reply means, by default the label that it names.
        timeout: seconds for one request.
        retries: how often one request is repeated when the server is overloaded or out of reach.
        concurrency: requests under way at a time.
        usd_per_million: price of a million prompt and completion tokens.
        max_tokens: a reply has at most so many.
        sleep: how to wait between retries.

    Raises:
        UsageError: the address is not http(s), there are no labels, or the variable that is to hold the key is not set.
    """
    if not labels and (ask is None or read is None):
        raise UsageError(f"{model!r} cannot be asked without labels to choose from")
    client = ChatClient(base_url, model, key_in(api_key_env, base_url), timeout=timeout, retries=retries, sleep=sleep)
    return Upstream(
        client,
        ask or (lambda inputs: plain_question(inputs, labels)),
        read or (lambda reply: find_label(reply, labels)),
        concurrency,
        usd_per_million,
        max_tokens,
        "one of the labels" if labels else "an answer of the task's shape",
    )


class Upstream:
    """The large model as a predictor; `usages` has the token counts of every call so far."""

    def __init__(
        self,
        client: ChatClient,
        ask: Callable[[Inputs], list[dict[str, str]]],
        read: Callable[[str], str | None],
        concurrency: int,
        usd_per_million: tuple[float, float],
        max_tokens: int,
        expected: str,
    ) -> None:
        self._client = client
        self._model = client.model
        self._question = ask
        self._read = read
        self._concurrency = concurrency
        self._usd_per_million = usd_per_million
        self._max_tokens = max_tokens
        self._expected = expected
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
            reply = self._client.ask(self._question(inputs), max_tokens=self._max_tokens)
        except NoReplyError as failed:
            return Answer(None, 0.0, self._model, str(failed), sure=False, seconds=time.perf_counter() - start)
        seconds = time.perf_counter() - start
        content, usage = reply.text, reply.usage
        self.usages.append(usage)
        prices = self._usd_per_million
        cost = (usage.prompt_tokens * prices[0] + usage.completion_tokens * prices[1]) / 1e6
        value = self._read(content)
        if value is None:
            problem = f"the reply is not {self._expected}: {content[:80]!r}"
            return Answer(None, 0.0, self._model, problem, sure=False, seconds=seconds, cost=cost)
        # It is taken at its word: what such a model says of its own certainty is not calibrated.
        return Answer(value, 1.0, self._model, seconds=seconds, cost=cost)
