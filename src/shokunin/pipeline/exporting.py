"""An export is asked what the specialist was asked: files that others will run are read again and measured before they are kept.

Golden inputs and sealed rows go through the engine that reads the format; the answers are compared with the specialist's
own, and both are scored. Of a rung of two the language model is written, since no other program runs the small writer before
it; it is compared with itself, and the score of both together is told beside it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shokunin.answer import Answer, Inputs
from shokunin.dataset import Example, read_dataset
from shokunin.engines import Session, cascade, engine_for, language_model, transformers_text
from shokunin.errors import ArtefactError, BaseModelError, MissingExtraError, ProjectError, ReplayError, UsageError
from shokunin.files import write_json
from shokunin.forms import Conversation, Written
from shokunin.language.base_models import resolve_near
from shokunin.language.decoder_folder import decoder_folder
from shokunin.language.export import MODELS, export_model
from shokunin.metrics import Interval
from shokunin.pipeline.answering import SpecialistPredictor, codec_of, open_specialist
from shokunin.pipeline.publish import read_report, spread
from shokunin.pipeline.rows import dataset_folder
from shokunin.progress import Progress, silent
from shokunin.project import open_project
from shokunin.specialist import Specialist, read_golden
from shokunin.version import __version__
from shokunin.weights import Weights

RECORD = "export.json"
ROWS = 48
"""Sealed rows that are asked of what was written, if nobody says how many."""
AT_ONCE = 8
TOLERANCE = {"gguf": 0.02, "openvino": 0.02, "safetensors": 0.1, "peft": 0.1}
"""Share of the answers that may differ. The first two are read by the engine that the specialist runs on. The others are run by
another one, in other steps of rounding, and one other token makes another text; an adapter is moreover laid on the base's
numbers instead of being merged and rounded to 8 bits."""
SHOWN = 2


@dataclass(frozen=True)
class _Part:
    """What is written of a specialist.

    Attributes:
        weights: the language model.
        name: of the member that it is; None: it is all there is.
        left_out: the name of the other member.
    """

    weights: Weights
    name: str | None = None
    left_out: str = ""

    def remark(self, specialist: Specialist) -> str:
        """What whoever runs it must know."""
        if self.name is None:
            return ""
        return (
            f"This is one of two: {specialist.id} first asks its small writer ({self.left_out}), which other programs cannot\n"
            f"run, and this model ({self.name}) only where that one is unsure. Alone the model answers everything, more\n"
            "slowly and not always the same; `export.json` says how well. Shokunin serves both together."
        )


def export(
    specialist: Specialist,
    place: Path,
    format: str,
    *,
    project: str | Path | None = None,
    rows: int = ROWS,
    anyway: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the specialist's language model to the new folder `place`, read it again, and write what was found beside it.

    Args:
        specialist: verified, from the registry.
        place: the new folder.
        format: `safetensors`, `peft`, `gguf` or `openvino`.
        project: where its dataset is; without it the sealed rows are those of its report.
        rows: how many sealed rows are asked, evenly spread.
        anyway: write it also where too many answers differ, or where what is needed to ask is not here.
        progress: told after each part.

    Returns:
        What `export.json` says.

    Raises:
        UsageError: these weights cannot become this format, or there is something at `place`.
        ReplayError: too many answers differ; nothing was written.
        MissingExtraError: the library that reads the format is not installed; nothing was written.
        BaseModelError: the base that an adapter belongs to is not here; nothing was written.
    """
    found: dict[str, Any] = {}
    part = _part(specialist, format)

    def check(made: Path) -> None:
        try:
            found.update(_measured(specialist, part, made, format, project, rows, progress))
        except (MissingExtraError, BaseModelError) as error:
            if not anyway and isinstance(error, BaseModelError):
                raise BaseModelError(
                    f"{error}. Without it what was written cannot be asked; --yes keeps it unasked"
                ) from error
            if not anyway:
                raise
            found.update(_about(specialist, part, format), measured=False, why=str(error))
        if not anyway and found["measured"] and found["differ"] > found["may_differ"]:
            raise ReplayError(_refused(found))
        write_json(made / RECORD, {key: value for key, value in found.items() if key != "shown"})

    export_model(part.weights, place, format, specialist.name, remark=part.remark(specialist), check=check)
    return found


def _part(specialist: Specialist, format: str) -> _Part:
    """The language model of the specialist: its weights, or the larger of two members that is one."""
    weights = specialist.weights
    if weights.format not in cascade.FORMATS:
        return _Part(weights)
    members = cascade.members_of(weights)
    for name, one in reversed(members):
        if one.format in MODELS:
            return _Part(one, name, " and ".join(other for other, _ in members if other != name))
    raise UsageError(
        f"{specialist.id!r} is made of {' and '.join(name for name, _ in members)}, and neither is a language model that could "
        f"be written as {format}; leave --format out for the archive"
    )


