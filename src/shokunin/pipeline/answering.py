"""A kind's codec around an engine's session: the predictor that proof, prediction and serving all use."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Hashable, Sequence
from dataclasses import replace
from typing import Any

from shokunin.answer import Answer, Inputs, Predictor
from shokunin.engines import Session, StreamingSession, engine_for
from shokunin.engines.joint import Read, finish, first_encoder, read_together
from shokunin.errors import ArtefactError
from shokunin.forms import Form
from shokunin.specialist import Specialist, read_golden
from shokunin.tasks import Codec, WrittenCodec, kind

GOLDEN_TOLERANCE = 0.02
"""Another processor rounds differently; the label must be the same and the confidence this close."""


class SpecialistPredictor:
    """Encode, run, decode. Safe to call from several threads: one batch at a time reaches what is the session's own.

    Attributes:
        group: the encoder that it shares with others, the first if there are several; its own alone, if there is none.
    """

    def __init__(self, codec: Codec, session: Session, answered_by: str, form: Form) -> None:
        self._codec = codec
        self._form = form
        self._session = session
        self._answered_by = answered_by
        self._lock = threading.Lock()
        self.group: Hashable = first_encoder(session) or object()

    def predict(self, batch: Sequence[Inputs]) -> list[Answer]:
        """Answer every input; one that cannot be answered gets an Answer with a problem."""
        return self.predict_jointly([(self, batch)])[0]

    def predict_jointly(self, work: Sequence[tuple[Predictor, Sequence[Inputs]]]) -> list[list[Answer]]:
        """What each of the specialists answers to its batch; what they read with one encoder goes through it together."""
        start = time.perf_counter()
        asked = []
        for one, batch in work:
            assert isinstance(one, SpecialistPredictor)
            problems = [one._codec.problem(inputs) for inputs in batch]
            good = [inputs for inputs, problem in zip(batch, problems, strict=True) if problem is None]
            asked.append((one, problems, good, one._codec.encode(good, one._form) if good else []))
        read = read_together([(one._session, forms) for one, _, _, forms in asked])
        answers = [
            iter(one._answers(good, forms, mine) if forms else [])
            for (one, _, good, forms), mine in zip(asked, read, strict=True)
        ]
        each = (time.perf_counter() - start) / max(1, sum(len(batch) for _, batch in work))
        return [
            [
                replace(next(given), seconds=each)
                if problem is None
                else Answer(None, 0.0, one._answered_by, problem=problem, sure=False, seconds=each)
                for problem in problems
            ]
            for (one, problems, _, _), given in zip(asked, answers, strict=True)
        ]

    def raw(self, forms: Sequence[Any]) -> Any:
        """What the engine says to inputs in the form that it reads, for those who have them in that form already."""
        with self._lock:
            return self._session.run(forms)

    @property
    def streams(self) -> bool:
        """Whether an answer comes in more than one piece."""
        codec, session = self._codec, self._session
        return isinstance(codec, WrittenCodec) and codec.streams and getattr(session, "streams", False)

    def stream(self, inputs: Inputs) -> Generator[str | Answer, None, None]:
        """The value in pieces as it is written, then the answer; closing the generator stops the work."""
        start = time.perf_counter()
        codec, session = self._codec, self._session
        assert isinstance(codec, WrittenCodec) and isinstance(session, StreamingSession)
        problem = codec.problem(inputs)
        if problem is not None:
            yield Answer(None, 0.0, self._answered_by, problem=problem, sure=False)
            return
        pieces = session.stream(codec.encode([inputs], self._form)[0])
        written, shown = "", 0
        try:
            for piece in pieces:
                if piece.done is not None:
                    (answer,) = codec.decode([piece.done], self._answered_by, [inputs])
                    value = answer.value or ""
                else:
                    written += piece.text
                    value = codec.certain(written)
                if len(value) > shown:
                    yield value[shown:]
                    shown = len(value)
                if piece.done is not None:
                    yield replace(answer, seconds=time.perf_counter() - start)
        finally:
            pieces.close()

    def _answers(self, batch: Sequence[Inputs], forms: Sequence[Any], read: Read) -> list[Answer]:
        with self._lock:
            raw = finish(self._session, forms, read)
        return self._codec.decode(raw, self._answered_by, batch)


def codec_of(specialist: Specialist) -> Codec:
    """The codec that the specialist was trained, proven and is served with."""
    return kind(specialist.task.kind).codec(specialist.task, specialist.side_files)


def open_specialist(folder_specialist: Specialist, *, threads: int | None = None, golden: bool = True) -> Specialist:
    """Load the weights and check the golden inputs.

    Raises:
        ArtefactError: the weights cannot be read, or do not answer as they did when the specialist was made.
    """
    specialist = folder_specialist
    session = engine_for(specialist.weights.format).load(specialist.weights, threads=threads)
    predictor = SpecialistPredictor(codec_of(specialist), session, specialist.id, specialist.weights.form)
    opened = specialist.with_predictor(predictor)
    if golden:
        check_golden(opened)
    return opened


def check_golden(specialist: Specialist) -> None:
    """Ask the sample inputs again.

    Raises:
        ArtefactError: an answer is not the recorded one.
    """
    golden = read_golden(specialist)
    answers = specialist.predict([g["inputs"] for g in golden])
    pairs = list(zip(golden, answers, strict=True))
    written = specialist.weights.form == "conversation" and not specialist.weights.exact
    same = sum(answer.value == expected["value"] for expected, answer in pairs)
    # Another processor rounds differently, and one other token makes another text; half of them tells it from a wrong file.
    if written and 2 * same >= len(pairs):
        return
    for expected, answer in pairs:
        if answer.value != expected["value"] or abs(answer.confidence - expected["confidence"]) > GOLDEN_TOLERANCE:
            raise ArtefactError(
                f"{specialist.id!r} answers {answer.value!r} ({answer.confidence:.3f}) to a sample input where it once answered "
                f"{expected['value']!r} ({expected['confidence']:.3f}); the libraries or files differ from those it was made with"
            )
