"""The page for people: what it says in each state, that it loads nothing, and that no name gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.cost import Currency
from shokunin.serve.charts import bound_bar, hour_columns, route_bar
from shokunin.serve.page import PageFacts, ServedFact, page_headers, render_page, wants_page
from shokunin.serve.state import CaptureState, PromiseState, ServerState, UpstreamState
from shokunin.serve.tally import Hour

NOW = 1_764_000_000.0
PROMISE = PromiseState(
    task="inquiries", specialist="inquiries@3", state="kept", threshold=0.8421, limit=0.03, confidence=0.95, bound=0.0212,
    given=18204, audited=2310, disagreements=31, lost=2, settle=1133, audit_rate=0.1, reason="R1",
)  # fmt: skip
DAY = Hour(NOW, Counter(local=740, escalated=100, passed=150, fallback=10, refused=25, audit=70), 1.25, 0, 3.5, 0)
STATE = ServerState(
    ready=True,
    in_flight=1,
    promises=[PROMISE],
    upstreams=[UpstreamState(name="openai")],
    capture=CaptureState(recorded=1025),
)
FACTS = PageFacts(
    name="my-shop",
    version="1.2.3",
    now=NOW,
    since=NOW - 7 * 86400,
    base_url="http://127.0.0.1:8321",
    state=STATE,
    served=[ServedFact(id="inquiries@3", aliases=["champion"], kind="classify_text")],
    today=DAY,
    this_hour=replace(DAY, routes=Counter(local=3)),
    hours=[Hour(NOW - 3600 * n) for n in range(23, 0, -1)] + [DAY],
)


class Reader(HTMLParser):
    """The text of a page, its tags, and every attribute."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self._silent = False
        self.feed(page)
        self.close()
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._silent = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)


def text(facts: PageFacts = FACTS, **state: Any) -> str:
    return Reader(render_page(replace(facts, state=replace(facts.state, **state)))).text


def promise(**changes: Any) -> str:
    return text(promises=[replace(PROMISE, **changes)])


def test_a_good_day_in_plain_words() -> None:
    said = text()
    assert "All is well." in said
    assert "1,025 requests today, 3 this hour" in said
    assert "74 % of today's answers were given here" in said
    assert "$1.25 spent today" in said
    assert "$3.50 saved today, an estimate" in said
    assert "answered here 740 3" in said
    assert "turned away 25 0" in said
    assert "besides: answers checked against the large model 70" in said
    assert "inquiries@3 champion classify text" in said
    assert "1,025 exchanges recorded since the start. None was lost." in said
    assert "Counted since" not in said


def test_without_a_promise_none_is_spoken_of() -> None:
    for state in ("kept", "unwatched"):
        said = promise(threshold=2.0, bound=0.0, given=0, state=state)
        assert "inquiries none inquiries@3 When it was trained no threshold could be promised" in said
        assert "Promised:" not in said and "kept" not in said and "2.000" not in said
    assert "inquiries handed back" in promise(threshold=2.0, state="handed_back")


def test_the_promise_with_its_bound_against_its_limit() -> None:
    said = text()
    assert "inquiries kept inquiries@3" in said
    assert (
        "Of its 18,204 answers at most 2.1 % differ from the large model's, with 95 % confidence. Promised: at most 3 %."
        in said
    )
    assert "2,310 checked against the large model, 31 of those differed; 2 checks brought no reply" in said
    assert "At the moment 10 % are checked." in said
    assert "confidence is at least 0.842" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"given": 0, "bound": 0.0}, "It has not answered anything yet."),
        (
            {"given": 300, "bound": 5 / 1133},
            "Of its 300 answers so far at most 5 differ from the large model's, with 95 % confidence. "
            "Promised: at most 33 of the first 1,133, then at most 3 %.",
        ),
        ({"given": 300, "bound": 1 / 1133}, "at most 1 differs from"),
        ({"given": 12, "bound": 0.0}, "None of its answers so far differs from the large model's."),
        ({"state": "unwatched", "bound": None}, "Nothing may be sent out to check that."),
        ({"state": "unwatched", "bound": None}, "18,204 answers given, none checked."),
        ({"state": "handed_back"}, "It answers nothing until you resume it."),
        ({"state": "handed_back"}, "Why: R1."),
        ({"state": "handed_back", "would_resume": True}, "It would be safe to resume."),
        ({"state": "tightened"}, "Why: R1."),
        ({"limit": 0.025, "confidence": 0.999}, "with 99.9 % confidence. Promised: at most 2.5 %."),
    ],
)
def test_each_state_of_the_promise_is_a_sentence(changes: dict[str, Any], said: str) -> None:
    assert said in promise(**changes)


