"""A specialist of every format that was ever released still loads and still gives the answers it gave."""

from __future__ import annotations

from pathlib import Path

import pytest

from shokunin import pipeline, registry
from shokunin.report import report_from_dict, report_to_dict
from shokunin.specialist import FORMAT, read_golden

BUNDLES = sorted((Path(__file__).parents[1] / "bundles").glob("format-*.zip"))


def test_there_is_a_bundle_of_today_s_format() -> None:
    kept = {bundle.stem for bundle in BUNDLES}
    assert {f"format-{FORMAT}-linear_text", f"format-{FORMAT}-onnx_text"} <= kept


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.stem)
def test_it_loads_answers_its_golden_samples_and_can_be_read(bundle: Path, project: Path) -> None:
    imported = registry.import_archive(project / "specialists", bundle)
    specialist = pipeline.load("inquiries@1", project=project)
    assert specialist.digest == imported.digest
    golden = read_golden(specialist)
    answers = specialist.predict([sample["inputs"] for sample in golden])
    assert len(golden) == 16 and len({sample["value"] for sample in golden}) > 1
    assert [a.value for a in answers] == [sample["value"] for sample in golden]
    assert [a.confidence for a in answers] == pytest.approx([sample["confidence"] for sample in golden], abs=0.02)
    report = pipeline.read_report(specialist)
    assert report_from_dict(report_to_dict(report)) == report
    assert report.rows == 60 == len(report.cases)
    assert [a.value for a in specialist.predict([c.inputs for c in report.cases])] == [c.value for c in report.cases]
    (line,) = registry.list_specialists(project / "specialists")
    assert (line.verdict, line.damaged) == (report.verdict, None)
