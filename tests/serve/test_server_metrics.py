"""The metrics: what is counted where, that series stay bounded, and that nothing a client or upstream says breaks them."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from shokunin.exchange import Exchange
from shokunin.serve.metrics import WORDS, Metrics
from shokunin.serve.state import CaptureState, PromiseState, ServerState, UpstreamState, promise_of
from shokunin.watch.promise import PromiseWatch

LOCAL = Exchange(
    id="a", timestamp=1.0, workload_id="inquiries", model="auto", route="local", specialist="inquiries@3",
    confidence=0.97, seconds=0.004, first_byte_seconds=0.004, prompt_tokens=30, completion_tokens=3, audit_rate=0.1,
)  # fmt: skip
ESCALATED = replace(
    LOCAL, id="b", route="escalated", upstream="openai", confidence=0.4, seconds=0.7, first_byte_seconds=0.6, cost=0.002
)
PASSED = replace(
    ESCALATED, id="c", route="passed", workload_id="", specialist="", confidence=None, model="gpt-4o-mini", cost=None
)
REFUSED = Exchange(id="d", timestamp=1.0, route="refused", status=404, problem="model_not_found", seconds=0.001)
AUDIT = replace(ESCALATED, id="e", route="audit", parent="a", agrees=True, cost=0.001, confidence=None)
PROMISE = PromiseState(
    task="inquiries", specialist="inquiries@3", state="tightened", threshold=0.9, limit=0.03, confidence=0.95, bound=0.01,
    given=900, audited=90, disagreements=1, settle=500, audit_rate=0.1,
)  # fmt: skip
STATE = ServerState(
    ready=True,
    in_flight=2,
    queues={"inquiries@3": 5},
    promises=[PROMISE, replace(PROMISE, task="tickets", state="unwatched", bound=None)],
    upstreams=[UpstreamState(name="openai", breaker="open", problem="upstream_timeout")],
    capture=CaptureState(recorded=10, waiting=3, dropped=1, problem="the disk is full"),
)


def metrics(saving: float | None = None) -> Metrics:
    return Metrics(
        models=["auto", "gpt-4o-mini"], tasks=["inquiries"], upstreams=["openai"], saving=lambda exchange: saving
    )


def samples(one: Metrics, state: ServerState = STATE) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = one.render(state)[0].decode()
    return {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if v)): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def value(one: Metrics, name: str, **labels: str) -> float:
    return samples(one)[name, frozenset(labels.items())]


def total(one: Metrics, name: str) -> float:
    return sum(v for (found, _), v in samples(one).items() if found == name)


def test_each_route_counts_once_with_its_task_and_status() -> None:
    one = metrics()
    for exchange in (LOCAL, LOCAL, ESCALATED, PASSED, REFUSED, AUDIT):
        one.observe(exchange)
    assert value(one, "shokunin_requests_total", route="local", task="inquiries", status="200") == 2
    assert value(one, "shokunin_requests_total", route="escalated", task="inquiries", status="200") == 1
    assert value(one, "shokunin_requests_total", route="passed", status="200") == 1
    assert value(one, "shokunin_requests_total", route="refused", status="404") == 1
    assert total(one, "shokunin_requests_total") == 5  # the audit is no request of a client
    assert total(one, "gen_ai_server_request_duration_seconds_count") == 5


def test_a_local_answer_has_the_names_of_opentelemetry() -> None:
    one = metrics()
    one.observe(LOCAL)
    labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "shokunin", "gen_ai_request_model": "auto"}
    assert value(one, "gen_ai_server_request_duration_seconds_sum", **labels) == 0.004
    assert value(one, "gen_ai_server_request_duration_seconds_bucket", **labels, le="0.01") == 1
    assert value(one, "gen_ai_server_time_to_first_token_seconds_bucket", **labels, le="0.001") == 0
    assert value(one, "gen_ai_server_time_to_first_token_seconds_bucket", **labels, le="0.005") == 1
    assert total(one, "gen_ai_client_operation_duration_seconds_count") == 0
    assert value(one, "shokunin_confidence_bucket", task="inquiries", le="0.95") == 0
    assert value(one, "shokunin_confidence_bucket", task="inquiries", le="0.98") == 1


@pytest.mark.parametrize(
    ("endpoint", "operation"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v1/responses", "chat"),
        ("/v1/completions", "text_completion"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/specialists/inquiries/predict", "predict"),
        ("/v1/specialists/a/b/c", "other"),
        ("/etc/passwd", "other"),
    ],
)
def test_the_operation_follows_from_the_address(endpoint: str, operation: str) -> None:
    one = metrics()
    one.observe(replace(LOCAL, endpoint=endpoint))
    assert f'gen_ai_operation_name="{operation}"' in one.render(STATE)[0].decode()


def test_calls_to_an_upstream_count_time_tokens_and_money_audits_included() -> None:
    one = metrics()
    one.observe(ESCALATED, upstream_seconds=0.5)
    one.observe(AUDIT)
    one.observe(PASSED)
    labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "openai", "gen_ai_request_model": "auto"}
    assert value(one, "gen_ai_client_operation_duration_seconds_sum", **labels) == pytest.approx(0.5 + 0.7)
    assert value(one, "gen_ai_client_token_usage_sum", **labels, gen_ai_token_type="input") == 60
    assert value(one, "gen_ai_client_token_usage_count", **labels, gen_ai_token_type="output") == 2
    assert value(one, "shokunin_spent_usd_total", upstream="openai") == pytest.approx(0.003)
    assert value(one, "shokunin_unpriced_total", upstream="openai") == 1
    assert value(one, "shokunin_audits_total", task="inquiries", outcome="agrees") == 1


def test_what_never_happened_has_no_series() -> None:
    one = metrics()
    one.observe(AUDIT)
    one.observe(replace(LOCAL, route="feedback"))
    one.observe(replace(PASSED, status=500))
    found = [(name, dict(labels)) for (name, labels), v in samples(one, ServerState()).items() if not v]
    kinds = ("_count", "_total")
    assert [f for f in found if f[0].endswith(kinds)] == [("shokunin_unpriced_total", {"upstream": "openai"})]


def test_audits_tell_agreement_disagreement_and_loss_apart() -> None:
    one = metrics()
    for agrees in (True, False, False, None):
        one.observe(replace(AUDIT, agrees=agrees))
    assert value(one, "shokunin_audits_total", task="inquiries", outcome="differs") == 2
    assert value(one, "shokunin_audits_total", task="inquiries", outcome="lost") == 1


def test_escalations_have_their_reason_and_savings_their_task() -> None:
    one = metrics(saving=0.004)
    one.observe(ESCALATED)
    one.observe(ESCALATED, reason="handed_back")
    one.observe(LOCAL, reason="handed_back")
    one.observe(replace(LOCAL, route="fallback"))
    assert value(one, "shokunin_escalations_total", task="inquiries", reason="unsaid") == 1
    assert value(one, "shokunin_escalations_total", task="inquiries", reason="handed_back") == 1
    assert total(one, "shokunin_escalations_total") == 2
    assert value(one, "shokunin_saved_usd_total", task="inquiries") == 0.004


def test_a_fallback_is_a_good_reply_after_a_failed_call() -> None:
    one = metrics()
    one.observe(replace(ESCALATED, route="fallback", problem="upstream_timeout", cost=None, prompt_tokens=0))
    found = samples(one)
    server = [
        dict(labels) for (name, labels), v in found.items() if name == "gen_ai_server_request_duration_seconds_count"
    ]
    client = [
        dict(labels) for (name, labels), v in found.items() if name == "gen_ai_client_operation_duration_seconds_count"
    ]
    assert [labels.get("error_type") for labels in server] == [None]
    assert [labels["gen_ai_provider_name"] for labels in server] == ["shokunin"]
    assert [labels["error_type"] for labels in client] == ["upstream_timeout"]
    assert total(one, "shokunin_unpriced_total") == 0


def test_a_stream_that_broke_is_an_error_although_its_status_was_200() -> None:
    one = metrics()
    one.observe(replace(PASSED, problem="upstream_reset"))
    text = one.render(STATE)[0].decode()
    assert 'error_type="upstream_reset"' in text
    assert total(one, "gen_ai_server_time_to_first_token_seconds_count") == 0


def test_refusals_are_counted_by_code_with_an_exchange_or_without_one() -> None:
    one = metrics()
    one.observe(REFUSED)
    one.refused("invalid_api_key")
    one.refused("invalid_api_key")
    assert value(one, "shokunin_refused_total", code="model_not_found") == 1
    assert value(one, "shokunin_refused_total", code="invalid_api_key") == 2


def test_what_clients_send_makes_no_series() -> None:
    one = metrics()
    one.observe(replace(PASSED, model="m", workload_id="t", upstream="u"))
    before = len(samples(one))
    for n in range(300):
        one.observe(
            replace(PASSED, model=f"model-{n}", workload_id=f"task {n}", upstream=f"up{n}", endpoint=f"/v1/{n}x")
        )
    assert len(samples(one)) <= 3 * before  # one more operation: `other`
    assert 'gen_ai_request_model="other"' in one.render(STATE)[0].decode()


def test_words_are_bounded_too() -> None:
    one = metrics()
    for n in range(WORDS * 3):
        one.refused(f"code_{n}")
        one.refused(f'Not a word {n} \n"')
    assert len([n for n, _ in samples(one) if n == "shokunin_refused_total"]) == WORDS + 1
    assert total(one, "shokunin_refused_total") == WORDS * 6


@settings(deadline=None, max_examples=60)
@given(
    cost=st.one_of(st.none(), st.floats()),
    tokens=st.integers(-(10**30), 10**30),
    status=st.integers(100, 599),
    seconds=st.floats(0, 1e6),
    problem=st.one_of(st.none(), st.text()),
    model=st.text(),
    route=st.sampled_from(["local", "escalated", "passed", "fallback", "refused", "audit", "feedback"]),
    saved=st.floats(),
)
def test_nothing_in_an_exchange_makes_it_fail_or_spoils_a_sum(
    cost: Any, tokens: Any, status: Any, seconds: Any, problem: Any, model: Any, route: Any, saved: Any
) -> None:
    one = metrics(saving=saved)
    exchange = replace(
        ESCALATED, cost=cost, prompt_tokens=tokens, completion_tokens=tokens, status=status, seconds=seconds,
        problem=problem, model=model, route=route,
    )  # fmt: skip
    one.observe(exchange, reason=model)
    for name in ("shokunin_spent_usd_total", "shokunin_saved_usd_total", "gen_ai_client_token_usage_sum"):
        assert total(one, name) >= 0
    assert total(one, "shokunin_requests_total") == (route not in ("audit", "feedback"))


def test_the_state_is_read_when_the_metrics_are() -> None:
    one = metrics()
    assert value(one, "shokunin_ready") == 1
    assert value(one, "shokunin_in_flight") == 2
    assert value(one, "shokunin_queue_depth", specialist="inquiries@3") == 5
    assert value(one, "shokunin_upstream_breaker_state", upstream="openai", state="open") == 1
    assert value(one, "shokunin_upstream_breaker_state", upstream="openai", state="closed") == 0
    assert value(one, "shokunin_traffic_dropped_total") == 1
    assert value(one, "shokunin_traffic_waiting") == 3
    assert value(one, "shokunin_traffic_problem") == 1
    assert value(one, "shokunin_promise_state", task="inquiries", state="tightened") == 1
    assert value(one, "shokunin_promise_state", task="inquiries", state="kept") == 0
    assert value(one, "shokunin_promise_bound", task="inquiries") == 0.01
    assert value(one, "shokunin_promise_limit", task="inquiries") == 0.03
    assert value(one, "shokunin_promise_threshold", task="inquiries") == 0.9
    assert value(one, "shokunin_promise_at_risk", task="inquiries") == 1
    assert value(one, "shokunin_promise_at_risk", task="tickets") == 0
    assert ("shokunin_promise_bound", frozenset({("task", "tickets")})) not in samples(one)


def test_what_is_gone_leaves_no_gauge_behind() -> None:
    one = metrics()
    assert total(one, "shokunin_queue_depth") == 5
    names = {name for name, _ in samples(one, ServerState())}
    assert not {n for n in names if n.startswith(("shokunin_queue", "shokunin_promise", "shokunin_traffic"))}


def test_what_is_served_may_change_and_what_was_counted_stays() -> None:
    served = {"inquiries", "inquiries@3"}
    one = Metrics(served=lambda: served)
    one.observe(replace(LOCAL, model="inquiries@3"))
    served.clear()
    one.observe(replace(LOCAL, model="inquiries@3"))
    served.update({"tickets", "tickets@1"})
    one.observe(replace(LOCAL, model="tickets@1", workload_id="tickets"))
    counts = {
        dict(labels)["task"]: v for (name, labels), v in samples(one).items() if name == "shokunin_requests_total"
    }
    assert counts == {"inquiries": 1, "other": 1, "tickets": 1}
    assert one.render(STATE)[0].decode().count('gen_ai_request_model="tickets@1"') > 1


@pytest.mark.parametrize(
    ("state", "at_risk"), [("kept", False), ("unwatched", False), ("tightened", True), ("handed_back", True)]
)
def test_the_promise_is_at_risk_once_the_watch_had_to_act(state: Any, at_risk: bool) -> None:
    assert replace(PROMISE, state=state).at_risk is at_risk


def test_a_promise_is_what_the_watch_says_with_its_bound_as_a_share() -> None:
    rng = random.Random(0)
    watch = PromiseWatch(max_error=0.05, confidence=0.9, threshold=0.5, audit_share=0.1, rng=rng)
    for answers in (100, 900):
        for _ in range(answers):
            decision = watch.decide(0.9)
            assert decision.give
            if decision.audit:
                watch.audited(decision.rate, True, 0.9)
        status, promise = watch.status, promise_of("inquiries", "inquiries@3", watch.status)
        assert status.bound is not None
        assert promise.bound == status.bound / max(status.given, status.settle)
        assert 0 <= promise.bound <= promise.limit == 0.05
    assert (promise.given, promise.audited, promise.state) == (1000, status.audited, "kept")
    unwatched = PromiseWatch(max_error=0.05, confidence=0.9, threshold=0.5, audit_share=0, rng=rng)
    assert promise_of("t", "t@1", unwatched.status).bound is None


def test_what_people_say_is_counted_apart() -> None:
    one = metrics()
    for agrees in (True, False, False, None):
        one.observe(replace(LOCAL, route="feedback", parent="a", agrees=agrees))
    assert value(one, "shokunin_feedback_total", task="inquiries", outcome="right") == 1
    assert value(one, "shokunin_feedback_total", task="inquiries", outcome="wrong") == 2
    assert value(one, "shokunin_feedback_total", task="inquiries", outcome="untold") == 1
    assert total(one, "shokunin_requests_total") == 0


def test_openmetrics_is_given_to_those_who_ask_for_it() -> None:
    one = metrics()
    one.observe(LOCAL)
    asked = "application/openmetrics-text;version=1.0.0;q=0.7,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    body, kind = one.render(STATE, asked)
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert {f.name for f in parse_openmetrics(body.decode())} >= {"shokunin_requests", "shokunin_promise_state"}
    body, kind = one.render(STATE, "*/*")
    assert kind.startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=zz\r\nx: y", "text/plain;version=9", "\x00", ""]
)
def test_no_accept_header_breaks_it_or_comes_back(accept: str) -> None:
    body, kind = metrics().render(STATE, accept)
    assert body
    assert "\r" not in kind and "zz" not in kind


def test_two_servers_in_one_process_do_not_share_counts() -> None:
    one, two = metrics(), metrics()
    one.observe(LOCAL)
    assert total(two, "shokunin_requests_total") == 0


def test_names_from_users_are_escaped() -> None:
    task = 'a"b\\c\nd'
    one = Metrics(tasks=[task])
    one.observe(replace(LOCAL, workload_id=task))
    found = samples(one, ServerState(promises=[replace(PROMISE, task=task)]))
    assert found["shokunin_requests_total", frozenset({("route", "local"), ("task", task), ("status", "200")})] == 1
    assert found["shokunin_promise_threshold", frozenset({("task", task)})] == 0.9


def test_the_page_of_the_documentation_names_every_metric_and_no_other() -> None:
    one = metrics(saving=0.1)
    for exchange in (LOCAL, ESCALATED, PASSED, REFUSED, AUDIT, replace(LOCAL, route="feedback")):
        one.observe(exchange)
    made = {f.name + ("_total" if f.type == "counter" else "") for f in parse_text(one.render(STATE)[0].decode())}
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `((?:gen_ai|shokunin)_\w+)` \|", page, re.MULTILINE))
    assert told == {name for name in made if not name.startswith(("process_", "python_")) and "_created" not in name}
