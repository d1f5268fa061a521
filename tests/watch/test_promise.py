"""The watch: the promise holds whatever happens, and it says what it does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.errors import UsageError
from shokunin.watch.limit import audit_rates, settle_at
from shokunin.watch.promise import PromiseWatch

EPS, LEVEL = 0.05, 0.95


def watch(seed: int = 0, **changed: Any) -> PromiseWatch:
    wanted = {"max_error": EPS, "confidence": LEVEL, "threshold": 0.8, "audit_share": 0.1, **changed}
    return PromiseWatch(rng=random.Random(seed), **wanted)


def stream(
    made: PromiseWatch,
    answers: int,
    error: Callable[[int, float], float],
    seed: int = 0,
    lost: float = 0.0,
    lag: int = 0,
) -> tuple[int, int, bool]:
    """Given answers, disagreements among them, and whether there were ever too many."""
    rng = random.Random(10_000 + seed)
    outstanding: list[tuple[int, float, bool | None, float, int]] = []
    given = wrong = 0
    broken = False
    for i in range(answers):
        confidence = 0.7 + 0.3 * rng.random()
        differs = rng.random() < error(i, confidence)
        decision = made.decide(confidence)
        if decision.give:
            given, wrong = given + 1, wrong + differs
            broken |= wrong > EPS * max(given, made.settle)
        if decision.audit:
            outcome = None if rng.random() < lost else not differs
            outstanding.append((i + lag, decision.rate, outcome, confidence, decision.term))
        elif not decision.give:
            made.compared(confidence, not differs)
        while outstanding and outstanding[0][0] <= i:
            _, rate, outcome, sure, term = outstanding.pop(0)
            made.audited(rate, outcome, sure, term=term)
    return given, wrong, broken


def steady(rate: float) -> Callable[[int, float], float]:
    """Less sure answers err more often; `rate` on average from 0.8 on."""
    return lambda i, confidence: min(1.0, 2 * rate * (1 - confidence) / 0.2)


def test_a_good_specialist_keeps_answering_and_audits_thin_out() -> None:
    made = watch()
    given, wrong, broken = stream(made, 12_000, steady(0.01))
    status = made.status
    assert status.state == "kept" and not broken and made.take_events() == []
    assert status.rate == 0.1
    assert given == status.given > 7_500
    assert wrong <= status.bound <= status.limit  # type: ignore[operator]
    assert status.audited < 0.35 * given


def test_everything_is_audited_at_first() -> None:
    made = watch()
    assert all(made.decide(0.9).audit for _ in range(20))
    assert made.status.rate == 1.0


@pytest.mark.parametrize("lag", [0, 12])
@pytest.mark.parametrize("start", [0, 400, 3000])
def test_when_answers_turn_bad_it_hands_back_and_the_promise_holds(start: int, lag: int) -> None:
    for seed in range(4):
        made = watch(seed)
        _, _, broken = stream(made, 6000, lambda i, c: 0.6 if i >= start else 0.01, seed, lag=lag)
        status, events = made.status, made.take_events()
        assert not broken
        assert status.state == "handed_back"
        assert events[-1].after == "handed_back" and events[-1].reason == status.reason
        assert "until the owner resumes" in status.reason
        assert made.decide(1.0).reason == "handed_back"


def test_over_many_deployments_with_every_sort_of_drift_it_is_broken_less_often_than_allowed() -> None:
    drifts: list[Callable[[int, float], float]] = [
        lambda i, c: 0.02 + 0.25 * i / 2500,
        lambda i, c: 0.0 if i < 900 else 0.12,
        lambda i, c: 0.2 if (i // 300) % 3 == 2 else 0.01,
        lambda i, c: 0.06,
        lambda i, c: 0.3 if c > 0.97 else 0.01,
    ]
    broken = [stream(watch(seed, audit_share=0.05), 2500, drifts[seed % 5], seed)[2] for seed in range(60)]
    assert sum(broken) <= 3


def test_where_only_unsure_answers_err_a_higher_threshold_is_enough() -> None:
    made = watch()
    stream(made, 8000, lambda i, c: 0.3 if c < 0.86 and i > 1500 else 0.005)
    status = made.status
    assert status.state == "tightened" and status.threshold > 0.84
    event = made.take_events()[0]
    assert (event.before, event.after) == ("kept", "tightened")
    assert event.threshold <= status.threshold
    assert made.decide(0.82).reason == "unsure"


def test_when_the_bad_time_is_over_the_threshold_comes_down_again() -> None:
    made = watch()
    stream(made, 14_000, lambda i, c: 0.3 if c < 0.86 and 1500 < i < 3000 else 0.002)
    assert made.status.state == "kept" and made.status.threshold == 0.8
    events = made.take_events()
    assert (events[0].what, events[0].after) == ("tightened", "tightened")
    assert (events[-1].what, events[-1].after) == ("relaxed", "kept")
    assert "safe again" in made.status.reason


def test_while_audits_are_outstanding_no_more_is_given_than_could_be_wrong() -> None:
    made = watch(settle=100)
    decisions = [made.decide(0.9) for _ in range(8)]
    assert [d.give for d in decisions] == [True] * 5 + [False] * 3
    assert decisions[-1].reason == "audits_outstanding"
    assert made.status.state == "kept"
    made.audited(1.0, True, 0.9)
    assert made.decide(0.9).give


def test_a_lost_audit_counts_as_a_disagreement() -> None:
    made = watch(settle=100)
    for _ in range(5):
        made.audited(made.decide(0.9).rate, None, 0.9)
    assert not made.decide(0.9).give
    status = made.status
    assert (status.lost, status.bound, status.disagreements) == (5, 5, 0)
    assert status.state == "handed_back"


def test_audits_that_nobody_asks_any_more_are_lost_and_the_bound_stays() -> None:
    made = watch(settle=100)
    for _ in range(5):
        made.decide(0.9)
    again = PromiseWatch.from_dict(json.loads(json.dumps(made.to_dict())), rng=random.Random())
    assert (again.status.pending, again.decide(0.9).reason) == (5, "audits_outstanding")
    again.lose_outstanding()
    assert (again.status.pending, again.status.lost, again.status.bound) == (0, 5, 5)
    assert again.decide(0.9).reason == "handed_back"


def test_an_answer_that_cannot_be_audited_is_given_only_while_there_is_ample_room() -> None:
    made = watch(audit_share=1.0)
    for _ in range(1000):
        made.audited(made.decide(0.9).rate, True, 0.9)
    decisions = [made.decide(0.9, auditable=False) for _ in range(60)]
    # Of the 52 that are allowed eight stay in reserve for when the upstream is back.
    assert sum(d.give for d in decisions) == 44
    assert not any(d.audit for d in decisions) and {d.rate for d in decisions} == {0.0}
    assert decisions[-1].reason == "not_auditable"
    status = made.status
    assert (status.bound, status.limit, status.state) == (44, 52, "kept")
    assert made.decide(0.9).audit


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.5, 1.0),
            st.sampled_from(["agrees", "wrong", "lost", "later"]),
            st.booleans(),
        ),
        max_size=120,
    ),
    st.sampled_from([0.02, 0.3, 1.0]),
    st.integers(0, 5),
)
def test_no_history_brings_the_bound_above_the_limit(
    history: list[tuple[float, str, bool]], share: float, seed: int
) -> None:
    made = watch(seed, audit_share=share, settle=60)
    outstanding = []
    for confidence, outcome, auditable in history:
        decision = made.decide(confidence, auditable=auditable)
        if decision.audit and outcome == "later":
            outstanding.append((decision.rate, confidence))
        elif decision.audit:
            made.audited(decision.rate, {"agrees": True, "wrong": False, "lost": None}[outcome], confidence)
        status = made.status
        assert status.bound is not None and status.bound <= status.limit
    for rate, confidence in outstanding:
        made.audited(rate, None, confidence)
        status = made.status
        assert status.bound is not None and status.bound <= status.limit


def test_the_promise_is_said_in_a_sentence() -> None:
    first = "at most 34 of the first 680 answers differ from the upstream's"
    assert watch().status.promise == f"{first}, from then on at most 5 % of all, with 95 % confidence"
    assert "nothing watches" in watch(audit_share=0.0).status.promise


def test_nothing_can_be_audited_nothing_is_watched_and_it_says_so() -> None:
    made = watch(audit_share=0.0)
    assert made.decide(0.9).give and not made.decide(0.9).audit
    assert not made.decide(0.7).give
    status = made.status
    assert status.state == "unwatched" and status.given == 2
    assert status.bound is None and status.bound_share is None
    assert "calibration alone" in status.reason


def test_with_a_share_of_1_every_answer_is_audited_for_good() -> None:
    made = watch(audit_share=1.0)
    given, wrong, _ = stream(made, 3000, steady(0.01))
    assert made.status.audited == given
    assert made.status.bound == wrong


def test_a_threshold_above_one_gives_nothing() -> None:
    made = watch(threshold=2.0)
    assert not made.decide(1.0).give
    assert not made.decide(float("nan")).give


def test_after_handing_back_the_rows_say_when_it_would_be_safe_and_only_the_owner_resumes() -> None:
    made = watch()
    stream(made, 3000, lambda i, c: 0.5)
    assert made.status.state == "handed_back" and not made.status.would_resume
    first = made.take_events()
    stream(made, 400, lambda i, c: 0.0, seed=1)
    status = made.status
    assert status.would_resume and status.resume_threshold == 0.8
    assert status.state == "handed_back"
    made.resume()
    status = made.status
    assert (status.state, status.term, status.given, status.bound) == ("kept", 2, 0, 0)
    assert [(e.what, e.after) for e in made.take_events()] == [("resumed", "kept")]
    assert (first[-1].what, first[-1].term) == ("handed_back", 1)
    assert made.decide(0.9).audit


def test_resumed_without_evidence_it_begins_at_the_last_threshold() -> None:
    made = watch()
    stream(made, 5000, lambda i, c: 0.02 if i < 2000 else 0.5 * (1 - c) / 0.15)
    assert made.status.state == "handed_back"
    last = made.status.threshold
    assert last > 0.8
    made.resume()
    assert made.status.state == "tightened" and made.status.threshold == last


def test_outcomes_of_a_former_term_are_ignored() -> None:
    made = watch()
    old = made.decide(0.9)
    made.resume()
    made.audited(old.rate, False, 0.9, term=old.term)
    assert made.status.disagreements == 0
    with pytest.raises(ValueError, match="outstanding"):
        made.audited(old.rate, False, 0.9)


@pytest.mark.parametrize("error", [steady(0.02), lambda i, c: 0.01 if i < 1000 else 0.3])
def test_a_restart_at_any_moment_changes_nothing(error: Callable[[int, float], float]) -> None:
    straight, restarted = watch(), watch()
    for piece in range(12):
        outcomes = []
        for made in (straight, restarted):
            made._rng = random.Random(piece)
            outcomes.append(stream(made, 250, lambda i, c, piece=piece: error(250 * piece + i, c), seed=piece))
        assert outcomes[0] == outcomes[1]
        assert asdict(straight.status) == asdict(restarted.status)
        restarted = PromiseWatch.from_dict(json.loads(json.dumps(restarted.to_dict())), rng=random.Random())
    assert restarted.to_dict() == straight.to_dict()


def test_after_a_crash_the_record_gives_the_same_counts() -> None:
    made, rng = watch(), random.Random(5)
    given: dict[float, int] = {}
    audits: list[tuple[float, bool | None, float]] = []
    for _ in range(4000):
        confidence = 0.8 + 0.2 * rng.random()
        decision = made.decide(confidence)
        given[decision.rate] = given.get(decision.rate, 0) + 1
        if decision.audit:
            outcome = (True, True, False, None)[0 if rng.random() < 0.99 else rng.randrange(4)]
            audits.append((decision.rate, outcome, confidence))
            made.audited(*audits[-1])
    again = watch()
    again.replay(given, audits)
    assert again.status.bound == made.status.bound
    assert again.status.given == made.status.given == 4000
    assert again.to_dict()["bound"] == made.to_dict()["bound"]
    # An outcome that was not written down counts as lost where the coin is sure to have fallen.
    again.replay(given, [a for a in audits if a[0] < 1])
    assert again.status.lost >= given[1.0]
    with pytest.raises(UsageError, match="not whole"):
        again.replay({1.0: 1}, [(1.0, True, 0.9)] * 2)
    with pytest.raises(UsageError, match="no answer"):
        again.replay({1.0: 1}, [(0.5, True, 0.9)])


def test_a_garbled_state_is_refused() -> None:
    saved = watch().to_dict()
    del saved["bound"]
    with pytest.raises(UsageError, match="'bound'"):
        PromiseWatch.from_dict(saved, rng=random.Random())


@pytest.mark.parametrize(
    "wrong", [{"max_error": 0.0}, {"max_error": 1.5}, {"confidence": 1.0}, {"audit_share": -0.1}, {"settle": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        watch(**wrong)


def test_where_the_promise_settles_and_which_rates_are_used() -> None:
    assert [settle_at(e) for e in (0.05, 0.01)] == [680, 3400]
    assert audit_rates(0.1) == (0.1, 0.2, 0.4, 0.8, 1.0)
    assert audit_rates(1.0) == (1.0,)
    assert audit_rates(0.0) == ()