def test_a_promise_that_was_handed_back_shows_no_bar_and_one_that_is_kept_shows_one() -> None:
    def bars(**changes: Any) -> int:
        facts = replace(FACTS, state=replace(STATE, promises=[replace(PROMISE, **changes)]))
        return render_page(facts).count('<svg class="bound"')

    assert (bars(), bars(state="tightened"), bars(state="handed_back"), bars(bound=None, state="unwatched")) == (
        1,
        1,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("state", "headline", "concern"),
    [
        ({"ready": False}, "Needs a look.", "The server is not taking requests."),
        (
            {"upstreams": [UpstreamState(name="openai", breaker="open", problem="upstream_timeout")]},
            "Needs a look.",
            "The large model “openai” fails and is left alone for a moment (upstream_timeout).",
        ),
        (
            {"upstreams": [UpstreamState(name="openai", breaker="half_open")]},
            "Worth a look.",
            "The large model “openai” is being tried again.",
        ),
        (
            {"promises": [replace(PROMISE, state="handed_back")]},
            "Needs a look.",
            "“inquiries” was handed back to the large model.",
        ),
        (
            {"promises": [replace(PROMISE, state="tightened")]},
            "Worth a look.",
            "“inquiries” is tightened: it passes on more than before.",
        ),
        (
            {"capture": CaptureState(recorded=5, dropped=3, problem="the disk is full")},
            "Needs a look.",
            "Requests are answered but not recorded: the disk is full.",
        ),
        (
            {"capture": CaptureState(recorded=5, dropped=1)},
            "Worth a look.",
            "1 exchange could not be recorded since the start.",
        ),
    ],
)
def test_what_is_wrong_is_said_first(state: dict[str, Any], headline: str, concern: str) -> None:
    said = text(**state)
    assert "All is well" not in said
    assert said.index(headline) < said.index(concern) < said.index("Who answered")


def test_a_server_that_has_done_nothing_yet_says_how_to_begin() -> None:
    nothing = replace(
        FACTS,
        today=Hour(0.0),
        this_hour=Hour(0.0),
        hours=[Hour(NOW)],
        served=(),
        since=NOW + 60,
        state=ServerState(ready=True),
    )
    said = text(nothing)
    assert "put this one: http://127.0.0.1:8321/v1" in said
    assert "No specialist answers under a promise here." in said
    assert "Nothing can be answered before there is one" in said
    assert "What no specialist can answer is refused." in said
    assert "Nothing is recorded" in said
    assert "Counted since this server started" in said
    assert "– of today's answers" in said


def test_money_that_is_not_known_is_not_shown_as_nothing() -> None:
    unknown = replace(DAY, spent=0.0, unpriced=150, saved=0.0, unvalued=740)
    said = text(replace(FACTS, today=unknown))
    assert "the price of 150 calls is not known" in said
    assert "– saved today, an estimate; the worth of 740 answers is not known" in said


def test_amounts_by_the_price_book_say_of_which_day_it_is() -> None:
    assert "price book" not in text(FACTS)
    assert "Amounts rest on the price book of 2026-11-20" in text(replace(FACTS, prices_as_of="2026-11-20"))


def test_amounts_are_in_the_owners_currency() -> None:
    said = text(replace(FACTS, currency=Currency("JPY", 150)))
    assert "¥188 spent today" in said and "¥525 saved today" in said and "$" not in said


