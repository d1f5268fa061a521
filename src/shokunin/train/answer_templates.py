"""Written answers as templates with copied slots: SQL with the question's values, replies with a name or a number.

The stretches that an answer copies from its prompt are taken out; what is left is its shape. A linear scorer tells the shape from
the prompt with its mentions masked, a second one which mentions are meant, and the mentions are written into the shape.
A few milliseconds an answer, and nothing is ever written that no lesson, and no substitution that the lessons show, has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save_file
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from shokunin.encoders.tfidf import fit_tfidf
from shokunin.errors import LessonsError
from shokunin.files import write_json
from shokunin.forms import Conversations, Form
from shokunin.language.answer_shapes import (
    Shape,
    Shaped,
    one_spelling,
    sql_lexicon,
    sql_shaped,
    text_lexicon,
    text_shaped,
)
from shokunin.language.asked import asked_text, frame_of
from shokunin.language.mentions import Lexicon, Mention, clues, lexicon_to_json, masked
from shokunin.language.new_shapes import new_shapes
from shokunin.language.sql import read_tree, run, text_values
from shokunin.progress import Progress
from shokunin.train.shape_scorer import fit_scores, part_vectors
from shokunin.weights import Weights

EATS: Form = "conversation"
EXTRA: str | None = None
SQL_SHARE = 0.95
"""Answers of which so many parse as SELECT are queries."""
MOST_LESSONS = 4_000
"""Lessons that the scorer is fitted to; its time grows with their cube."""
MOST_SHAPES = 1_500
"""Shapes kept, the most frequent ones."""


class Options(BaseModel):
    """How to fit.

    Attributes:
        answers: whether answers are queries; by default told from the lessons.
        database: SQLite file whose values are mentions as well, and on which made shapes must run. Read while fitting only.
        made_shapes: at most so many shapes of queries that no lesson has, made by the substitutions that lessons show.
        strength: of the regularisation of the scorer.
        own: how much a shape counts as itself beside the parts that it shares with others.
        max_features: at most so many word features and so many character features.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    answers: Literal["auto", "sql", "text"] = "auto"
    database: Path | None = None
    made_shapes: int = Field(default=500, ge=0, le=5_000)
    strength: float = Field(default=0.002, gt=0)
    own: float = Field(default=0.1, gt=0)
    max_features: int = Field(default=50_000, ge=100)


@dataclass(frozen=True)
class _Found:
    """What the lessons' answers are made of."""

    lexicon: Lexicon
    mentions: list[tuple[Mention, ...]]
    shaped: list[Shaped]
    keys: list[Shape]


def forecast(lessons: Conversations, options: BaseModel) -> float:
    """From measured fits: a decomposition of the lessons, and a softmax over shapes a step."""
    assert isinstance(options, Options)
    n = min(len(lessons), MOST_LESSONS)
    characters = sum(map(len, lessons.answers)) + sum(len(asked_text(c)) for c in lessons.asked)
    shapes = min(n, MOST_SHAPES) / 2 + options.made_shapes
    return 1.0 + characters * 1e-5 + n * (n * n * 3e-9 + shapes * 6e-5)


