"""A compressed specialist is proven honestly: the choices before it count, and where nothing is set apart nothing is claimed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from rows import rows
from shokunin import pipeline
from shokunin.dataset import read_dataset
from shokunin.forms import Lessons
from shokunin.pipeline import calibrating, deriving
from shokunin.pipeline.publish import read_report
from shokunin.pipeline.rows import dataset_folder
from shokunin.project import open_project
from shokunin.prove.calibrate import calibrate
from shokunin.prove.page import report_html
from shokunin.weights import Weights

LEARNERS = ["baseline", "text_linear"]


class _NoOptions(BaseModel):
    pass


def _copied(weights: Weights, lessons: Lessons, options: BaseModel, folder: Path) -> Weights:
    place = folder / "weights"
    shutil.copytree(weights.folder, place)
    return replace(weights, folder=place)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `calibrate` is asked by a compression; the compressor itself only copies, and no server is started."""
    seen: list[dict[str, Any]] = []

    def spy(raw: Any, labels: Any, **options: Any) -> Any:
        seen.append(options)
        return calibrate(raw, labels, **options)

    module = SimpleNamespace(FORMATS=("linear_text",), Options=_NoOptions, shrink=_copied)
    monkeypatch.setattr(deriving, "compressor", lambda _: module)
    monkeypatch.setattr(calibrating, "calibrate", spy)
    publish = deriving.publish
    monkeypatch.setattr(deriving, "publish", lambda *a, **k: publish(*a, **{**k, "replayed": False}))
    return seen


def test_the_choices_before_count_and_the_shaping_rows_stay_the_same(
    project: Path, asked: list[dict[str, Any]]
) -> None:
    none = [{"text": f"{word} {n} lorem ipsum", "label": "oos"} for n in range(10) for word in ("dolor", "sit", "amet")]
    parent = pipeline.train([*rows(2600), *none], name="t", learners=LEARNERS, seed=7, replayed=False)
    asked.clear()  # what the training asked
    dataset = read_dataset(dataset_folder(open_project(), parent))
    assert dataset.validation and dataset.none
    tried = sum(r.score is not None for r in read_report(parent).ladder)
    assert parent.manifest["steps"][0]["candidates"] == tried
    # One from before this was recorded says it by its report.
    steps = [{k: v for k, v in step.items() if k != "candidates"} for step in parent.manifest["steps"]]
    old = replace(parent, manifest={**parent.manifest, "steps": steps})
    assert deriving._history(old) == (7, tried + 1) == deriving._history(parent)
    once = pipeline.compress("t@1")
    twice = pipeline.compress(once.id)
    assert [o["candidates"] for o in asked] == [tried + 1, tried + 2]
    assert [o["seed"] for o in asked] == [7, 7]
    assert [s.get("candidates") for s in twice.manifest["steps"]] == [tried, tried + 1, tried + 2]
    share = len(dataset.validation) / (len(dataset.validation) + len(dataset.train))
    assert len(asked[0]["none_raw"]) == round(share * len(dataset.none)) < len(dataset.none)
    assert "validation rows" in read_report(once).why_chosen


def test_without_validation_rows_no_score_is_claimed(project: Path, asked: list[dict[str, Any]]) -> None:
    parent = pipeline.train(rows(120), name="t", learners=LEARNERS, replayed=False)
    asked.clear()
    assert not read_dataset(dataset_folder(open_project(), parent)).validation
    report = read_report(pipeline.compress("t"))
    assert asked == [] and [r.score for r in report.ladder] == [None, None] and report.ladder[1].chosen
    assert "not measured before this proof" in report.why_chosen and "points lost" not in report.why_chosen
    page = report_html(report)
    assert "set apart for choosing. The" not in page and "by a model fitted without it" not in page
