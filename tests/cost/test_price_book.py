"""The price book: what ships, how a model's name is found in it, and what is said when it is not."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.cost import Price, price_book, price_of, quote, unknown_prices

OWN = {"gpt-4o-mini": Price(1, 2), "house/model": Price(3, 4)}


def listed() -> list[str]:
    return list(chain.from_iterable(provider.prices for provider in price_book().providers))


def test_the_book_is_dated_and_every_provider_names_its_source() -> None:
    book = price_book()
    assert date.fromisoformat(book.as_of) > date(2026, 1, 1) and "github.com/BerriAI/litellm" in book.source
    assert len(book.providers) > 10 and all("https://" in provider.source for provider in book.providers)
    for name in ("OpenAI", "Anthropic", "Google", "Mistral AI", "DeepSeek", "Cohere", "Meta", "Amazon Bedrock"):
        assert next(p for p in book.providers if p.name == name).prices


def test_no_model_stands_in_it_twice_and_none_is_free() -> None:
    names = listed()
    assert 60 <= len(names) == len(set(names))
    for provider in price_book().providers:
        for model, price in provider.prices.items():
            assert 0 < price.input <= price.output or price.output < price.input < 2 * price.output, model
            assert price.cached_input is None or price.cached_input < price.input, model
            assert price.batch_input is None or price.batch_input <= price.input, model


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai/gpt-4o", "gpt-4o"),
        ("openai/gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),  # a snapshot with a price of its own
        ("openai/gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
        ("anthropic/claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("gemini/gemini-2.5-flash", "gemini-2.5-flash"),
        ("mistral/mistral-small-latest", "mistral-small-latest"),
        ("groq/openai/gpt-oss-20b", "groq/openai/gpt-oss-20b"),
        ("bedrock/amazon.nova-micro-v1:0", "amazon.nova-micro-v1:0"),
        ("ft:gpt-4o-mini-2024-07-18:my-shop::abc123", "ft:gpt-4o-mini-2024-07-18"),
    ],
)
def test_names_that_are_known(model: str, found: str) -> None:
    made = quote(model)
    assert made is not None and (made.model, made.as_of) == (found, price_book().as_of)
    assert made.origin == f"price book of {price_book().as_of}"
    assert price_of(model) == made.price


@pytest.mark.parametrize(
    "model",
    [
        "", "/", "gpt", "gpt-4o-", "GPT-4o", "gpt-4o-mini-preview", "gpt-4o-mini-2024-13-40", "gpt-4o-mini-0718",
        "gpt-4o-mini-latest-2", "azure/gpt-4o", "anthropic/gpt-4o", "openrouter/openai/gpt-4o", "my-gpt-4o", "gpt-oss-20b",
        "mistral-small", "ft:gpt-4o", "ft:my-model:org::x", "claude-3-5-sonnet-v2", "llama-3.3-70b-instruct", "inquiries",
    ],
)  # fmt: skip
def test_nothing_else_is_guessed(model: str) -> None:
    assert price_of(model) is None and quote(model) is None


def test_a_price_of_ones_own_goes_first() -> None:
    for model in ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini", "azure/gpt-4o-mini"):
        found = quote(model, OWN)
        assert found is not None and found.price == Price(1, 2), model
        assert (found.as_of, found.origin) == (None, "[prices] in shokunin.toml")
    assert price_of("house/model", OWN) == Price(3, 4)
    assert price_of("gpt-4o", OWN) == price_of("gpt-4o")
    # A snapshot that the book lists by itself is another product than the model it is a snapshot of.
    assert price_of("gpt-4o-2024-05-13", {"gpt-4o": Price(1, 1)}) == price_of("gpt-4o-2024-05-13") != price_of("gpt-4o")


@given(st.text(max_size=40), st.sampled_from(["{}", "openai/{}", "{}-latest", "{}-2024-07-18", "ft:{}:a::b", "{}/{}"]))
def test_any_name_is_either_found_or_not(text: str, around: str) -> None:
    model = around.replace("{}", text)
    found = quote(model)
    assert found is None or found.model in listed()
    own = quote(model, {model: Price(1, 2)})
    assert own is not None and own.price == Price(1, 2) and own.as_of is None


def test_missing_prices_are_asked_for_with_the_lines_to_add() -> None:
    said = unknown_prices({"house-1": 12, "gpt-4o": 999, "big model": 3400, "b": 1}, option="--price INPUT OUTPUT")
    assert said is not None
    assert "'big model' (3,400 calls), 'house-1' (12 calls), 'b' (1 call)" in said and "gpt-4o" not in said
    assert "shokunin.toml" in said and "or give --price INPUT OUTPUT" in said
    lines = said.partition("\n\n")[2].replace("…", "1.5")
    assert tomllib.loads(lines)["prices"] == {m: {"input": 1.5, "output": 1.5} for m in ("big model", "house-1", "b")}
    assert unknown_prices({"gpt-4o": 5}) is None and unknown_prices({}) is None
    assert unknown_prices({"gpt-4o": 5, "m": 1}, {"m": Price(0, 0)}) is None


@given(st.text(min_size=1, max_size=20))
def test_whatever_a_model_is_called_the_lines_can_be_pasted(model: str) -> None:
    said = unknown_prices({f"x{model}": 0})
    assert said is not None and "call" not in re.sub(re.escape(repr(f"x{model}")), "", said).partition(";")[0]
    (key,) = tomllib.loads(said.partition("\n\n")[2].replace("= …", "= 1"))["prices"]
    assert key == f"x{model}".encode("utf-8", "replace").decode()


def test_a_name_with_half_a_surrogate_pair_can_be_asked_about() -> None:
    said = unknown_prices({"bad\ud800name": 2})
    assert said is not None and tomllib.loads(said.partition("\n\n")[2].replace("…", "1"))


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["input", "output", "cached_input"])
def test_a_price_is_a_number_and_not_negative(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"`{field}` is US dollars per million tokens, 0 or more"):
        Price(**{"input": 1.0, "output": 1.0, field: value})


def test_a_price_in_dollars() -> None:
    price = Price(0.15, 0.6, cached_input=0.075, batch_input=0.075, batch_output=0.3)
    assert price.of(1_000_000, 1_000_000) == pytest.approx(0.75)
    assert price.of(600, 20) == pytest.approx(0.000102)
    assert price.times(2) == Price(0.3, 1.2, 0.15, 0.15, 0.6)
    assert Price(1, 2).times(0.5) == Price(0.5, 1)
    with pytest.raises(ValueError, match="belong together"):
        Price(1, 2, batch_output=1)