def fit(lessons: Conversations, options: BaseModel, folder: Path, *, seed: int, progress: Progress) -> Weights:
    """Write `vocabulary.json`, `idf.safetensors`, `shapes.json` and `shapes.safetensors`.

    `shapes.safetensors` has `weight` (d, r) and `parts` (r, k), float16: their product scores k shapes from d features.

    Raises:
        LessonsError: there are fewer than two lessons, or answers are said to be queries and do not parse.
        DataError: the database cannot be read.
    """
    assert isinstance(options, Options)
    if len(lessons) < 2:
        raise LessonsError(f"learning the shapes of answers needs at least two lessons; got {len(lessons)}")
    rng = np.random.default_rng(seed)
    if len(lessons) > MOST_LESSONS:
        lessons = lessons.take(np.sort(rng.permutation(len(lessons))[:MOST_LESSONS]))
    progress("taking answers apart", 0, 4)
    frame = frame_of(lessons.asked)
    prompts = [asked_text(conversation, frame) for conversation in lessons.asked]
    sql = _are_queries(lessons.answers, options.answers)
    found = _taken_apart(prompts, lessons.answers, options.database, sql)
    counts = Counter(found.keys)
    seen = [key for key, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0].text))[:MOST_SHAPES]]
    spelled = {k: Counter(s.shape for s, own in zip(found.shaped, found.keys, strict=True) if own == k) for k in seen}
    shapes = [spelled[key].most_common(1)[0][0] for key in seen]
    progress("making further shapes", 1, 4)
    made = new_shapes(seen, most=options.made_shapes, runs=_runner(options.database)) if sql else []
    progress("fitting the scorer of shapes", 2, 4)
    sorts = sorted({m.sort for mentions in found.mentions for m in mentions} | {s for k in seen for s in k.sorts})
    codes = {sort: i for i, sort in enumerate(sorted({*sorts, *(s for k in made for s in k.sorts)}))}
    number = {key: i for i, key in enumerate(seen)}
    kept = [i for i, key in enumerate(found.keys) if key in number]
    texts = [masked(prompts[i], found.shaped[i].mentions, codes) for i in kept]
    encoder, rows = fit_tfidf(texts, limit=options.max_features)
    parts = part_vectors([key.text for key in [*seen, *made]], len(seen), own=options.own, seed=seed)
    shape_of = np.array([number[found.keys[i]] for i in kept], dtype=np.int64)
    weight = fit_scores(rows, shape_of, parts, strength=options.strength)
    progress("fitting the scorer of mentions", 3, 4)
    meant = _meant(prompts, found, seed)
    encoder.save(folder)
    tensors = {"weight": weight.astype(np.float16), "parts": np.ascontiguousarray(parts.T).astype(np.float16)}
    save_file(tensors, folder / "shapes.safetensors")
    write_json(
        folder / "shapes.json",
        {
            "sql": sql,
            "frame": {"before": frame.before, "after": frame.after},
            "shapes": [{"text": s.text, "sorts": list(s.sorts)} for s in [*shapes, *made]],
            "seen": len(seen),
            "codes": codes,
            "lexicon": lexicon_to_json(found.lexicon),
            "meant": meant,
        },
    )
    progress("fitting the scorer of mentions", 4, 4)
    facts = {
        "parameters": weight.size + parts.size + len(meant),
        "lessons_used": len(kept),
        "shapes": len(seen),
        "made_shapes": len(made),
        "options": options.model_dump(mode="json", exclude={"database"}),
    }
    return Weights(folder, "conversation", "answer_templates", facts=facts)


def _are_queries(answers: Sequence[str], said: str) -> bool:
    if said == "text":
        return False
    problems = [(a, p) for a in answers if (p := read_tree(a).problem) is not None]
    if said == "sql" and problems:
        raise LessonsError(f"the answers are said to be SQL, but {problems[0][0][:80]!r} is not: {problems[0][1]}")
    return len(problems) <= (1 - SQL_SHARE) * len(answers)


def _taken_apart(prompts: Sequence[str], answers: Sequence[str], database: Path | None, sql: bool) -> _Found:
    if sql:
        lexicon, sorts = sql_lexicon(answers, {} if database is None else text_values(database))
        mentions = [lexicon.find(prompt) for prompt in prompts]
        shaped = [sql_shaped(answer, found, sorts) for answer, found in zip(answers, mentions, strict=True)]
        spelled = {shape: one_spelling(shape) for shape in {s.shape for s in shaped}}
        return _Found(lexicon, mentions, shaped, [spelled[s.shape] for s in shaped])
    lexicon = text_lexicon(prompts, answers)
    mentions = [lexicon.find(prompt) for prompt in prompts]
    shaped = text_shaped(answers, mentions)
    return _Found(lexicon, mentions, shaped, [s.shape for s in shaped])


def _runner(database: Path | None) -> Callable[[str], bool] | None:
    return None if database is None else lambda query: run(query, database).problem is None


def _meant(prompts: Sequence[str], found: _Found, seed: int) -> dict[str, float]:
    """The weight of every clue that a mention is meant."""
    present, meant = [], []
    for prompt, mentions, shaped in zip(prompts, found.mentions, found.shaped, strict=True):
        for at, mention in enumerate(mentions):
            present.append(dict.fromkeys(clues(prompt, mentions, at), 1.0))
            meant.append(mention in shaped.mentions)
    if len(set(meant)) < 2:
        # All or none of them are meant: nothing to tell apart.
        return {"always": 4.0 if any(meant) else -4.0}
    columns = DictVectorizer(dtype=np.float32)
    model = LogisticRegression(C=3.0, max_iter=300, random_state=seed).fit(columns.fit_transform(present), meant)
    coefficients: npt.NDArray[np.float64] = model.coef_[0]
    weights = {str(n): round(float(w), 5) for n, w in zip(columns.feature_names_, coefficients, strict=True)}
    weights["always"] = weights.get("always", 0.0) + float(model.intercept_[0])
    return weights