def _measured(
    specialist: Specialist,
    part: _Part,
    made: Path,
    format: str,
    project: str | Path | None,
    rows: int,
    progress: Progress,
) -> dict[str, Any]:
    golden = [item["inputs"] for item in read_golden(specialist)]
    sealed, source = _sealed(specialist, project, rows, f"export of {specialist.id} as {format}")
    asked: list[Inputs] = [*golden, *(example.inputs for example in sealed)]
    codec = codec_of(specialist)
    session = _read_again(part.weights, made, format)
    form = part.weights.form
    held = not any(one.schema for one in codec.encode(asked[:1], form)) or format in ("gguf", "openvino")
    exported = SpecialistPredictor(codec, session if held else _Free(session), format, form)
    own = SpecialistPredictor(codec, engine_for(part.weights.format).load(part.weights), specialist.id, form)
    ours = _answers(own.predict, asked, "asking the specialist", progress)
    theirs = _answers(exported.predict, asked, "asking what was written", progress)
    same = [a.value == b.value for a, b in zip(ours, theirs, strict=True)]
    expected = [example.expected or "" for example in sealed]
    groups = [example.group for example in sealed]
    metric = specialist.task.metric

    def score(answers: Sequence[Answer]) -> dict[str, float] | None:
        values = [answer.value for answer in answers[len(golden) :]]
        return _interval(codec.scores(expected, values, groups)[metric]) if sealed else None

    together: dict[str, Any] = {}
    if part.name is not None:
        both = _answers(open_specialist(specialist, golden=False).predict, asked, "asking both together", progress)
        together = {
            "agree_with_both": sum(a.value == b.value for a, b in zip(both, theirs, strict=True)),
            "score_of_both": score(both),
        }
    differ = [i for i, alike in enumerate(same) if not alike]
    origins = [*("a golden input" for _ in golden), *(example.origin for example in sealed)]
    return {
        **_about(specialist, part, format),
        **together,
        "measured": True,
        "read_by": "language_model" if format in ("gguf", "openvino") else "transformers_text",
        "held_to_schema": held,
        "golden": {"asked": len(golden), "agree": sum(same[: len(golden)])},
        "sealed": {
            "asked": len(sealed), "of": source, "agree": sum(same[len(golden) :]), "metric": metric,
            "score": score(theirs), "score_of_the_specialist": score(ours),
        },
        "differ": len(differ),
        "may_differ": int(TOLERANCE[format] * len(asked)),
        "tolerance": TOLERANCE[format],
        # Not what was answered: the file goes to others together with the model.
        "differing_rows": [origins[i] for i in differ],
        "seconds_an_answer": {"specialist": _mean_seconds(ours), "export": _mean_seconds(theirs)},
        "shown": [
            f"{origins[i]} was {ours[i].value!r}, is {theirs[i].value or theirs[i].problem!r}" for i in differ[:SHOWN]
        ],
    }  # fmt: skip


def _about(specialist: Specialist, part: _Part, format: str) -> dict[str, Any]:
    of_two = {} if part.name is None else {"part": part.name, "left_out": part.left_out}
    return {
        **of_two,
        "specialist": specialist.id, "digest": specialist.digest, "format": format,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "made_with": f"shokunin {__version__}",
    }  # fmt: skip


def _sealed(specialist: Specialist, project: str | Path | None, rows: int, why: str) -> tuple[list[Example], str]:
    """Sealed rows, evenly spread, and where they are from: the dataset, or the report if the dataset is not here."""
    if rows == 0:
        return [], "nothing"
    place = open_project(None if project is None else Path(project))
    with suppress(ProjectError):
        return spread(read_dataset(dataset_folder(place, specialist)).sealed.open(why), rows), "dataset"
    if not (specialist.folder / "report.json").is_file():
        return [], "nothing"
    cases = spread(read_report(specialist).cases, rows)
    return [Example(c.inputs, c.expected, c.origin, c.group) for c in cases], "report"


def _read_again(weights: Weights, made: Path, format: str) -> Session:
    """The engine that reads the format, on what was written."""
    if format == "gguf":
        return language_model.load(Weights(made, "conversation", "gguf"))
    if format == "openvino":
        return language_model.load(Weights(made, "conversation", "openvino_text"))
    if format == "safetensors":
        return transformers_text.load(Weights(made, "conversation", "hf_text"))
    told = weights.facts.get("base") or {}
    model = resolve_near(str(told.get("name")), weights.folder)
    if model.sha256 != told.get("sha256"):
        raise ArtefactError(
            f"the adapter belongs to {model.name!r} with the SHA-256 {str(told.get('sha256'))[:12]}…, and the one here has "
            f"{model.sha256[:12]}…, so that it cannot be measured; install the version that it names"
        )
    folder = decoder_folder(model.path, model.sha256) if model.kind == "gguf" else model.path
    return transformers_text.load(Weights(folder, "conversation", "hf_text"), adapter=made)


class _Free:
    """A session that is not asked to hold answers to a schema, for engines that cannot."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, forms: Sequence[Conversation]) -> list[Written]:
        """As the session inside."""
        written: list[Written] = self._session.run([replace(form, schema=None) for form in forms])
        return written


def _answers(predict: Any, asked: Sequence[Inputs], what: str, progress: Progress) -> list[Answer]:
    answers: list[Answer] = []
    for start in range(0, len(asked), AT_ONCE):
        progress(what, start, len(asked))
        answers += predict(asked[start : start + AT_ONCE])
    progress(what, len(asked), len(asked))
    return answers


def _mean_seconds(answers: Sequence[Answer]) -> float | None:
    return round(float(np.mean([answer.seconds for answer in answers])), 4) if answers else None


def _refused(found: dict[str, Any]) -> str:
    asked = found["sealed"]["asked"] + found["golden"]["asked"]
    own = found.get("part", found["specialist"])
    return (
        f"what was written as {found['format']} answers {found['differ']} of {asked} inputs otherwise than {own!r} "
        f"({found['may_differ']} may differ): {'; '.join(found['shown'])}. Nothing was kept; --yes keeps it all the same"
    )


def _interval(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else {"value": found.value, "low": found.low, "high": found.high}
