"""From readings to a judged model: signal is found, its absence admitted, leaks are called leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from series.fleets import fleet
from shokunin.errors import DataError, UsageError
from shokunin.pipeline.anticipating import Anticipation, choose, fit_rungs, prepare, published_protocol
from shokunin.series.leaks import find_leaks
from shokunin.series.plan import Plan
from shokunin.series.proof import Sides, as_json, judge, sentence
from shokunin.series.ranking import areas
from shokunin.series.readings import Readings
from shokunin.series.timeline import timeline
from shokunin.series.trees import TreeOptions
from shokunin.series.windows import windows_of

QUICK = TreeOptions(rounds=30, num_leaves=7, min_child_samples=5, threads=1)
PLAN = Plan(
    window=10, horizons=(6,), rungs=("base_rate", "outside_30", "statistics"), trees=QUICK, shares=(0.5, 0.25, 0.25)
)


def machines(signal: bool, units: int = 9, days: int = 260, seed: int = 0) -> tuple[Readings, dict[str, list[int]]]:
    rng = np.random.default_rng(seed)
    histories, failures = {}, {}
    for u in range(units):
        x = rng.normal(size=(days, 2))
        failed = list(range(12 + 3 * u, days, 30))
        for f in failed if signal else []:
            # A pattern that no single reading gives away: unrest grows, the level stays.
            x[max(0, f - 8) : f + 1, 0] *= 4
        histories[f"u{u}"], failures[f"u{u}"] = x, failed
    return fleet(histories, channels=["vibration", "oil"]), failures


def judged(found, seed: int = 0):
    p = found.prepared
    sides = [
        Sides(p.windows.take(rows), p.labels[rows], logits)
        for rows, logits in ((p.split.validation, found.validation), (p.split.test, found.test))
    ]
    return judge(p.plan.horizons, *sides, p.events, p.readings.grid, seed=seed)[0]


def test_what_precedes_failures_is_found_and_told_in_alarms(tmp_path: Path) -> None:
    readings, failures = machines(signal=True)
    found = fit_rungs(prepare(readings, PLAN, failures=failures), tmp_path)
    assert found.chosen[0].rung.name == "statistics" and "average precision" in found.chosen[0].why
    worth = judged(found)
    assert worth.skill and worth.ranking is not None and worth.ranking.roc_auc.value > 0.8
    assert worth.alarms.caught > worth.alarms.events / 2 and worth.alarms.right > worth.alarms.wrong
    told = sentence(worth, readings.grid)
    assert f"{worth.alarms.caught} of {worth.alarms.events} events caught" in told and "chance" not in told
    assert as_json(worth)["alarms"]["steps_ahead"]["caught"] == worth.alarms.caught
    assert worth.calibration["brier"] < worth.calibration["brier_of_base_rate"]


def test_where_nothing_can_be_known_this_is_said_and_nothing_is_chosen(tmp_path: Path) -> None:
    readings, failures = machines(signal=False)
    found = fit_rungs(prepare(readings, PLAN, failures=failures), tmp_path)
    worth = judged(found)
    assert not worth.skill and "NOT measurably better than chance" in sentence(worth, readings.grid)


def test_each_horizon_has_the_rung_that_is_good_at_it(tmp_path: Path) -> None:
    readings, failures = machines(signal=False)
    plan = PLAN.model_copy(update={"horizons": (3, 6), "rungs": ("base_rate", "last_outside", "outside_30")})
    prepared = prepare(readings, plan, failures=failures)
    nothing, near, far = fit_rungs(prepared, tmp_path).rungs
    y = prepared.labels[prepared.split.validation].astype(float)
    wild = np.random.default_rng(0).normal(size=y.shape)
    blind = replace(nothing, validation=np.zeros_like(y))
    # One knows the near horizon, the other the far one; jointly either would be as good as the other.
    near = replace(near, validation=np.c_[y[:, 0], wild[:, 1]], test=np.full_like(near.test, 1.0))
    far = replace(far, validation=np.c_[wild[:, 0], y[:, 1]], test=np.full_like(far.test, 2.0))
    rungs = (blind, near, far)
    found = Anticipation(prepared, rungs, choose(rungs, prepared))
    assert [(c.horizon, c.rung.name) for c in found.chosen] == [(3, "last_outside"), (6, "outside_30")]
    assert all(f"{c.rung.name} has the best average precision" in c.why for c in found.chosen)
    assert (found.validation == y).all() and (found.test == [1.0, 2.0]).all()


def test_a_simpler_rung_is_kept_at_the_horizon_where_it_is_as_good(tmp_path: Path) -> None:
    readings, failures = machines(signal=False)
    plan = PLAN.model_copy(update={"horizons": (3, 6), "rungs": ("base_rate", "last_outside", "outside_30")})
    prepared = prepare(readings, plan, failures=failures)
    rungs = fit_rungs(prepared, tmp_path).rungs
    y = prepared.labels[prepared.split.validation].astype(float)
    slip = y.copy()
    # One row too low and one too high: a little behind, and no test over units can tell.
    slip[np.flatnonzero(y[:, 0] == 1)[0], 0], slip[np.flatnonzero(y[:, 0] == 0)[0], 0] = 0.4, 0.5
    slip[:, 1] = 0
    simple, best = replace(rungs[1], validation=slip), replace(rungs[2], validation=y)
    near, far = choose((rungs[0], simple, best), prepared)
    assert near.rung.name == "last_outside" and "not measurably worse" in near.why and "(p " in near.why
    assert far.rung.name == "outside_30" and "above base_rate" in far.why


def test_units_that_were_never_seen_cannot_be_measured_against_themselves() -> None:
    readings, failures = machines(signal=True)
    plan = PLAN.model_copy(update={"split": "unit", "scale": "unit", "folds": 3})
    with pytest.raises(UsageError, match=r"split='unit' with scale='unit'.*scale='fleet'.*split='time'"):
        prepare(readings, plan, failures=failures)
    for fine in ({"scale": "fleet"}, {"scale": None}, {"split": "time"}):
        prepared = prepare(readings, plan.model_copy(update=fine), failures=failures)
        assert len(prepared.split.test)


def test_where_units_are_tested_every_training_unit_validates_by_models_that_did_not_see_it(tmp_path: Path) -> None:
    readings, failures = machines(signal=True, units=8, days=150)
    plan = PLAN.model_copy(update={"split": "unit", "folds": 4, "parts": 3})
    prepared = prepare(readings, plan, failures=failures)
    split = prepared.split
    assert np.array_equal(split.validation, split.train) and split.facts["crossed"] == {"units": 6, "parts": 3}
    found = fit_rungs(prepared, tmp_path)
    assert found.chosen[0].rung.name == "statistics"
    worth = judged(found)
    assert worth.skill and worth.ranking is not None and worth.ranking.roc_auc.value > 0.8
    trees = next(r for r in found.rungs if r.name == "statistics")
    assert trees.validation.shape == (len(split.train), 1) and trees.model.about["crossed"] == 3
    # The model itself has seen the training windows; its scores there would be too good to decide anything by.
    itself = trees.model.logits_of(trees.model.recipe.matrix(prepared.readings, prepared.windows.take(split.train)))
    known = prepared.labels[split.train, 0] >= 0
    y, crossed = prepared.labels[split.train, 0][known], trees.validation[known, 0]
    assert areas(itself[known, 0], y)[1] > areas(crossed, y)[1]
    assert expit(crossed).mean() == pytest.approx(y.mean(), abs=0.01)


def test_excursions_of_unseen_units_look_like_skill_and_the_proof_says_what_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    # Levels differ between units, and nothing else does.
    histories = {f"u{i}": rng.normal(size=150) * 0.5 + 3 * rng.normal() for i in range(24)}
    plan = PLAN.model_copy(update={"target": "excursions", "split": "unit", "folds": 3, "rungs": ("statistics",)})
    found = fit_rungs(prepare(fleet(histories), plan), tmp_path)
    assert [r.name for r in found.rungs] == ["last_outside", "statistics"]  # persistence always stands beside it
    assert found.chosen[0].rung.name == "statistics"
    worth = judged(found)
    assert worth.ranking is not None and worth.ranking.roc_auc.low > 0.8 and worth.within is not None
    assert worth.apart_only and not worth.skill
    told = sentence(worth, found.prepared.readings.grid)
    assert "it tells units apart" in told and "NOT measurably better than chance" in told
    assert as_json(worth)["within"]["units"] == worth.within.units


@pytest.mark.slow
def test_the_published_protocol_flatters_where_there_is_no_signal(tmp_path: Path) -> None:
    readings, _ = machines(signal=False)
    plan = PLAN.model_copy(update={"trees": QUICK.model_copy(update={"rounds": 150, "num_leaves": 31})})
    found = published_protocol(readings, plan, tmp_path / "published")
    flattered = judged(found).ranking
    honest_plan = plan.model_copy(update={"target": "excursions", "when": "at", "offset": 1, "rungs": ("statistics",)})
    honest = judged(fit_rungs(prepare(readings, honest_plan), tmp_path / "honest")).ranking
    assert flattered is not None and honest is not None
    assert flattered.roc_auc.value > 0.9 and honest.roc_auc.low < 0.5 < honest.roc_auc.high + 0.05


def test_a_column_that_knows_the_answer_is_found_and_left_out() -> None:
    readings, failures = machines(signal=False)
    extended = []
    for stretch, name in zip(readings.stretches, readings.units, strict=True):
        steps = np.arange(len(stretch))
        to_go = np.array([min([f - t for f in failures[name] if f > t], default=99) for t in steps])
        future = np.r_[stretch.values[6:, 1], np.zeros(6)]
        extended.append(np.c_[stretch.values, to_go, future])
    readings = fleet(dict(zip(readings.units, extended, strict=True)), channels=["vibration", "oil", "service", "oil2"])
    prepared = prepare(readings, PLAN, failures=failures)
    assert {leak.channel for leak in prepared.leaks} == {"service", "oil2"}
    assert "'oil' will read 6 days later" in next(leak.why for leak in prepared.leaks if leak.channel == "oil2")
    assert prepared.readings.channels == ("vibration", "oil")
    kept = prepare(readings, PLAN.model_copy(update={"keep_leaks": ("service",)}), failures=failures)
    assert kept.readings.channels == ("vibration", "oil", "service") and len(kept.leaks) == 2


def test_a_future_is_found_over_many_stretches_and_what_misses_too_often_is_none() -> None:
    rng = np.random.default_rng(0)
    histories = {f"u{i}": rng.normal(size=(60, 2)) for i in range(5)}
    for x in histories.values():
        x[:-4, 1] = x[4:, 0]
    windows, rows = windows_of(fleet(histories), 10), np.arange(20)
    labels = np.zeros((len(windows), 1), np.int8)
    assert [leak.channel for leak in find_leaks(fleet(histories), windows, labels, (0,), rows)] == []
    labels = np.zeros((len(windows), 2), np.int8)
    assert [leak.channel for leak in find_leaks(fleet(histories), windows, labels, (2, 4), rows)] == ["c1"]
    histories["u4"][:8, 1] += 1  # 8 of 280 known futures are wrong, and no chance hits the others
    assert [leak.channel for leak in find_leaks(fleet(histories), windows, labels, (2, 4), rows)] == ["c1"]
    switches = {name: np.floor(x * 2) for name, x in histories.items()}  # a few values meet by chance
    assert find_leaks(fleet(switches), windows, labels, (2, 4), rows) == []
    switches["u4"][:8, 1] -= 2
    assert [leak.channel for leak in find_leaks(fleet(switches), windows, labels, (2, 4), rows)] == ["c1"]
    histories["u2"][:, 1] += 1
    assert find_leaks(fleet(histories), windows, labels, (2, 4), rows) == []


def test_a_good_sensor_is_no_leak() -> None:
    readings, failures = machines(signal=True)
    prepared = prepare(readings, PLAN, failures=failures)
    assert prepared.leaks == ()
    windows = windows_of(readings, 10)
    assert find_leaks(readings, windows, np.zeros((len(windows), 1), np.int8), (6,), np.arange(len(windows))) == []


@pytest.mark.parametrize(
    ("target", "column", "message"),
    [
        ("failures", None, "no failures to learn from"),
        ("remaining", None, "needs the name of its column"),
        ("label", "nothing", "no channel 'nothing'"),
    ],
)
def test_targets_without_their_data_are_errors(target: str, column: str | None, message: str) -> None:
    readings, _ = machines(signal=False)
    with pytest.raises(DataError, match=message):
        prepare(readings, PLAN.model_copy(update={"target": target, "column": column}))


def test_a_label_column_and_the_remaining_life_give_labels_and_events() -> None:
    x = np.random.default_rng(0).normal(size=200)
    bad = np.zeros(200)
    bad[50:55], bad[120:122], bad[180:183] = 1, 1, 1
    names = [f"u{i}" for i in range(4)]
    readings = fleet(dict.fromkeys(names, np.c_[x, bad]), channels=["x", "bad"])
    prepared = prepare(readings, PLAN.model_copy(update={"target": "label", "column": "bad"}))
    assert prepared.events[0] == [50, 120, 180] and prepared.readings.channels == ("x",)
    readings = fleet({n: np.c_[x, np.arange(203, 3, -1)] for n in names}, channels=["x", "left"], step="cycle")
    plan = PLAN.model_copy(update={"target": "remaining", "column": "left", "split": "unit", "folds": 4})
    prepared = prepare(readings, plan)
    assert prepared.events == {u: [203] for u in range(4)} and plan.measured_by == "fleet"
    assert (prepared.labels == 1).sum() == 4 * 3  # the histories end 4 steps before the end


def test_the_picture_shows_risk_alarms_and_the_failure() -> None:
    steps = np.arange(100, 700)
    svg = timeline(
        "pump <3>", steps, ("vibration & co", np.sin(steps / 9)), np.linspace(0, 0.8, 600), 0.5, [(600, 1), (650, 0)],
        [690], ["2024-01-01", "2025-08-22"],
    )  # fmt: skip
    assert svg.startswith("<svg") and "pump &lt;3&gt;" in svg and "vibration &amp; co" in svg
    assert svg.count("<path") == 2 and "failure" in svg and "alarm, right" in svg
    import xml.etree.ElementTree as ElementTree

    ElementTree.fromstring(svg)
