"""The price book: a dated list of what rented models cost, and the rules by which a model's name is found in it.

The list is `prices.toml`. A price that the project's settings give is asked first, name by name. A name is looked for as it
is written; then without what it is known to be decorated with: the provider's prefix (`openai/gpt-4o`), the date of a
snapshot (`gpt-4o-mini-2024-07-18`, `claude-sonnet-4-5-20250929`, `claude-sonnet-4-5@20250929`), `-latest`, or what follows
the base of a fine-tuned model (`ft:gpt-4o-mini-2024-07-18:my-shop::abc`). Nothing else is guessed: any other name has no
price, and the caller asks for it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from shokunin.cost.price import Price
from shokunin.toml_text import toml_key

NO_PRICES: Mapping[str, Price] = {}
_SNAPSHOT = re.compile(
    r"[-@](?:20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))$"
)
_LATEST = "-latest"
_TUNED = re.compile(r"(ft:[^:]+):.*")


@dataclass(frozen=True)
class Provider:
    """One section of the book.

    Attributes:
        name: who rents the models out.
        prefixes: what stands before their names in other tools, without the slash.
        source: where the figures are from.
        prices: by model.
    """

    name: str
    prefixes: tuple[str, ...]
    source: str
    prices: Mapping[str, Price]


@dataclass(frozen=True)
class PriceBook:
    """The book as it is shipped.

    Attributes:
        as_of: the day on which the figures were true, `2026-11-20`.
        source: where they are from.
        providers: its sections.
    """

    as_of: str
    source: str
    providers: tuple[Provider, ...]


@dataclass(frozen=True)
class Quote:
    """A price and what it rests on.

    Attributes:
        model: the name under which it was found.
        price: the price.
        as_of: the day of the book it is from; None: it is the owner's own, from `[prices]`.
    """

    model: str
    price: Price
    as_of: str | None = None

    @property
    def origin(self) -> str:
        """Where the price is from, in words."""
        return "[prices] in shokunin.toml" if self.as_of is None else f"price book of {self.as_of}"


@cache
def price_book() -> PriceBook:
    """The book that ships with this release."""
    value = tomllib.loads(files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))
    return PriceBook(
        value["as_of"],
        value["source"],
        tuple(
            Provider(
                section["name"],
                tuple(section["prefixes"]),
                section["source"],
                {model: Price(**price) for model, price in section["models"].items()},
            )
            for section in value["providers"]
        ),
    )


def price_of(model: str, own: Mapping[str, Price] = NO_PRICES) -> Price | None:
    """What a model costs: the owner's own price, else the book's; None where neither has one.

    Args:
        model: as it is written in a request, a reply or a log.
        own: the owner's prices by model, `[prices]` in `shokunin.toml`.
    """
    found = quote(model, own)
    return None if found is None else found.price


def quote(model: str, own: Mapping[str, Price] = NO_PRICES) -> Quote | None:
    """As `price_of`, with what the price rests on."""
    for name, prefix in _names(model):
        if name in own:
            return Quote(name, own[name])
        found = _listed().get(name)
        if found is not None and prefix in (None, *found[0].prefixes):
            return Quote(name, found[1], price_book().as_of)
    return None


def unknown_prices(
    calls: Mapping[str, int], own: Mapping[str, Price] = NO_PRICES, *, option: str | None = None
) -> str | None:
    """What to say when prices are missing; None when none is.

    Args:
        calls: how many calls there were of each model; 0 where that does not matter.
        own: as for `price_of`.
        option: a command's option that takes a price instead, with its value: `--price INPUT OUTPUT`.

    Returns:
        A message that names the models, the most used first, and the lines of TOML that end the matter.
    """
    unknown = {model: n for model, n in calls.items() if price_of(model, own) is None}
    if not unknown:
        return None
    ordered = sorted(unknown, key=lambda model: (-unknown[model], model))
    named = ", ".join(f"{model!r}{_times(unknown[model])}" for model in ordered)
    lines = "\n".join(f"\n[prices.{toml_key(_sayable(model))}]\ninput = …\noutput = …" for model in ordered)
    other = "" if option is None else f", or give {option}"
    return (
        f"no price is known for {named}; add to shokunin.toml what your bill says, in US dollars per million "
        f"tokens{other}:\n{lines}"
    )


def _times(calls: int) -> str:
    return f" ({calls:,} call{'' if calls == 1 else 's'})" if calls else ""


@cache
def _listed() -> Mapping[str, tuple[Provider, Price]]:
    return {model: (provider, price) for provider in price_book().providers for model, price in provider.prices.items()}


def _names(model: str) -> Iterator[tuple[str, str | None]]:
    """The names to look for, the most exact first, each with the prefix that was taken off."""
    for name, prefix in ((model, None), *_without_prefix(model)):
        yield name, prefix
        tuned = _TUNED.fullmatch(name)
        bare = tuned[1] if tuned else name
        if tuned:
            yield bare, prefix
        undated = _SNAPSHOT.sub("", bare)
        if undated != bare:
            yield undated, prefix
        elif bare.endswith(_LATEST):
            yield bare.removesuffix(_LATEST), prefix


def _without_prefix(model: str) -> Iterator[tuple[str, str]]:
    prefix, slash, rest = model.partition("/")
    if slash:
        yield rest, prefix


def _sayable(model: str) -> str:
    return model.encode("utf-8", "replace").decode(
        "utf-8"
    )  # half a surrogate pair, which JSON may hold and TOML may not
