"""Teachers: the models behind the addresses and names that `distill --from` is given, with their keys and prices."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from shokunin.answer import Inputs
from shokunin.cost import Price, price_of, unknown_prices
from shokunin.curate.redact import mask
from shokunin.distill.teacher import Attempts, FailedError, Question, Reply
from shokunin.engines.chat_client import ChatClient, NoReplyError, key_in
from shokunin.errors import UsageError
from shokunin.pipeline.comparing import OPENAI, OPENAI_KEY
from shokunin.project import Project

FREE = Price(0.0, 0.0)


@dataclass(frozen=True)
class ServerTeacher:
    """A model behind an OpenAI-compatible address.

    Attributes:
        name: the model's.
        price: what its tokens cost; None: nobody knows.
        local: whether it runs on this machine, so that nothing leaves the house.
        client: its connections.
        hint: what may be wrong when it does not answer.
    """

    name: str
    price: Price | None
    local: bool
    client: ChatClient
    hint: str = ""

    def ask(self, question: Question, attempts: Attempts) -> Reply:
        """The reply; an empty one is a reply too.

        Raises:
            FailedError: there is none.
        """
        # A seed makes a server that knows it say the same again, which is worth having though the journal does not need it.
        seed = {"seed": question.draw} if question.temperature else {}
        try:
            said = self.client.ask(
                question.messages,
                max_tokens=question.max_tokens,
                temperature=question.temperature,
                attempts=attempts,
                **seed,
            )
        except NoReplyError as error:
            if error.usage is None:
                raise FailedError(f"{error}{self.hint}") from error
            return Reply("", error.usage.prompt_tokens, error.usage.completion_tokens)
        return Reply(said.text, said.usage.prompt_tokens, said.usage.completion_tokens, said.finished)


def teacher(named: str, place: Project, *, timeout: float = 120.0) -> ServerTeacher:
    """The teacher of that name.

    Args:
        named: `UPSTREAM`, `UPSTREAM#MODEL` (of `shokunin.toml`), or `URL#MODEL`.
        place: the project.
        timeout: seconds for one answer, where the upstream's own do not say.

    Raises:
        UsageError: there is no such upstream, no model is named, or the key is missing.
    """
    base, _, model = named.partition("#")
    if base in place.upstreams:
        known = place.upstreams[base]
        model = model or known.model
        key, url, timeout = known.api_key(root=place.root), known.base_url, known.timeout_seconds
        hint = ""
    elif base.startswith(("http://", "https://")):
        if not model:
            raise UsageError(f"{named!r} names no model; write URL#MODEL, for instance http://127.0.0.1:8000/v1#gpt")
        ours = urlsplit(base).scheme == "https" and urlsplit(base).netloc.lower() in OPENAI
        key, url = key_in(OPENAI_KEY if ours else None, base), base
        hint = "" if ours else (
            "; no key was sent: where one is needed, name the address in [upstreams.NAME] of shokunin.toml, with api_key_env"
        )  # fmt: skip
    else:
        there = ", ".join(map(repr, place.upstreams)) or "none"
        raise UsageError(
            f"{base!r} is no upstream of this project and no address; the upstreams in shokunin.toml are: {there}. Write "
            "UPSTREAM#MODEL or URL#MODEL, for instance http://127.0.0.1:8000/v1#gpt"
        )
    local = is_loopback(url)
    price = price_of(model, place.prices)
    # A name that is in the price book is believed even behind this machine's own address: a proxy may stand there.
    return ServerTeacher(
        model, FREE if price is None and local else price, local, ChatClient(url, model, key, timeout=timeout), hint
    )


def check_prices(teachers: Sequence[ServerTeacher], place: Project, budget: float | None, *, willing: bool) -> None:
    """Stop where nobody knows what a teacher costs.

    Args:
        teachers: all that will be asked.
        place: the project.
        budget: the cap, which cannot be held without prices.
        willing: whether an unknown cost is accepted.

    Raises:
        UsageError: a price is not known.
    """
    unknown = {t.name: 0 for t in teachers if t.price is None}
    message = unknown_prices(unknown, place.prices)
    if message is not None and (budget is not None or not willing):
        end = "" if budget is not None else "\n\nor say --yes to go on without knowing what it costs"
        raise UsageError(message + end)


def hiding(teachers: Sequence[ServerTeacher], place: Project, task: str) -> Callable[[Inputs], Inputs]:
    """What is done to an input before a teacher sees it, by the task's egress; models on this machine see it as it is.

    Raises:
        UsageError: nothing of this task may leave the house.
    """
    abroad = [t.name for t in teachers if not t.local]
    egress = place.gateway.route(task).egress
    if not abroad or egress == "allowed":
        return lambda inputs: inputs
    if egress == "never":
        raise UsageError(
            f"nothing of task {task!r} may leave the house (egress = 'never' in shokunin.toml), and {abroad[0]!r} is not on this "
            "machine; ask a model that is, or change [gateway.tasks]"
        )
    return lambda inputs: {name: mask(value) for name, value in inputs.items()}


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
