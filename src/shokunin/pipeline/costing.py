"""What a specialist costs beside the large model it stands for: from the settings, the record of traffic and its proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from shokunin.answer import Inputs
from shokunin.cost import AMOUNTS, Plan, Quote, compare, in_words, quote
from shokunin.errors import ProjectError, StoreError
from shokunin.pipeline.answering import codec_of
from shokunin.project import Gateway, Project
from shokunin.report import Rung
from shokunin.serve.reply_parts import prompt_tokens
from shokunin.specialist import Specialist, read_golden
from shokunin.traffic.store import open_store
from shokunin.traffic.volume import Volume, volume

SETTINGS = "shokunin.toml"
MOST_TEXTS = 200
"""Rows by which the tokens of a request are estimated."""


@dataclass(frozen=True)
class Known:
    """Inputs of a plan, by its names, and where each is from.

    Attributes:
        values: amounts in US dollars.
        origins: in words.
    """

    values: Mapping[str, float]
    origins: Mapping[str, str]

    def __or__(self, other: Known) -> Known:
        """Both; what the other says goes first."""
        return Known({**self.values, **other.values}, {**self.origins, **other.origins})


def settings_of(place: Project) -> Known:
    """What `[money]` and `[gateway]` say of what owning costs."""
    unit = place.money.unit()
    given = {name: unit.to_usd(v) if name in AMOUNTS else v for name, v in place.money.given().items()}
    settled = Known(given, dict.fromkeys(given, f"[money] in {SETTINGS}"))
    return settled | _audited(place.gateway.audit_share)


def measured_of(
    specialist: Specialist,
    place: Project,
    *,
    texts: Sequence[Inputs],
    local_share: float,
    ladder: Sequence[Rung],
    recorded: Volume | None,
) -> Known:
    """What was measured of a specialist: its volume and tokens, what it answers itself, how long a training takes.

    Args:
        specialist: the specialist.
        place: its project.
        texts: inputs by which tokens are estimated where none were counted.
        local_share: what it answered itself in its proof.
        ladder: the rungs that a training climbs.
        recorded: what came in, from `recorded_of`.
    """
    values: dict[str, float] = {}
    origins: dict[str, str] = {}

    def say(name: str, value: float, origin: str) -> None:
        values[name], origins[name] = value, origin

    route = place.gateway.route(specialist.name)
    if route.egress == "never":
        say("local_share", 1.0, "it answers everything: nothing of the task may leave the house")
        say("audit_share", 0.0, "nothing of the task may leave the house")
    else:
        say("local_share", local_share, "measured in its proof")
        audited = _audited(route.audit_share or 0.0)
        say("audit_share", audited.values["audit_share"], audited.origins["audit_share"])
    seconds = sum(rung.train_seconds or 0.0 for rung in ladder)
    if seconds:
        say("training_hours", seconds / 3600, "measured in its training")
    if recorded is not None and recorded.per_month is not None:
        say("requests", recorded.per_month, f"measured: {recorded.requests:,} in {recorded.days:.1f} days of traffic")
    if recorded is not None and recorded.input_tokens is not None and recorded.output_tokens is not None:
        how = "counted by the large model" if recorded.counted else "estimated"
        say("input_tokens", recorded.input_tokens, f"{how}, mean of the recorded traffic")
        say("output_tokens", recorded.output_tokens, f"{how}, mean of the recorded traffic")
    elif texts:
        asked, answered = _tokens(specialist, texts)
        plain = "a plain question with the labels" if specialist.labels else "a plain question"
        prompt = "the task's prompt" if specialist.task.template is not None else plain
        say("input_tokens", asked, f"estimated from {prompt} and {min(len(texts), MOST_TEXTS):,} rows")
        say("output_tokens", answered, f"estimated from its {'labels' if specialist.labels else 'sample answers'}")
    return Known(values, origins)


def _audited(share: float) -> Known:
    origin = "default" if share == Gateway().audit_share else f"[gateway] in {SETTINGS}"
    return Known({"audit_share": share}, {"audit_share": origin})


def recorded_of(place: Project, task: str) -> tuple[Volume | None, str | None]:
    """What the record says came in of a task, and why that is not known, if the record cannot be read."""
    try:
        store = open_store(place.traffic, place.gateway.database_url())
    except ProjectError:
        return None, None  # nothing was ever recorded here
    except StoreError as error:
        return None, str(error)
    try:
        return volume(store, task), None
    except StoreError as error:
        return None, str(error)
    finally:
        store.close()


def samples_of(specialist: Specialist) -> list[Inputs]:
    """The sample inputs that a specialist is published with."""
    return [one["inputs"] for one in read_golden(specialist)]


def models_of(specialist: Specialist, place: Project) -> list[str]:
    """The large models it stands for: those that the application asks for, then the upstream's."""
    named = [model for template in specialist.task.templates for model in template.models]
    upstream = place.upstreams.get(place.gateway.route(specialist.name).upstream or "")
    own = {specialist.name, specialist.id, "auto"}
    found = [*named, *([upstream.model] if upstream is not None else [])]
    return [model for model in dict.fromkeys(found) if model not in own and not model.startswith(f"{specialist.name}@")]


