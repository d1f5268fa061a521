"""A rung in which each field is read by the smallest members that read it no worse (`engines/fields_by_member.py`).

Who reads what, and the scales, are chosen on the same quarter of the judging rows that shapes the calibration, so the rows that
carry the promise have no part in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shokunin import metrics
from shokunin.engines import engine_for
from shokunin.engines.fields_by_member import FILE, ByMemberSession
from shokunin.fields.by_member import Plan, Scale, read_by
from shokunin.files import write_json
from shokunin.forms import Form, Found, FoundFields
from shokunin.pipeline.judged import Judged
from shokunin.pipeline.smallest import LEVEL
from shokunin.prove.calibrate import fit_platt
from shokunin.weights import Weights

KEEP = 0.98
"""From this probability of being right on a smaller member's value is kept without asking a larger one."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Member:
    """A rung that reads fields: its name, its weights, and what it found in the judging rows."""

    name: str
    weights: Weights
    raw: Sequence[FoundFields]


@dataclass(frozen=True, eq=False)
class FieldsByMember:
    """The members where their learners left them, and who is asked for what; only `written` copies them side by side.

    Attributes:
        members: name and weights of each, the smallest first.
        plan: who is asked for which field.
    """

    members: tuple[tuple[str, Weights], ...]
    plan: Plan
    format = "fields_by_member"

    @property
    def form(self) -> Form:
        """What the members are handed."""
        return self.members[0][1].form

    def size_bytes(self) -> int:
        """The size of all members' files, in bytes."""
        return sum(weights.size_bytes() for _, weights in self.members)

    def session(self) -> ByMemberSession:
        """Every member opened where it is."""
        return ByMemberSession([engine_for(w.format).load(w) for _, w in self.members], self.plan)

    def written(self, folder: Path, copy: Callable[[Weights, Path], Weights]) -> Weights:
        """The members side by side in the new folder `folder`, with `fields_by_member.json`."""
        placed = [(name, copy(w, folder / str(i))) for i, (name, w) in enumerate(self.members)]
        about = [
            {
                "name": name, "scales": {field: asdict(scale) for field, scale in scales.items()},
                "form": w.form, "format": w.format, "exact": w.exact, "facts": w.facts,
            }
            for (name, w), scales in zip(placed, self.plan.scales, strict=True)
        ]  # fmt: skip
        fields = {name: list(readers) for name, readers in self.plan.fields.items()}
        write_json(folder / FILE, {"keep": self.plan.keep, "fields": fields, "members": about})
        facts = {
            "members": [{"name": name, "facts": w.facts} for name, w in placed],
            "read_by": {name: [placed[n][0] for n in readers] for name, readers in self.plan.fields.items()},
            "keep": self.plan.keep,
        }
        return Weights(folder, placed[0][1].form, "fields_by_member", all(w.exact for _, w in placed), facts)


def fields_by_member(
    members: Sequence[Member], judged: Judged, rows: Flags, seed: int
) -> tuple[FieldsByMember, list[FoundFields], list[float]] | None:
    """Two or more fitted rungs as one, what it finds in the judging rows, and the share of them that each member is asked.

    For each field the smallest member reads alone unless it is measurably better together with larger ones on `rows`. A larger
    one never reads alone: the smaller is asked first at next to no cost, and fewer ways to choose among are fewer ways to be
    misled. None where the smallest member reads every field, which is a rung already.

    Args:
        members: at least two that find the same fields, the smallest first.
        judged: the rows.
        rows: which of them may shape the choice, shape (n,).
        seed: of the paired tests where rows are not independent.
    """
    names = list(members[0].raw[0])
    scales = []
    for member in members:
        flags = {name: _right(judged, [row[name] for row in member.raw], name) for name in names}
        odds = {name: np.asarray([row[name].score for row in member.raw]) for name in names}
        scales.append({name: Scale(*fit_platt(odds[name][rows], flags[name][rows])) for name in names})
    chosen: dict[str, tuple[int, ...]] = {}
    for name in names:
        ways = [tuple(range(n + 1)) for n in range(len(members))]
        flags_of = [
            _right(judged, [f[name] for f in _found(members, Plan({name: way}, tuple(scales), KEEP))[0]], name)
            for way in ways
        ]
        chosen[name] = ways[_smallest([flags[rows] for flags in flags_of], judged.groups[rows], seed)]
    used = sorted({n for readers in chosen.values() for n in readers})
    if len(used) < 2:
        return None
    plan = Plan(
        {name: tuple(used.index(n) for n in readers) for name, readers in chosen.items()},
        tuple({name: scales[n][name] for name in names if n in chosen[name]} for n in used),
        KEEP,
    )
    kept = [members[n] for n in used]
    raw, asked = _found(kept, plan)
    return FieldsByMember(tuple((m.name, m.weights) for m in kept), plan), raw, asked


def _found(members: Sequence[Member], plan: Plan) -> tuple[list[FoundFields], list[float]]:
    """What the plan finds in each row, and the share of the rows that each member is asked."""
    told = [read_by(plan, [m.raw[row] for m in members].__getitem__) for row in range(len(members[0].raw))]
    return [found for found, _ in told], [
        float(np.mean([n in asked for _, asked in told])) for n in range(len(members))
    ]


def _right(judged: Judged, found: Sequence[Found], name: str) -> Flags:
    """Which values of one field are right, shape (n,): those with which an answer, right in all else, is right."""
    out = []
    for example, told in zip(judged.examples, found, strict=True):
        answer = {**json.loads(example.expected or "{}"), name: told.value}
        out.append(judged.codec.correct(example.expected or "", json.dumps(answer, ensure_ascii=False)))
    return np.asarray(out, bool)


def _smallest(right: Sequence[Flags], groups: npt.NDArray[np.int64], seed: int) -> int:
    """The first of several ways, the smallest first, that no test can tell from the best."""
    best = max(range(len(right)), key=lambda i: (int(right[i].sum()), -i))
    worse = (metrics.compare_accuracy(flags, right[best], groups, seed=seed).p_worse for flags in right[:best])
    return next((i for i, p in enumerate(worse) if p > LEVEL), best)
