"""Whose answers a specialist is compared with: recorded ones, another specialist's, or a large model's that is asked now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shokunin import registry
from shokunin.answer import Answer
from shokunin.cost import price_of
from shokunin.curate.read import read_rows
from shokunin.dataset import Example
from shokunin.engines.openai_api import MAX_TOKENS, Upstream, upstream
from shokunin.errors import DataError, ProjectError
from shokunin.pipeline.answering import codec_of, open_specialist
from shokunin.progress import Progress
from shokunin.project import Project
from shokunin.prove.against import live_answers, recorded_answers
from shokunin.specialist import Specialist

OPENAI = ("api.openai.com", "api.openai.com:443")
OPENAI_KEY = "OPENAI_API_KEY"
Against = str | Sequence[str | None]


def answers_of(
    against: Against,
    specialist: Specialist,
    rows: Sequence[Example],
    *,
    orders: Sequence[Sequence[str]],
    columns: Mapping[str, Mapping[str, str]],
    place: Project,
    progress: Progress,
) -> tuple[str, list[Answer], bool]:
    """Whose answers to compare with: its name, its answers to `rows`, and whether it was asked just now.

    Args:
        against: answers in the order of the rows, `column:NAME`, an upstream, `URL#MODEL`, a file or a specialist.
        specialist: the one that is proven; its labels are the answers to choose from.
        rows: the rows that are scored.
        orders: the origins that a list of answers may be in step with, the likeliest first.
        columns: the given rows as they were read, by origin; empty for sealed rows.
        place: the project.
        progress: told how far it is.

    Raises:
        DataError: there is nothing of that name, or its answers do not belong to the rows.
        UsageError: a key is needed and its variable is not set.
    """
    none = codec_of(specialist).none_labels
    # Where the answers are no labels, a recorded one may be any text.
    known = (
        {*specialist.labels, *none, *(e.expected for e in rows if e.expected is not None)} if specialist.labels else ()
    )

    def recorded(keyed: Mapping[str, str | None], name: str) -> list[Answer]:
        return recorded_answers(_read(keyed, specialist), rows, name=name, known=known)

    def in_order(answers: Sequence[str | None], name: str) -> list[Answer]:
        return recorded(_by_origin(answers, orders, name), name)

    if not isinstance(against, str):
        return "recorded answers", in_order(list(against), "recorded answers"), False
    if against.startswith("column:"):
        column = against.removeprefix("column:")
        return column, recorded(_column(column, columns), column), False
    if against.startswith(("http://", "https://")) or against in place.upstreams:
        labels = _choices(specialist, rows, none)
        name, predictor = _upstream(against, labels, place, specialist)
        try:
            return name, _answered(live_answers(predictor, rows, progress), against, place), True
        finally:
            if isinstance(predictor, Upstream):
                predictor.close()
    if Path(against).is_file():
        return Path(against).name, in_order(recorded_file(Path(against)), against), False
    try:
        other = open_specialist(registry.read(place.specialists, against))
    except ProjectError as error:
        raise DataError(
            f"{against!r} is no column:NAME, no file, no specialist, no upstream of this project and no http address"
        ) from error
    assert other.predictor is not None
    return other.id, live_answers(other.predictor, rows, progress), True


def model_asked(against: Against | None, place: Project) -> str | None:
    """The large model that a comparison asks, an upstream's or that of an address; None: it asks none."""
    if not isinstance(against, str):
        return None
    if against in place.upstreams:
        return place.upstreams[against].model
    return against.partition("#")[2] or None if against.startswith(("http://", "https://")) else None


def recorded_file(path: Path) -> list[str | None]:
    """One answer a line of a `.txt`, or the column `answer` of a table, in the order of the rows.

    Raises:
        DataError: a table without that column or with unreadable rows, text that is not UTF-8, or another ending.
    """
    if path.suffix.lower() == ".txt":
        try:
            lines = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{str(path)!r} is not UTF-8 text; save it as UTF-8, one answer a line") from error
        return [line.strip() or None for line in (lines if lines[-1] else lines[:-1])]
    table = read_rows(path)
    if "answer" not in table.columns:
        raise DataError(f"{str(path)!r} has no column 'answer'; it has {', '.join(map(repr, table.columns))}")
    answers = [row["answer"].strip() or None for _, row in table.rows()]
    if table.broken:
        origin, reason = table.broken[0]
        raise DataError(
            f"{str(path)!r} has {len(table.broken):,} rows that cannot be read, so its answers are out of step with the "
            f"rows; the first is {origin!r}: {reason}"
        )
    return answers


