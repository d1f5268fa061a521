"""A specialist trained for a benchmark, and what it says to rows that it has not seen."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import shokunin
from benchmarks.rows import Row, data_file, read
from shokunin.dataset import read_dataset
from shokunin.pipeline.answering import codec_of
from shokunin.prove.calibrate import shaping_rows

LEARNERS = ["baseline", "text_linear", "encoder_head"]
"""The ladder of the base install: no torch, and a minute or two."""


@dataclass(frozen=True)
class Answered:
    """Rows and a specialist's answers to them.

    Attributes:
        label: what each row's answer should be.
        value: what the specialist says; "" where it says that none of its labels fits, which is never given.
        second: what it holds for next likely.
        confidence: in `value`; 0 where that is "".
        threshold: the calibrated one.
        promise: what was promised with it.
        trained_on: rows given to the training.
        learner: the one that was chosen.
        tested: confidence and correctness of the validation rows that the promise was tested on.
    """

    label: list[str]
    value: list[str]
    second: list[str]
    confidence: list[float]
    threshold: float
    promise: dict[str, Any]
    trained_on: int
    learner: str
    tested: list[tuple[float, bool]] = field(default_factory=list)


def answers(
    name: str,
    train: Sequence[Row],
    asked: Sequence[Row],
    *,
    max_error: float,
    keep: Path | None = None,
) -> Answered:
    """Train on `train` with the base install's ladder and answer `asked`.

    Args:
        name: of the specialist.
        train: texts and labels; what to test it on is taken from them.
        asked: rows to answer, none of them in `train`.
        max_error: what its threshold promises.
        keep: a folder to find the answers in, or to put them for the next run.
    """
    place = None if keep is None else keep / f"{name}.json"
    if place is not None and place.is_file():
        return Answered(**json.loads(place.read_text(encoding="utf-8")))
    rows = [{"text": text, "label": label} for text, label in train]
    with tempfile.TemporaryDirectory() as folder:
        specialist = shokunin.train(
            rows, name=name, project=folder, learners=LEARNERS, max_error=max_error, replayed=False, keep_leaks=True
        )
        calibration, none = codec_of(specialist).calibration, codec_of(specialist).none_labels
        given = specialist.predict([text for text, _ in asked])
        dataset = read_dataset(next((Path(folder) / "tasks" / name / "datasets").iterdir()))
        shapes = shaping_rows(len(dataset.validation), 0)
        held = [e for e, shape in zip(dataset.validation, shapes, strict=True) if not shape]
        checked = specialist.predict([dict(e.inputs) for e in held])
    assert calibration.promise is not None
    declined = [a.value is None or a.value in none for a in given]
    made = Answered(
        label=[label for _, label in asked],
        value=["" if no else str(a.value) for a, no in zip(given, declined, strict=True)],
        second=[([*a.scores, "", ""])[1] for a in given],
        confidence=[0.0 if no else a.confidence for a, no in zip(given, declined, strict=True)],
        threshold=calibration.promise.threshold,
        promise=asdict(calibration.promise),
        trained_on=len(rows),
        learner=str(specialist.manifest["steps"][0]["learner"]),
        tested=[
            (0.0 if a.value is None or a.value in none else a.confidence, a.value == e.expected)
            for a, e in zip(checked, held, strict=True)
        ],
    )
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        half = place.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps(asdict(made)), encoding="utf-8")
        half.replace(place)
    return made


def all_rows(name: str) -> tuple[list[Row], list[Row]]:
    """The official training and test rows of `banking77` or `hwu64`."""
    label = {"banking77": "category", "hwu64": "intent"}[name]
    return tuple(read(data_file(name, f"{part}.csv"), "text", label) for part in ("train", "test"))  # type: ignore[return-value]
