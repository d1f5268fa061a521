"""Two writers as one: who is asked, whose answer is given, and that the written cascade answers as its members did."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.calibration import Calibration
from shokunin.dataset import Example
from shokunin.engines import engine_for
from shokunin.engines.cascade import CascadeSession, Scale
from shokunin.errors import ArtefactError
from shokunin.forms import Conversation, Conversations, Written
from shokunin.language.runner import Piece
from shokunin.pipeline import ladder
from shokunin.pipeline.cascading import Cascade, cascade_of
from shokunin.pipeline.judged import judged_by
from shokunin.pipeline.mixing import written
from shokunin.pipeline.rungs import Climb
from shokunin.progress import silent
from shokunin.task import Task
from shokunin.tasks.generate_text import WritingCodec
from shokunin.train import learner
from shokunin.weights import Weights

PLAIN = Scale(1.0, 0.0)


class Scripted:
    def __init__(self, *answers: Written) -> None:
        self.answers, self.asked = answers, []

    def run(self, forms: Sequence[int]) -> list[Written]:
        self.asked.extend(forms)
        return [self.answers[i] for i in forms]


def test_only_the_hard_rows_reach_the_large_model() -> None:
    small = Scripted(Written("sure", (-0.01,)), Written("unsure", (-1.0,)), Written("", problem="nothing like it"))
    large = Scripted(Written("x", (-0.1,)), Written("better", (-0.2,)), Written("at least this", (-3.0,)))
    given = CascadeSession((small, large), (PLAIN, PLAIN), 0.9).run([0, 1, 2])
    assert [w.text for w in given] == ["sure", "better", "at least this"]
    assert large.asked == [1, 2]
    assert [round(float(np.exp(w.logprobs[0])), 2) for w in given] == [0.99, 0.82, 0.05]


def test_the_likelier_answer_is_given_on_a_common_scale() -> None:
    small, large = Scripted(Written("small", (-0.7,))), Scripted(Written("large", (-0.3,)))
    assert CascadeSession((small, large), (PLAIN, PLAIN), 0.9).run([0])[0].text == "large"
    boastful = Scale(1.0, -5.0)
    assert CascadeSession((small, large), (PLAIN, boastful), 0.9).run([0])[0].text == "small"
    assert CascadeSession((small, large), (PLAIN, PLAIN), 0.9).run([]) == []


class Streaming(Scripted):
    """Writes a letter a piece, and remembers how many it wrote and that it was stopped."""

    streams = True

    def __init__(self, *answers: Written) -> None:
        super().__init__(*answers)
        self.letters, self.stopped = 0, 0

    def stream(self, form: int) -> Generator[Piece, None, None]:
        written = self.answers[form]
        try:
            for letter, logprob in zip(written.text, written.logprobs, strict=True):
                self.letters += 1
                yield Piece(letter, (letter,), (logprob,))
            yield Piece("", done=written)
        finally:
            self.stopped += 1


def letters(text: str, logprob: float) -> Written:
    return Written(text, (logprob,) * len(text))


SMALL = (
    Written("abcx", (-0.01,)),
    Written("abcx", (-1.0,)),
    Written("", problem="nothing like it"),
    Written("ab", (-0.5,)),
)
LARGE = (letters("abcd", -1.0), letters("abcd", -0.01), letters("abcd", -9.0), letters("zzzzzzzz", -0.4))


@pytest.mark.parametrize(
    ("form", "pieces", "written"),
    [
        (0, ["abcx"], 0),  # the small one is sure
        (1, ["a", "b", "c", "d"], 4),  # both write the beginning; the rest is certain at the end
        (2, ["a", "b", "c", "d", ""], 4),  # the small one wrote nothing: whatever the large one writes is given
        (3, ["ab"], 2),  # from its second letter on the large one can only be the less likely
    ],
)
def test_a_stream_gives_what_is_certain_and_ends_as_the_answer(form: int, pieces: list[str], written: int) -> None:
    large = Streaming(*LARGE)
    one = CascadeSession((Scripted(*SMALL), large), (PLAIN, PLAIN), 0.9)
    assert one.streams
    came = list(one.stream(form))
    assert ([p.text for p in came], large.letters) == (pieces, written)
    assert came[-1].done == one.run([form])[0]
    assert large.stopped == (written > 0)


@given(
    st.text("ab", min_size=1, max_size=4),
    st.text("ab", min_size=1, max_size=6),
    st.floats(-3, -0.01),
    st.floats(-2, -0.001),
    st.booleans(),
)
def test_what_was_streamed_is_never_taken_back(small: str, large: str, a: float, b: float, silent: bool) -> None:
    first = Written("", problem="none") if silent else Written(small, (a,))
    one = CascadeSession((Scripted(first), Streaming(letters(large, b))), (PLAIN, Scale(1.3, 0.4)), 0.9)
    pieces = list(one.stream(0))
    assert "".join(p.text for p in pieces) == pieces[-1].done.text == one.run([0])[0].text  # type: ignore[union-attr]


def test_a_cascade_of_small_writers_does_not_stream() -> None:
    one = CascadeSession((Scripted(*SMALL), Scripted(*LARGE)), (PLAIN, PLAIN), 0.9)
    assert not one.streams
    assert [p.text for p in one.stream(1)] == ["abcd"]


def asked(text: str) -> Conversation:
    return Conversation(({"role": "user", "content": text},))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Weights]]:
    rows = [(f"Where is {n}'s order?", f"Dear {n}, it is on its way.") for n in ("Mori", "Sato", "Ueda", "Abe", "Kato")]
    rows += [(f"{n} cancels it.", f"Dear {n}, it is cancelled.") for n in ("Oka", "Ono", "Ito", "Ota", "Endo")]
    lessons = Conversations(tuple(asked(q) for q, _ in rows), tuple(a for _, a in rows), np.arange(len(rows)))
    made = []
    for name in ("nearest_answer", "answer_templates"):
        module = learner(name)
        made.append(
            (name, module.fit(lessons, module.Options(), tmp_path_factory.mktemp(name), seed=0, progress=silent))
        )
    return made


def test_the_written_cascade_answers_as_it_was_judged(members: list[tuple[str, Weights]], tmp_path: Path) -> None:
    examples = [
        Example({"text": f"Where is {n}'s order?"}, f"Dear {n}, it is on its way.", f"r:{n}", i)
        for i, n in enumerate(("Saito", "Kudo", "Mori", "Hara"))
    ]
    codec = WritingCodec(Task("replies", "generate_text"), Calibration())
    judged = judged_by(examples, codec, "exact_match", labels=False)
    forms = codec.encode(judged.inputs)
    one, two = ((n, w, engine_for(w.format).load(w).run(forms)) for n, w in members)
    cascade, raw, share = cascade_of(one, two, judged, np.ones(len(judged), dtype=bool))
    assert 0 < share <= 1 and judged.right(raw).mean() >= judged.right(one[2]).mean()
    weights = written(cascade, tmp_path / "weights")
    assert weights.size_bytes() > cascade.size_bytes() and weights.form == "conversation"
    served = engine_for("cascade").load(weights).run(forms)
    assert [w.text for w in served] == [w.text for w in raw]
    assert [w.logprobs[0] for w in served] == pytest.approx([w.logprobs[0] for w in raw])


@pytest.mark.parametrize("damage", [{}, {"threshold": 0.9, "members": []}, {"threshold": "x", "members": [{}, {}]}])
def test_a_damaged_cascade_is_named(damage: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "cascade.json").write_text(json.dumps(damage))
    with pytest.raises(ArtefactError, match=r"cascade\.json"):
        engine_for("cascade").load(Weights(tmp_path, "conversation", "cascade"))


def test_a_cascade_in_a_cascade_is_refused(members: list[tuple[str, Weights]], tmp_path: Path) -> None:
    inner = Cascade((members[0], members[1]), (PLAIN, PLAIN), 0.9)
    written(inner, tmp_path / "inner")
    about = json.loads((tmp_path / "inner" / "cascade.json").read_text())
    about["members"][1]["format"] = "cascade"
    (tmp_path / "inner" / "cascade.json").write_text(json.dumps(about))
    with pytest.raises(ArtefactError, match="neither of them a cascade"):
        engine_for("cascade").load(Weights(tmp_path / "inner", "conversation", "cascade"))


def test_a_large_writer_stands_behind_the_best_far_smaller_one(
    members: list[tuple[str, Weights]], monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = [
        Example({"text": f"Where is {n}'s order?"}, f"Dear {n}, it is on its way.", n, i) for i, n in enumerate("ABCD")
    ]
    codec = WritingCodec(Task("replies", "generate_text"), Calibration())
    judged = judged_by(examples, codec, "exact_match", labels=False)
    forms = codec.encode(judged.inputs)
    climbs = [Climb(n, w, engine_for(w.format).load(w).run(forms), 1.0, 1.0) for n, w in members]
    assert ladder._cascades(climbs, judged, lambda n: np.ones(n, dtype=bool)) == [], "they are of a size"
    sizes = {climbs[0].weights.folder: 1_000, climbs[1].weights.folder: 90_000_000}
    monkeypatch.setattr(Weights, "size_bytes", lambda self: sizes[self.folder])
    [made] = ladder._cascades(climbs, judged, lambda n: np.ones(n, dtype=bool))
    assert made.name == "nearest_answer>answer_templates" and made.train_seconds == 2.0