def quoted_of(models: Sequence[str], place: Project) -> tuple[str, Quote] | None:
    """The first of the models whose price is known, with its price."""
    return next(((m, found) for m in models if (found := quote(m, place.prices)) is not None), None)


def cost_section(
    specialist: Specialist,
    place: Project,
    *,
    asked: str | None,
    texts: Sequence[Inputs],
    local_share: float,
    latency_ms: float,
    ladder: Sequence[Rung],
) -> dict[str, Any]:
    """The section `cost` of a report.

    Args:
        specialist: the one that was proven.
        place: its project.
        asked: the model that was asked in the proof, if one was.
        texts: the inputs of the proof.
        local_share: what it answered itself.
        latency_ms: how long one answer takes, half of them.
        ladder: the rungs of its training.

    Returns:
        `model`, `price` (US dollars per million tokens, `origin`, `as_of`), `currency`, `tokens`, `shares`, `per_1000` (US
        dollars: `rented`, `owned` by item, `owned_total`), `requests` a month as recorded, `break_even` (`requests` a month,
        `month`, `saving` a month, `sentence`); or only `missing`: a sentence about the model or price that is not known.
    """
    models = [*([asked] if asked else []), *models_of(specialist, place)]
    if not models:
        return {"missing": _nobody(specialist)}
    found = quoted_of(models, place)
    if found is None:
        return {"missing": _missing(models)}
    model, quoted = found
    recorded, unread = recorded_of(place, specialist.name)
    known = settings_of(place) | measured_of(
        specialist, place, texts=texts, local_share=local_share, ladder=ladder, recorded=recorded
    )
    requests = known.values.get("requests")
    # Without a volume the figures of one request still hold: what a thousand cost, and from how many on owning pays.
    plan = Plan(price=quoted.price, **{"requests": 1.0, **known.values})  # type: ignore[arg-type]
    result = compare(plan)
    per_1000 = _per_1000(plan, latency_ms)
    unit = place.money.unit()
    sentence = (
        in_words(plan, result, unit)
        if requests is not None
        else _without_volume(specialist, result.break_even_requests)
    )
    return {
        "model": model,
        "price": {"input": quoted.price.input, "output": quoted.price.output, "origin": quoted.origin, "as_of": quoted.as_of},
        "currency": asdict(unit),
        "tokens": {"input": plan.input_tokens, "output": plan.output_tokens, "from": known.origins["input_tokens"]},
        "shares": {"local": plan.local_share, "audit": plan.audit_share},
        "per_1000": {"rented": result.rent_per_1000, "owned": per_1000, "owned_total": sum(per_1000.values())},
        "requests": {"a_month": requests, "from": known.origins.get("requests", unread or "not recorded")},
        "break_even": {
            "requests": result.break_even_requests,
            "month": result.month if requests is not None else None,
            "saving": result.saving if requests is not None else None,
            "sentence": sentence,
        },
    }  # fmt: skip


def _tokens(specialist: Specialist, texts: Sequence[Inputs]) -> tuple[float, float]:
    """Of one request and of one answer, estimated as the server does."""
    codec = codec_of(specialist)
    step = max(1, len(texts) // MOST_TEXTS)
    asked = fmean(prompt_tokens(codec.ask_chat(text)) for text in texts[::step][:MOST_TEXTS])
    answers = specialist.labels or [golden["value"] or "" for golden in read_golden(specialist)]
    return asked, fmean(prompt_tokens([{"content": answer}]) for answer in answers)


def _per_1000(plan: Plan, latency_ms: float) -> dict[str, float]:
    """US dollars for a thousand requests once the machine is there: what still goes to the large model, and energy."""
    thousand = compare(replace(plan, requests=1000.0))
    hours = plan.local_share * 1000 * latency_ms / 3.6e6
    return {
        "escalations": thousand.own["escalations"],
        "audits": thousand.own["audits"],
        "energy": hours * (plan.watts + plan.busy_watts) / 1000 * plan.energy_price,
    }


def _nobody(specialist: Specialist) -> str:
    return (
        "What it saves is not reckoned: no large model is named that did this before; "
        f"shokunin cost {specialist.name} --model MODEL --requests N compares with one."
    )


def _missing(models: Sequence[str]) -> str:
    named = ", ".join(map(repr, models))
    return (
        f"What it saves is not known: no price is known for {named}; write input and output, US dollars per million tokens, "
        f'under [prices."{models[0]}"] in {SETTINGS}.'
    )


def _without_volume(specialist: Specialist, needed: float | None) -> str:
    if needed is None:
        return "The large model would be asked about every request all the same, so owning saves nothing."
    return (
        f"From {max(1, round(needed)):,} requests a month on, a month of owning is the cheaper one, machine and people "
        f"included. How many there are was not recorded: shokunin cost {specialist.name} --requests N reckons with yours."
    )