def test_many_tasks_fold_but_never_one_that_needs_a_look() -> None:
    promises = [replace(PROMISE, task=f"task{n:02}") for n in range(40)]
    promises[30:] = [replace(p, state="handed_back") for p in promises[30:]]
    page = render_page(replace(FACTS, state=replace(STATE, promises=promises)))
    shown, folded = page.split("<details>")
    assert all(f"<h3>task{n}</h3>" in shown for n in range(30, 40))
    assert folded.count('<span class="pill kept">') == 30
    assert "30 more tasks, all in good order" in folded


EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}&lt;</style>"


def evil(words: str) -> PageFacts:
    return replace(
        FACTS,
        name=words,
        version=words,
        base_url=words,
        today=replace(DAY, routes=Counter()),
        hours=[Hour(NOW)],
        served=[ServedFact(id=words, aliases=[words, words], kind=words)],
        state=replace(
            STATE,
            promises=[replace(PROMISE, task=words, specialist=words, reason=words, state="tightened")],
            upstreams=[UpstreamState(name=words, breaker="open", problem=words)],
            capture=CaptureState(problem=words, dropped=1),
        ),
    )


@settings(deadline=None, max_examples=60)
@given(st.one_of(st.just(EVIL), st.text(min_size=1), st.text("<>&\"'/={}% x\n", min_size=1)))
def test_names_from_users_stay_text(words: str) -> None:
    plain, read = Reader(render_page(evil("plain"))), Reader(render_page(evil(words)))
    assert read.tags == plain.tags
    assert [a[:2] for a in read.attributes] == [a[:2] for a in plain.attributes]


def test_nothing_in_a_name_is_evaluated() -> None:
    assert Reader(render_page(evil(EVIL))).text.count("{{ 7*7 }}") == Reader(render_page(evil("plain"))).text.count(
        "plain"
    )


def test_a_name_that_is_no_text_can_still_be_sent() -> None:
    render_page(evil("a\ud800b")).encode("utf-8")


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    read = Reader(render_page(FACTS))
    assert not {"script", "img", "iframe", "form", "object", "embed", "base"} & set(read.tags)
    assert not [a for a in read.attributes if a[1].startswith("on") or a[1] == "style"]
    loaded = [value for _, name, value in read.attributes if name in ("src", "href")]
    assert [value for value in loaded if not value.startswith(("/", "data:image/svg+xml,"))] == []
    assert "url(" not in render_page(FACTS) and "@import" not in render_page(FACTS)


def test_the_policy_allows_the_style_of_the_page_and_nothing_else() -> None:
    headers = page_headers()
    (style,) = re.findall(r"<style>(.*?)</style>", render_page(FACTS), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("TEXT/HTML", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("text/html-but-not", False),
    ],
)
def test_browsers_get_the_page_and_programs_json(accept: str, page: bool) -> None:
    assert wants_page(accept) is page


def widths(svg: str, kind: str) -> list[float]:
    return [float(w) for w in re.findall(rf'class="{kind}"[^>]* width="([\d.]+)"', svg)]


def test_the_bar_is_divided_as_the_requests_were() -> None:
    svg = route_bar(Hour(0.0, Counter(local=3, refused=1, audit=100)))
    assert widths(svg, "local") == [748.0]
    assert widths(svg, "refused") == [248.0]
    assert "audit" not in svg
    assert "<rect" not in route_bar(Hour(0.0))


def test_the_columns_share_one_scale_and_empty_hours_are_seen() -> None:
    svg = hour_columns([Hour(0.0, Counter(local=10)), Hour(3600.0, Counter(local=3, passed=2)), Hour(7200.0)])
    heights = [float(h) for h in re.findall(r'height="([\d.]+)"', svg.partition(">")[2])]
    assert heights == [110.0, 33.0, 22.0, 2.0]


@pytest.mark.parametrize(
    ("bound", "width", "word"), [(0.015, 400.0, "within"), (0.03, 800.0, "within"), (0.5, 1000.0, "beyond")]
)
def test_the_bound_is_drawn_against_its_limit(bound: float, width: float, word: str) -> None:
    assert widths(bound_bar(bound, 0.03), word) == [width]


def test_clocks_are_those_of_this_machine() -> None:
    assert time.strftime("%d %B, %H:%M", time.localtime(NOW)) in text()
