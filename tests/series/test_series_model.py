"""From windows to risks: rows, trees, calibration, files; what is saved answers as what was fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from series.fleets import fleet
from shokunin.errors import ArtefactError, UsageError
from shokunin.progress import silent
from shokunin.series.embedding import GRAPH, SeriesEncoder
from shokunin.series.features import Recipe
from shokunin.series.labels import from_failures
from shokunin.series.lessons import SeriesLessons, SeriesWindow
from shokunin.series.mixer import MixerShape, random_mixer
from shokunin.series.mixer_graph import write_graph
from shokunin.series.risk import fit_risk
from shokunin.series.scaling import fit_scale
from shokunin.series.split import by_time
from shokunin.series.text import Texts, read_texts
from shokunin.series.trees import TreeOptions, fit_trees, read_forest
from shokunin.series.windows import windows_of

QUICK = TreeOptions(rounds=40, num_leaves=7, min_child_samples=5, threads=1)
LENGTH = 12


def wearing(units: int = 6, days: int = 300, seed: int = 0):
    """Units that rise over the 15 days before each failure, and the failures."""
    rng = np.random.default_rng(seed)
    histories, failures = {}, {}
    for u in range(units):
        x = rng.normal(size=(days, 2))
        failed = list(range(20 + 7 * u, days, 40))
        for f in failed:
            a = max(0, f - 15)
            x[a : f + 1, 0] += 4 * (np.arange(a, f + 1) - f + 15) / 15
        histories[f"u{u}"], failures[f"u{u}"] = x, failed
    return fleet(histories, channels=["vibration", "oil.temp"]), failures


@pytest.fixture(scope="module")
def lessons() -> SeriesLessons:
    readings, failures = wearing()
    windows = windows_of(readings, LENGTH)
    labels = from_failures(readings, windows, failures, [5, 10])
    split = by_time(readings, windows, 10)
    texts = {u: f"pump {u}" for u in readings.units}
    return SeriesLessons(
        readings, windows, labels, (5, 10), "within", split.train, split.validation, split.known, texts
    )


def recipe_of(lessons: SeriesLessons, folder: Path) -> Recipe:
    shape = MixerShape(context=LENGTH, patch=4, width=8, layers=1)
    write_graph(shape, random_mixer(shape, 0), LENGTH, folder / GRAPH)
    texts = Texts(lessons.readings.units[:-1], np.eye(5, 3, dtype=np.float32), {"name": "none"})
    scale = fit_scale(lessons.readings, lessons.known, least=LENGTH)
    encoder = SeriesEncoder(folder / GRAPH, threads=1)
    return Recipe(
        lessons.readings.channels, LENGTH, ("statistics", "recent", "embedding", "text"), scale, encoder, texts
    )


def test_a_row_has_the_blocks_in_order_and_does_not_depend_on_the_batch(lessons: SeriesLessons, tmp_path: Path) -> None:
    recipe = recipe_of(lessons, tmp_path)
    names = recipe.names()
    assert len(names) == 2 * (28 + 4 + 8) + 2 + 3 and names[0] == "vibration.mean" and names[-1] == "text_2"
    x = recipe.matrix(lessons.readings, lessons.windows)
    one = recipe.matrix(lessons.readings, lessons.windows.take(np.array([70])))
    assert np.allclose(x[70], one[0], atol=1e-5)
    last = x[0, names.index("oil.temp.last")]
    stretch = lessons.readings.stretches[0]
    alone = [x[:, names.index(f"{channel}.outside_30")] for channel in recipe.channels]
    assert np.allclose(x[:, names.index("all channels.outside_30")], np.mean(alone, axis=0)) and np.ptp(alone[0]) > 0
    assert last == pytest.approx(recipe.scale.scaled(stretch.values[LENGTH - 1 : LENGTH], 1)[0, 1], abs=1e-6)
    assert np.isnan(x[lessons.windows.unit == 5][:, -3:]).all()  # a unit without a text is not known, not zero


def test_the_papers_row_has_1116_numbers(tmp_path: Path) -> None:
    shape = MixerShape()
    write_graph(shape, random_mixer(shape, 0), 90, tmp_path / GRAPH)
    readings = fleet({"p": np.random.default_rng(0).normal(size=100)})
    texts = Texts(("p",), np.ones((1, 1024), dtype=np.float32), {})
    known = [(s, np.ones(len(s), dtype=bool)) for s in readings.stretches]
    blocks = ("statistics", "embedding", "text")
    recipe = Recipe(readings.channels, 90, blocks, fit_scale(readings, known), SeriesEncoder(tmp_path / GRAPH), texts)
    assert recipe.matrix(readings, windows_of(readings, 90)).shape == (11, 28 + 64 + 1024)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": ("text", "statistics")}, "in this order"),
        ({"encoder": None}, "none is given"),
        ({"texts": None}, "embedded texts"),
    ],
)
def test_a_recipe_that_cannot_be_cooked_is_refused(
    lessons: SeriesLessons, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    recipe = recipe_of(lessons, tmp_path)
    with pytest.raises(UsageError, match=message):
        Recipe(**{**vars(recipe), **change})  # type: ignore[arg-type]


def test_texts_are_kept_and_damage_is_told(tmp_path: Path) -> None:
    texts = Texts(("a", "b"), np.eye(2, 4, dtype=np.float32), {"name": "m"})
    texts.save(tmp_path)
    again = read_texts(tmp_path)
    assert again.units == texts.units and np.array_equal(again.vectors, texts.vectors) and again.width == 4
    (tmp_path / "texts.safetensors").write_bytes(b"no")
    with pytest.raises(ArtefactError, match="damaged"):
        read_texts(tmp_path)


def test_the_learner_learns_what_precedes_failures_and_its_folder_answers_the_same(
    lessons: SeriesLessons, tmp_path: Path
) -> None:
    from shokunin.engines import trees as engine
    from shokunin.train import boosted_trees

    options = boosted_trees.Options(blocks=("statistics", "recent", "embedding"), encoder="random", trees=QUICK)
    weights = boosted_trees.fit(lessons, options, tmp_path, seed=0, progress=silent)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "encoder.onnx", "scale.json", "series.json", "trees_10.txt", "trees_5.txt",
    ]  # fmt: skip
    assert weights.facts["encoder"]["source"] == "random"  # the name says it
    session = engine.load(weights)
    stretch = lessons.readings.stretches[0]
    forms = [SeriesWindow(stretch.values[e - LENGTH : e], stretch.filled[e - LENGTH : e], "u0") for e in (20, 35, 60)]
    raw = session.run(forms)
    assert raw.shape == (3, 2)
    assert np.allclose(raw[1:2], session.run(forms[1:2]), atol=1e-4)
    assert raw[0, 0] > raw[1, 0] + 1  # the day of the failure against one far from any
    x = session.model.recipe.matrix(lessons.readings, lessons.windows.take(np.array([8])))
    speaking = session.model.speaking(x, 5)
    assert speaking[0][0] == "vibration" and {name for name, _ in speaking} <= {"vibration", "oil.temp", "all channels"}
    with pytest.raises(UsageError, match="this model reads"):
        session.run([SeriesWindow(stretch.values[:5], stretch.filled[:5], "u0")])


@pytest.mark.parametrize("rule", ["base_rate", "last_outside", "outside_30"])
def test_plain_rules_are_models_too(lessons: SeriesLessons, tmp_path: Path, rule: str) -> None:
    from shokunin.engines import trees as engine
    from shokunin.train import last_readings

    weights = last_readings.fit(
        lessons, last_readings.Options(rule=rule), tmp_path, seed=0, progress=silent  # type: ignore[arg-type]
    )  # fmt: skip
    model = engine.load(weights).model
    x = model.recipe.matrix(lessons.readings, lessons.windows.take(lessons.validation))
    risk = 1 / (1 + np.exp(-model.logits_of(x)[:, 0]))
    assert risk.mean() == pytest.approx(lessons.labels[lessons.validation, 0].mean(), abs=0.02)
    if rule != "outside_30":  # in twelve readings that one may say nothing
        assert (np.ptp(risk) == 0) == (rule == "base_rate")


def test_damaged_folders_are_errors(lessons: SeriesLessons, tmp_path: Path) -> None:
    from shokunin.engines import trees as engine
    from shokunin.train import boosted_trees

    weights = boosted_trees.fit(
        lessons, boosted_trees.Options(trees=QUICK), tmp_path, seed=0, progress=silent
    )  # fmt: skip
    text = (tmp_path / "trees_5.txt").read_text()
    for broken in ("", "tree\n", text[: len(text) // 2], "pickle"):
        (tmp_path / "trees_5.txt").write_text(broken)
        with pytest.raises(ArtefactError):
            engine.load(weights)
    (tmp_path / "trees_5.txt").write_text(text)
    about = (tmp_path / "series.json").read_text()
    (tmp_path / "series.json").write_text(about.replace('"recent"', '"nothing"'))
    with pytest.raises(ArtefactError, match="do not belong together"):
        engine.load(weights)
    (tmp_path / "series.json").write_text("{}")
    with pytest.raises(ArtefactError, match="damaged"):
        engine.load(weights)


def test_trees_stay_below_the_largest_file_and_say_what_was_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=600) > 0).astype(np.int8)
    whole = fit_trees(x[:400], y[:400], (x[400:], y[400:]), QUICK, seed=0)
    small = fit_trees(x[:400], y[:400], (x[400:], y[400:]), QUICK, seed=0, largest=len(whole.text) * 2 // 3)
    assert len(small.text) <= len(whole.text) * 2 // 3 and small.trees + small.left_out == whole.trees
    small.save(tmp_path / "t.txt")
    forest = read_forest(tmp_path / "t.txt")
    parts = forest.contributions(x[:7])
    assert np.allclose(parts.sum(axis=1), forest.raw(x[:7]), atol=1e-6)


def test_one_class_is_an_error_with_counts() -> None:
    x, y = np.zeros((9, 2), np.float32), np.zeros(9, np.int8)
    with pytest.raises(UsageError, match="0 of 9 windows of the training side"):
        fit_trees(x, y, (x, y), QUICK, seed=0)
    for labels, advice in ((y, "longer"), (y + 1, "shorter")):
        told = rf"{labels.sum()} of 9 windows .* for the horizon of 30 steps; .*choose a {advice} --horizon or another target"
        with pytest.raises(UsageError, match=told):
            fit_trees(x, labels.astype(np.int8), None, QUICK, seed=0, horizon=30)


def test_risks_are_calibrated_and_never_turn_a_wrong_ranking_round() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(size=20_000) * 1.5 - 2
    y = (rng.random(20_000) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    distorted = 3 * logit + 4
    risk = fit_risk(distorted, y)
    assert (risk.slope, risk.shift) == (pytest.approx(1 / 3, abs=0.02), pytest.approx(-4 / 3, abs=0.1))
    y[:50] = -1  # unknown labels count for nothing
    assert fit_risk(-distorted, y).slope == pytest.approx(0, abs=1e-5)
    assert fit_risk(-distorted, y).of(np.zeros(1))[0] == pytest.approx((y == 1).sum() / (y >= 0).sum(), abs=0.01)
    assert np.isfinite(fit_risk(np.zeros(5), np.array([1, 1, 1, 1, 1], np.int8)).shift)
