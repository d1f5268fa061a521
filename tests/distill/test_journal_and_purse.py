"""Bought replies are never lost nor paid for twice, and the cap holds whatever happens."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from distill_fakes import Refusing, Scripted
from hypothesis import given
from hypothesis import strategies as st

from shokunin.cost import Price
from shokunin.distill.journal import open_journal
from shokunin.distill.purse import BudgetSpentError, Purse
from shokunin.distill.teacher import FailedError, Question, Reply, most_it_can_cost
from shokunin.errors import ArtefactError, ProjectError

PRICE = Price(input=1.0, output=10.0)


def ask(text: str, draw: int = 0) -> Question:
    return Question(({"role": "user", "content": text},), draw=draw, max_tokens=10)


def test_a_reply_is_bought_once(tmp_path: Path) -> None:
    teacher = Scripted("refund", price=PRICE)
    with open_journal(tmp_path) as journal:
        purse = Purse(journal)
        first = purse.buy(teacher, ask("money back"), "label")
        assert purse.buy(teacher, ask("money back"), "label") == first == Reply("refund", 10, 2)
        assert (journal.bought, journal.reused, len(teacher.asked)) == (1, 1, 1)
        spent = journal.spent
    assert spent == pytest.approx((10 * 1.0 + 2 * 10.0) / 1e6)
    with open_journal(tmp_path) as journal:
        assert Purse(journal).buy(teacher, ask("money back"), "label") == first
        assert (journal.bought, len(teacher.asked)) == (0, 1) and journal.spent == pytest.approx(spent)


@pytest.mark.parametrize(
    "other",
    [
        Question(({"role": "user", "content": "b"},), max_tokens=10),
        Question(({"role": "system", "content": "a"},), max_tokens=10),
        Question(({"role": "user", "content": "a"},), max_tokens=10, draw=1),
        Question(({"role": "user", "content": "a"},), max_tokens=11),
        Question(({"role": "user", "content": "a"},), max_tokens=10, temperature=0.5),
    ],
)
def test_whatever_can_change_a_reply_is_in_its_key(other: Question) -> None:
    assert ask("a").key("large") != other.key("large")
    assert ask("a").key("large") != ask("a").key("small")
    assert ask("a").key("large") == ask("a").key("large")


def test_a_line_that_was_cut_off_costs_that_call_alone(tmp_path: Path) -> None:
    teacher = Scripted("refund", price=PRICE)
    with open_journal(tmp_path) as journal:
        for text in "abc":
            Purse(journal).buy(teacher, ask(text), "label")
    path = tmp_path / "calls.jsonl"
    raw = path.read_bytes()
    last = raw.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last + 1, len(raw)):
        path.write_bytes(raw[:cut])
        with open_journal(tmp_path) as journal:
            assert [journal.peek(ask(t).key("large")) is not None for t in "abc"] == [True, True, False]
            # The third attempt began and nobody knows its end: it counts at the most that it can have cost.
            assert journal.spent == pytest.approx(2 * 30e-6 + most_it_can_cost(ask("c"), PRICE))
    with open_journal(tmp_path) as journal:
        Purse(journal).buy(teacher, ask("c"), "label")
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_process_that_dies_leaves_what_it_bought(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from shokunin.distill.journal import open_journal
from shokunin.distill.teacher import Question, Reply
with open_journal(Path({str(tmp_path)!r})) as journal:
    question = Question(({{"role": "user", "content": "a"}},), max_tokens=10)
    journal.keep(journal.begin(0.5), question.key("large"), Reply("refund", 10, 2), 0.25)
    journal.begin(0.5)
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with open_journal(tmp_path) as journal:
        assert journal.peek(ask("a").key("large")) == Reply("refund", 10, 2)
        assert journal.spent == 0.75


def test_two_processes_do_not_write_the_same_journal(tmp_path: Path) -> None:
    with open_journal(tmp_path), pytest.raises(ProjectError, match="locked"), open_journal(tmp_path):
        pass


def test_a_foreign_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").write_text('{"usd": 0, "key": "x"}\n')
    with pytest.raises(ArtefactError, match=r"calls\.jsonl', line 1: no bought reply"), open_journal(tmp_path):
        pass


@given(
    budget=st.floats(min_value=0, max_value=0.002),
    tokens=st.lists(st.integers(min_value=1, max_value=10), min_size=1, max_size=12),
    workers=st.integers(min_value=1, max_value=4),
)
def test_the_cap_holds(
    budget: float, tokens: list[int], workers: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    charged: list[float] = []

    def say(question: Question) -> Reply:
        out = tokens[question.draw]
        charged.append(PRICE.of(20, out))
        return Reply("ok", 20, out)

    with open_journal(tmp_path_factory.mktemp("journal")) as journal:
        purse = Purse(journal, budget)

        def one(draw: int) -> bool:
            try:
                purse.buy(Scripted(say, price=PRICE), ask("a", draw), "label")
            except BudgetSpentError:
                return False
            return True

        with ThreadPoolExecutor(workers) as pool:
            got = list(pool.map(one, range(len(tokens))))
        assert sum(charged) <= budget
        assert journal.spent == pytest.approx(sum(charged))
        assert purse.empty == (not all(got)) and journal.bought == sum(got)


def test_money_set_aside_for_calls_under_way_is_waited_for(tmp_path: Path) -> None:
    """Two calls fit one after the other, not both at their most at the same time."""
    both_there = threading.Event()
    teacher = Scripted("ok", price=PRICE, before=lambda: both_there.wait(0.2))
    most = most_it_can_cost(ask("a"), PRICE)
    with open_journal(tmp_path) as journal, ThreadPoolExecutor(2) as pool:
        purse = Purse(journal, 1.5 * most)
        list(pool.map(lambda text: purse.buy(teacher, ask(text), "label"), ["a", "b"]))
        assert journal.bought == 2 and teacher.most_at_once == 1 and not purse.empty


def test_a_full_disk_lets_nobody_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = Scripted("ok", price=PRICE, before=lambda: monkeypatch.setattr("os.write", lambda handle, line: 0))
    with open_journal(tmp_path) as journal, ThreadPoolExecutor(4) as pool:
        purse = Purse(journal, 1.5 * most_it_can_cost(ask("a"), PRICE))

        def one(text: str) -> str:
            try:
                purse.buy(teacher, ask(text), "label")
            except (ProjectError, BudgetSpentError) as error:
                return str(error)
            return "bought"

        ended = list(pool.map(one, "abcd"))
    assert any("disk is full" in told for told in ended) and "bought" not in ended


@pytest.mark.parametrize(("refused", "charged"), [(True, 0.0), (False, 1.0)])
def test_an_attempt_without_a_reply_costs_its_most_unless_it_was_refused(
    refused: bool, charged: float, tmp_path: Path
) -> None:
    most = most_it_can_cost(ask("a"), PRICE)
    with open_journal(tmp_path) as journal:
        purse = Purse(journal, 10 * most)
        with pytest.raises(FailedError):
            purse.buy(Refusing(refused=refused, price=PRICE), ask("a"), "label")
        assert journal.spent == pytest.approx(charged * most)
    with open_journal(tmp_path) as journal:
        assert journal.spent == pytest.approx(charged * most)


@given(text=st.text(max_size=50), role=st.sampled_from(["user", "system"]))
def test_the_most_tokens_are_never_fewer_than_bytes(text: str, role: str) -> None:
    question = Question(({"role": role, "content": text},))
    assert question.most_tokens > len(text.encode("utf-8", "replace"))
