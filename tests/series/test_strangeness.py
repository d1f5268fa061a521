"""Each detector is quiet in normal time and sees what is not; what is said of a strange window is true of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from series.fleets import fleet
from shokunin.engines import engine_for
from shokunin.errors import ArtefactError, ShokuninError, UsageError
from shokunin.pipeline.kept_raw import keep_raw, kept_raw
from shokunin.progress import silent
from shokunin.series.lessons import SeriesLessons, SeriesWindow
from shokunin.series.strangeness import ABOUT, ARRAYS, DETECTORS, StrangeModel, fit_strange, read_strange
from shokunin.series.windows import windows_of
from shokunin.train import learner
from shokunin.weights import Weights

CHANNELS = ("pressure", "flow", "valve")
LENGTH, DAYS, LEARNT = 10, 360, 240
LEARNERS = {"last_outside": "normal_windows", "forecast_residual": "forecast_residual", "reconstruction": "normal_windows",
            "isolation": "normal_windows"}  # fmt: skip


def pumps(units: int = 4, seed: int = 0) -> SeriesLessons:
    """The flow follows the pressure; each pump has a level of its own; the valve never moves."""
    rng = np.random.default_rng(seed)
    histories = {}
    for unit in range(units):
        pressure = np.sin(np.arange(DAYS) / 5) + 0.1 * rng.normal(size=DAYS) + 10 * unit
        flow = 2 * pressure + 0.1 * rng.normal(size=DAYS)
        histories[f"pump {unit}"] = np.c_[pressure, flow, np.full(DAYS, 7.0)]
    readings = fleet(histories, channels=CHANNELS)
    windows = windows_of(readings, LENGTH)
    known = [(s, np.arange(len(s)) < LEARNT) for s in readings.stretches]
    train, held = np.flatnonzero(windows.step < LEARNT), np.flatnonzero(windows.step >= LEARNT + LENGTH)
    return SeriesLessons(readings, windows, np.zeros((len(windows), 1), np.int8), (1,), "within", train, held, known)


LESSONS = pumps()


@pytest.fixture(scope="module", params=DETECTORS)
def model(request: pytest.FixtureRequest) -> StrangeModel:
    """Fitted, with the threshold at the strangest normal window that was held out."""
    fitted = fit_strange(LESSONS, request.param)
    scores = fitted.scores(LESSONS.readings, LESSONS.windows.take(LESSONS.validation))
    return replace(fitted, threshold=float(scores.max()))


def newest(unit: int = 0) -> np.ndarray:
    return LESSONS.readings.stretches[unit].values[-LENGTH:].copy()


def window(values: np.ndarray, unit: str = "pump 0") -> SeriesWindow:
    return SeriesWindow(values.astype(np.float32), np.zeros(values.shape, dtype=bool), unit)


def test_held_out_normal_windows_are_quiet_and_a_large_move_is_not(model: StrangeModel) -> None:
    scores = model.scores(LESSONS.readings, LESSONS.windows.take(LESSONS.validation))
    assert np.isfinite(scores).all() and (scores > 0).all()
    moved = newest()
    moved[:, :2] += 16
    told = model.tell(window(moved))
    assert told.score > 0 and told.known and told.since >= 1
    assert told.signs and {s.channel for s in told.signs} <= {"pressure", "flow"}
    assert 0.5 < sum(s.push for s in told.signs) <= 1 + 1e-9 and all(s.push > 0 for s in told.signs)
    assert model.tell(window(newest())).signs == ()


def test_each_unit_is_measured_against_itself(model: StrangeModel) -> None:
    other = newest(3)
    assert model.tell(window(other, "pump 3")).score <= 0 < model.tell(window(other, "pump 0")).score
    assert not model.tell(window(other, "pump 9")).known


@pytest.mark.parametrize("detector", ["forecast_residual", "reconstruction"])
def test_a_lost_relation_is_seen_and_said_although_each_sensor_is_within_its_range(detector: str) -> None:
    fitted = fit_strange(LESSONS, detector)  # type: ignore[arg-type]
    held = fitted.scores(LESSONS.readings, LESSONS.windows.take(LESSONS.validation))
    fitted = replace(fitted, threshold=float(held.max()))
    values = newest()
    values[-6:, 1] = 2 * values[-6:, 1].mean() - values[-6:, 1]  # the flow runs the other way
    told = fitted.tell(window(values))
    assert told.score > 0 and told.apart == (("pressure", "flow"),)
    limits = fit_strange(LESSONS, "last_outside")
    plain = limits.scores(LESSONS.readings, LESSONS.windows.take(LESSONS.validation)).max()
    assert limits.score(values[None], ["pump 0"])[0] < plain


def test_a_sensor_that_stands_still_is_named(model: StrangeModel) -> None:
    values = newest()
    values[2:, 0], values[2:, 1] = values[2, 0] + 8, values[2:, 1] + 16
    told = model.tell(window(values))
    assert told.score > 0 and told.still == (("pressure", LENGTH - 2),)


def test_a_channel_that_never_moved_may_not_move_unseen(model: StrangeModel) -> None:
    values = newest()
    values[-4:, 2] = 9.0
    assert model.tell(window(values)).score > 0 or model.detector == "isolation"


@pytest.mark.parametrize("detector", ["last_outside", "forecast_residual", "reconstruction"])
def test_since_counts_back_to_where_it_began(detector: str) -> None:
    fitted = replace(FITTED[detector], threshold=2.0)
    values = newest()
    values[-3:, 1] += 15
    told = fitted.tell(window(values))
    assert told.score > 0 and told.since == 3 and not told.longer
    values = newest()
    values[:, 1] += 15
    assert fitted.tell(window(values)).longer


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_learner_writes_what_the_engine_reads(detector: str, tmp_path: Path) -> None:
    module = learner(LEARNERS[detector])
    options = module.Options(**({} if detector == "forecast_residual" else {"detector": detector}))
    assert 0 < module.forecast(LESSONS, options) < 60
    weights = module.fit(LESSONS, options, tmp_path, seed=0, progress=silent)
    assert {p.suffix for p in tmp_path.iterdir()} <= {".json", ".safetensors"} and weights.size_bytes() < 4_000_000
    session = engine_for(weights.format).load(weights)
    moved = newest()
    moved[:, 0] += 8
    forms = [window(newest()), window(moved), window(newest(2), "pump 2")]
    told = session.run(forms)
    assert session.run([]) == [] and told == [session.run([form])[0] for form in forms]
    keep_raw(told, tmp_path)
    assert kept_raw(tmp_path) == told


def test_damaged_files_are_an_error_of_ours(tmp_path: Path) -> None:
    fitted = fit_strange(LESSONS, "forecast_residual")
    for victim, content in ((ABOUT, b"{}"), (ABOUT, b"nonsense"), (ARRAYS, b"\x80\x04nonsense"), (ARRAYS, None)):
        fitted.save(tmp_path)
        (tmp_path / victim).unlink() if content is None else (tmp_path / victim).write_bytes(content)
        with pytest.raises(ShokuninError):
            engine_for("series_normal").load(Weights(tmp_path, "series_window", "series_normal"))
    replace(fitted, threshold=0.0).save(tmp_path)
    with pytest.raises(ArtefactError, match="threshold"):
        read_strange(tmp_path)


def test_too_few_windows_or_none_that_move_are_refused(model: StrangeModel) -> None:
    with pytest.raises(UsageError, match="too few"):
        fit_strange(LESSONS.take(np.arange(5)), model.detector)
    still = fleet({"a": np.full((80, 2), 3.0)})
    windows = windows_of(still, LENGTH)
    known = [(s, np.ones(len(s), dtype=bool)) for s in still.stretches]
    rows = np.arange(len(windows))
    lessons = SeriesLessons(still, windows, np.zeros((len(windows), 1), np.int8), (1,), "within", rows, rows, known)
    with pytest.raises(UsageError, match="no channel moves"):
        fit_strange(lessons, model.detector)
    with pytest.raises(UsageError, match="shape"):
        model.tell(window(newest()[1:]))


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.float32, (LENGTH, 3), elements=st.floats(width=32, allow_nan=True, allow_infinity=False)),
    st.sampled_from(DETECTORS),
)
def test_whatever_is_sent_gets_a_finite_score(values: np.ndarray, detector: str) -> None:
    told = FITTED[detector].tell(window(values))
    assert np.isfinite(told.score) and 0 <= told.since <= LENGTH


FITTED = {detector: fit_strange(LESSONS, detector) for detector in DETECTORS if detector != "isolation"}
FITTED["isolation"] = fit_strange(LESSONS.take(np.arange(0, len(LESSONS), 20)), "isolation")
