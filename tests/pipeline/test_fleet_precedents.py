"""An alarm that looks like the time before a past failure says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from shokunin.pipeline.answering import codec_of
from shokunin.series.horizons import read_horizons
from shokunin.series.lessons import SeriesWindow
from shokunin.series.readings import read_readings
from shokunin.series.windows import cut, windows_of
from shokunin.tasks.anticipate_failures import FailuresCodec
from tiny_fleet import DAYS, OPTIONS, Pumps, rows


def test_an_alarm_is_likened_to_a_failure_of_the_past(pumps: Pumps) -> None:
    codec = codec_of(pumps.specialist)
    assert isinstance(codec, FailuresCodec)
    table, _ = rows(first=DAYS + 30, seed=11)
    columns = codec.shape.columns
    named = [("", dict(zip(("pump", "date", "vibration", "heat"), r, strict=True))) for r in table]
    readings = read_readings(named, columns, codec.shape.grid)
    windows = windows_of(readings, codec.shape.length)
    models = read_horizons(pumps.specialist.weights.folder)
    asked = [
        SeriesWindow(v, f, readings.units[u])
        for here, values, filled in cut(readings, windows, None)
        for v, f, u in zip(values, filled, windows.unit[here].tolist(), strict=True)
    ]
    answers = [
        codec.answer(found, "pumps@1", unit=w.unit) for found, w in zip(models.foresee(asked), asked, strict=True)
    ]
    alarms = [a for a in answers if a.value != "no alarm"]
    like = [a for a in alarms if a.details["looks_like"]]
    assert len(like) > 10
    assert not [a for a in answers if a.value == "no alarm" and "looked like" in a.details["said"]]
    failures = pumps.failures.read_text()
    for answer in like:
        told = answer.details["looks_like"]
        assert f"{told['unit']},{told['event']}" in failures and 0 < told["steps_before"] <= max(OPTIONS["horizons"])
        days = told["steps_before"]
        assert f"it looked like this {days} day{'' if days == 1 else 's'} before" in answer.details["said"]
        assert answer.details["said"].count(told["event"]) == 1 and told["distance"] < told["near_below"]
    assert np.mean([bool(a.details["looks_like"]) for a in alarms]) < 1, "not everything looks like something"


def test_folders_without_precedents_are_read_as_before(pumps: Pumps, tmp_path: Path) -> None:
    copy = tmp_path / "weights"
    shutil.copytree(pumps.specialist.weights.folder, copy)
    for name in ("precedents.json", "precedents.safetensors"):
        (copy / name).unlink()
    assert read_horizons(copy).precedents is None


def test_statistics_of_the_model_are_those_of_the_precedents(pumps: Pumps) -> None:
    models = read_horizons(pumps.specialist.weights.folder)
    assert models.precedents is not None
    recipe = models.models[models.chosen[0].model].recipe
    assert recipe.blocks[0] == "statistics"
    rng = np.random.default_rng(2)
    for n in range(20):
        values = rng.normal(size=models.shape).astype(np.float32) * (1 + n)
        one = SeriesWindow(values, np.zeros(values.shape, dtype=bool), f"pump {n % 5}")
        (found,) = models.foresee([one])
        assert found.precedent == (models.precedents.nearest(values, one.unit, recipe.scale) if found.signs else None)
