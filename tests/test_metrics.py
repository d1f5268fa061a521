"""Intervals and tests against references, and their coverage by simulation with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score

from shokunin import metrics
from shokunin.metrics import Interval

LABELS = st.sampled_from(["a", "b", "c", "d"])


def within(interval: Interval) -> None:
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


@given(st.integers(1, 3000), st.data())
def test_wilson_contains_its_value_and_equals_scipy(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    found = metrics.wilson(successes, n)
    within(found)
    reference = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=1e-9)


@pytest.mark.parametrize(("n", "p"), [(20, 0.1), (50, 0.9), (200, 0.5), (1000, 0.97)])
def test_wilson_covers_the_true_share(n: int, p: float) -> None:
    drawn = np.random.default_rng(1).binomial(n, p, 4000)
    found = [metrics.wilson(int(k), n) for k in range(n + 1)]
    covered = np.mean([found[k].low <= p <= found[k].high for k in drawn])
    assert 0.92 <= covered <= 0.985


@given(st.integers(1, 500), st.data(), st.floats(0.001, 0.5))
def test_clopper_pearson_equals_scipy(n: int, data: st.DataObject, delta: float) -> None:
    errors = data.draw(st.integers(0, n))
    reference = stats.binomtest(errors, n, alternative="less").proportion_ci(1 - delta, method="exact").high
    assert metrics.clopper_pearson_upper(errors, n, delta) == pytest.approx(reference, abs=1e-9)


@pytest.mark.parametrize(("n", "p"), [(59, 0.05), (100, 0.02), (400, 0.2)])
def test_clopper_pearson_never_misses_more_often_than_it_says(n: int, p: float) -> None:
    drawn = np.random.default_rng(2).binomial(n, p, 4000)
    bound = [metrics.clopper_pearson_upper(k, n, 0.05) for k in range(n + 1)]
    assert np.mean([bound[k] < p for k in drawn]) <= 0.05 + 0.01


def test_no_rows_bound_nothing() -> None:
    assert metrics.clopper_pearson_upper(0, 0, 0.05) == 1.0
    assert metrics.binomial_p_value(0, 0, 0.05) == 1.0


@pytest.mark.parametrize(("max_error", "delta", "rows"), [(0.05, 0.05, 59), (0.01, 0.05, 299), (0.05, 0.0125, 86)])
def test_rows_needed_is_the_least_that_can_show_it(max_error: float, delta: float, rows: int) -> None:
    assert metrics.rows_needed(max_error, delta) == rows
    assert metrics.binomial_p_value(0, rows, max_error) <= delta < metrics.binomial_p_value(0, rows - 1, max_error)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.data())
@settings(max_examples=40, deadline=None)
def test_accuracy_is_the_mean_inside_its_interval(correct: list[bool], data: st.DataObject) -> None:
    groups = data.draw(st.none() | st.lists(st.integers(0, 5), min_size=len(correct), max_size=len(correct)))
    found = metrics.accuracy(correct, groups)
    within(Interval(found.value if groups is None else np.mean(correct), found.low, found.high))


def test_accuracy_of_independent_rows_is_wilson_whatever_the_groups_are_called() -> None:
    correct = [True] * 90 + [False] * 10
    assert metrics.accuracy(correct) == metrics.accuracy(correct, list(range(7, 107))) == metrics.wilson(90, 100)


def test_groups_widen_the_interval_as_much_as_they_repeat() -> None:
    rng = np.random.default_rng(3)
    correct = np.repeat(rng.random(100) < 0.8, 10)
    alone, grouped = metrics.accuracy(correct), metrics.accuracy(correct, np.repeat(np.arange(100), 10))
    hundred = metrics.wilson(int(correct[::10].sum()), 100)
    assert grouped.high - grouped.low > 2.5 * (alone.high - alone.low)
    assert grouped.high - grouped.low == pytest.approx(hundred.high - hundred.low, rel=0.15)


def test_cluster_bootstrap_covers_the_true_share() -> None:
    rng, covered = np.random.default_rng(4), 0
    for run in range(200):
        rate = rng.beta(8, 2, 60)  # mean 0.8, and rows of one group are alike
        correct = rng.random((60, 6)) < rate[:, None]
        found = metrics.accuracy(correct.ravel(), np.repeat(np.arange(60), 6), seed=run)
        covered += found.low <= 0.8 <= found.high
    assert covered >= 180


def test_all_right_is_not_certain() -> None:
    assert metrics.accuracy([True] * 40, [i // 4 for i in range(40)]).low == metrics.wilson(10, 10).low
    assert metrics.macro_f1(["a", "b"] * 10, ["a", "b"] * 10).low == metrics.wilson(20, 20).low


@given(st.lists(st.tuples(LABELS, st.none() | LABELS | st.just("unknown")), min_size=1, max_size=50))
@settings(max_examples=40, deadline=None)
def test_macro_f1_equals_sklearn_over_the_expected_classes(rows: list[tuple[str, str | None]]) -> None:
    expected, given_ = zip(*rows, strict=True)
    reference = f1_score(
        expected, [g or "no answer" for g in given_], labels=sorted(set(expected)), average="macro", zero_division=0.0
    )
    found = metrics.macro_f1(expected, given_)
    assert found.value == pytest.approx(reference, abs=1e-12)
    within(found)


def test_macro_f1_covers_the_true_value() -> None:
    rng, names = np.random.default_rng(5), np.asarray(["a", "b", "c", "d"])

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        truth = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
        return truth, np.where(rng.random(n) < 0.75, truth, rng.integers(0, 4, n))

    true_value = metrics.macro_f1(*(x[:].tolist() for x in draw(200_000))).value
    covered = 0
    for _ in range(50):
        truth, given_ = draw(300)
        found = metrics.macro_f1(names[truth].tolist(), names[given_].tolist())
        covered += found.low <= true_value <= found.high
    assert covered >= 43


def test_macro_f1_of_many_classes_and_rows() -> None:
    rng = np.random.default_rng(6)
    truth = rng.integers(0, 77, 3080)
    given_ = np.where(rng.random(3080) < 0.9, truth, rng.integers(0, 77, 3080))
    found = metrics.macro_f1(truth, given_)
    assert found.value == pytest.approx(f1_score(truth, given_, average="macro"))
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * (0.9 * 0.1 / 3080) ** 0.5, rel=0.2)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_mcnemar_is_the_mid_p_of_the_sign_test(rows: list[tuple[bool, bool]]) -> None:
    a, b = zip(*rows, strict=True)
    up, down = sum(x and not y for x, y in rows), sum(y and not x for x, y in rows)
    n = up + down
    worse = stats.binom.cdf(up - 1, n, 0.5) + stats.binom.pmf(up, n, 0.5) / 2 if n else 1.0
    assert metrics.mcnemar_worse(a, b) == pytest.approx(worse, abs=1e-12)
    exact = stats.binomtest(up, n, 0.5).pvalue if n else 1.0
    assert metrics.mcnemar(a, b) <= exact + 1e-12
    assert metrics.mcnemar(a, b) == metrics.mcnemar(b, a)


def test_mcnemar_keeps_its_level() -> None:
    rng, rejected = np.random.default_rng(7), 0
    for _ in range(2000):
        a, b = rng.random(100) < 0.8, rng.random(100) < 0.8
        rejected += metrics.mcnemar_worse(a, b) < 0.05
    assert 0.03 <= rejected / 2000 <= 0.065


def test_worse_and_better_point_the_right_way() -> None:
    good, bad = [True] * 95 + [False] * 5, [True] * 80 + [False] * 20
    found = metrics.compare_accuracy(bad, good)
    assert found.difference.value == pytest.approx(-0.15)
    assert found.difference.high < 0
    assert found.p_worse < 0.001 < 0.999 < found.p_better
    names = ["a", "b"] * 50
    wrong = [n if i >= 20 else "b" for i, n in enumerate(names)]
    assert metrics.macro_f1_worse(names, wrong, names) < 0.01
    assert metrics.macro_f1_worse(names, names, wrong) > 0.99


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_a_difference_lies_in_its_interval(rows: list[tuple[bool, bool]]) -> None:
    a, b = zip(*rows, strict=True)
    found = metrics.compare_accuracy(a, b).difference
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(np.mean(a) - np.mean(b))


def test_the_interval_of_a_difference_covers_it() -> None:
    rng, covered = np.random.default_rng(8), 0
    for _ in range(1000):
        both = rng.random(150)
        a, b = both < 0.85, (both < 0.75) | (both > 0.97)  # differ by 0.07, mostly right on the same rows
        found = metrics.compare_accuracy(a, b).difference
        covered += found.low <= 0.85 - 0.78 <= found.high
    assert 0.93 <= covered / 1000 <= 0.985


def test_a_comparison_with_itself_finds_nothing() -> None:
    rows = ["a", "b", "c"] * 20
    given_ = ["a"] * 60
    for found in (
        metrics.compare_macro_f1(rows, given_, given_),
        metrics.compare("macro_f1", rows, given_, given_, [i // 2 for i in range(60)]),
        metrics.paired_bootstrap([1.0, 0.0] * 30, [1.0, 0.0] * 30),
    ):
        assert found.difference == Interval(0.0, 0.0, 0.0)
        assert found.p == 1.0
    same = metrics.compare("accuracy", rows, given_, given_)
    assert same.p == 1.0
    assert same.difference.low < 0 == same.difference.value < same.difference.high  # not certain that they always agree


def test_grouped_rows_make_a_comparison_less_sure() -> None:
    a = np.repeat([True] * 12 + [False] * 8, 10)
    b = np.repeat([True] * 8 + [False] * 12, 10)
    groups = np.repeat(np.arange(20), 10)
    alone, grouped = metrics.compare_accuracy(a, b), metrics.compare_accuracy(a, b, groups)
    assert grouped.p > alone.p
    assert grouped.difference.low < alone.difference.low


def test_calibration_error_of_honest_and_boastful_confidence() -> None:
    rng = np.random.default_rng(9)
    confidence = rng.random(50_000)
    correct = rng.random(50_000) < confidence
    assert metrics.expected_calibration_error(confidence, correct) < 0.01
    assert metrics.expected_calibration_error(np.full(1000, 0.99), np.arange(1000) < 700) == pytest.approx(0.29)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=80), st.integers(1, 20))
def test_every_row_is_in_one_bin(rows: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = [c for c, _ in rows], [r for _, r in rows]
    found = metrics.reliability_bins(confidence, correct, bins)
    assert sum(b.rows for b in found) == len(rows)
    for b in found:
        assert b.low - 1e-9 <= b.confidence <= b.high + 1e-9
        assert 0 <= b.accuracy <= 1
    assert 0 <= metrics.expected_calibration_error(confidence, correct, bins) <= 1


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.5001, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60))
def test_risk_coverage_counts_rows_above_each_threshold(rows: list[tuple[float, bool]]) -> None:
    confidence, correct = np.asarray([c for c, _ in rows]), np.asarray([r for _, r in rows])
    by_hand = [
        (float((confidence >= t).mean()), float((~correct[confidence >= t]).mean()))
        for t in sorted(set(confidence), reverse=True)
    ]
    assert metrics.risk_coverage(confidence, correct) == pytest.approx(np.asarray(by_hand))
    steps = np.diff([0.0, *(c for c, _ in by_hand)])
    area = float((steps * [r for _, r in by_hand]).sum())
    assert metrics.area_under_risk_coverage(confidence, correct) == pytest.approx(area)


def test_a_long_risk_coverage_curve_is_thinned_but_keeps_its_end() -> None:
    rng = np.random.default_rng(10)
    confidence, correct = rng.random(30_000), rng.random(30_000) < 0.8
    curve = metrics.risk_coverage(confidence, correct)
    assert len(curve) <= 200
    assert curve[-1] == (1.0, pytest.approx(1 - correct.mean()))
    assert curve == sorted(curve, key=lambda point: point[0])


SIDE = st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), min_size=1, max_size=40)


@given(SIDE, SIDE)
def test_auroc_equals_sklearn(positive: list[float], negative: list[float]) -> None:
    found = metrics.auroc(positive, negative)
    within(found)
    reference = roc_auc_score([1] * len(positive) + [0] * len(negative), positive + negative)
    assert found.value == pytest.approx(reference, abs=1e-12)


def test_auroc_interval_covers_the_true_value() -> None:
    rng, truth, covered = np.random.default_rng(11), stats.norm.cdf(1 / np.sqrt(2)), 0
    for _ in range(500):
        found = metrics.auroc(rng.normal(1, 1, 60), rng.normal(0, 1, 40))
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 500 <= 0.985


def test_perfect_separation_is_not_certain() -> None:
    assert metrics.auroc([1.0] * 10, [0.0] * 5).low == metrics.wilson(5, 5).low


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.accuracy([]),
        lambda: metrics.macro_f1([], []),
        lambda: metrics.macro_f1(["a"], []),
        lambda: metrics.accuracy([True], [1, 2]),
        lambda: metrics.mcnemar([True], [True, False]),
        lambda: metrics.wilson(0, 0),
        lambda: metrics.auroc([], [1.0]),
    ],
)
def test_scores_of_nothing_or_of_unequal_lengths_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"row|values|groups|answers"):
        call()  # type: ignore[operator]