def _by_origin(answers: Sequence[str | None], orders: Sequence[Sequence[str]], name: str) -> dict[str, str | None]:
    for origins in orders:
        if len(answers) == len(origins):
            return dict(zip(origins, answers, strict=True))
    counts = " or ".join(f"{n:,}" for n in dict.fromkeys(len(origins) for origins in orders))
    raise DataError(f"{len(answers):,} recorded answers of {name!r} for {counts} rows; one a row is needed")


def _column(name: str, columns: Mapping[str, Mapping[str, str]]) -> dict[str, str | None]:
    if not columns:
        raise DataError(
            f"'column:{name}' is a column of the rows to prove on; give them: "
            f"shokunin prove NAME ROWS.csv --against column:{name}"
        )
    there = list(dict.fromkeys(k for row in columns.values() for k in row))
    if name not in there:
        raise DataError(f"the rows have no column {name!r}; they have {', '.join(map(repr, there))}")
    return {origin: row.get(name) or None for origin, row in columns.items()}


def _read(recorded: Mapping[str, str | None], specialist: Specialist) -> Mapping[str, str | None]:
    """Recorded answers as a live one would be read, where they are no labels; what cannot be read so stays as it is."""
    if specialist.labels:
        return recorded
    codec = codec_of(specialist)
    return {origin: value if value is None else codec.read_reply(value) or value for origin, value in recorded.items()}


def _choices(specialist: Specialist, rows: Sequence[Example], none: Sequence[str]) -> tuple[str, ...]:
    """What a large model may answer: the labels, and "none of these" where the specialist can say it or a row expects it."""
    if not specialist.labels:
        return ()
    declines = codec_of(specialist).calibration.scope_threshold is not None
    spelling = next((e.expected for e in rows if e.expected in none), none[0])
    offered = declines or any(e.expected in none for e in rows)
    return (*specialist.labels, *([spelling] if offered and spelling is not None else []))


def _upstream(against: str, labels: Collection[str], place: Project, specialist: Specialist) -> tuple[str, Any]:
    """Its name and the predictor; asked as the application asks it, where the task's template says how.

    Where there are no labels to list, the kind knows how to ask plainly; the reply has twice the room of the specialist's.
    """
    choices = tuple(labels)
    codec = codec_of(specialist)
    known_prompt = specialist.task.template is not None or not choices
    prompt: dict[str, Any] = {"ask": codec.ask_chat, "read": codec.read_reply} if known_prompt else {}
    if not choices:
        prompt["max_tokens"] = max(MAX_TOKENS, 2 * int(specialist.task.options.get("longest", 0)))
    if against in place.upstreams:
        known = place.upstreams[against]
        prompt |= _priced(known.model, place)
        return against, upstream(
            known.base_url, known.model, known.api_key_env, choices, timeout=known.timeout_seconds, **prompt
        )
    base_url, _, model = against.partition("#")
    if not model:
        raise DataError(f"{against!r} names no model; write URL#MODEL, for instance http://127.0.0.1:8000/v1#gpt")
    prompt |= _priced(model, place)
    return model, upstream(base_url, model, OPENAI_KEY if _is_openai(base_url) else None, choices, **prompt)


def _priced(model: str, place: Project) -> dict[str, Any]:
    """What its tokens cost; without a known price the answers carry none, and the report says that it is not known."""
    price = price_of(model, place.prices)
    return {} if price is None else {"usd_per_million": (price.input, price.output)}


def _is_openai(base_url: str) -> bool:
    """Whether the key of OpenAI may go there; to any other address it must not."""
    address = urlsplit(base_url)
    return address.scheme == "https" and address.netloc.lower() in OPENAI


def _answered(answers: list[Answer], against: str, place: Project) -> list[Answer]:
    """The answers, unless there is not one: then the address is wrong, and a score of 0 would say something else."""
    if answers and all(a.problem is not None for a in answers):
        hint = (
            ""
            if against in place.upstreams or _is_openai(against.partition("#")[0])
            else "; no key was sent; where one is needed, name the address in [upstreams.NAME] of shokunin.toml, with api_key_env"
        )
        raise DataError(
            f"{against!r} answered none of the {len(answers):,} rows; the first: {answers[0].problem}{hint}"
        )
    return answers
