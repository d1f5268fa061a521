"""A small writer and a large one as one rung: the large one is asked where the small one is unsure (`engines/cascade.py`).

The scales are fitted on the same quarter of the judging rows that shapes the calibration, so the rows that carry the promise have
no part in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shokunin.engines import engine_for
from shokunin.engines.cascade import CascadeSession, Scale, log_odds_of, merged
from shokunin.files import write_json
from shokunin.forms import Form, Written
from shokunin.pipeline.judged import Judged
from shokunin.prove.calibrate import fit_platt
from shokunin.weights import Weights

KEEP = 0.9
"""From this probability of being right on the small member's answer is kept without asking the large one."""


@dataclass(frozen=True, eq=False)
class Cascade:
    """Both members where their learners left them; only `written` copies them side by side.

    Attributes:
        members: name and weights of the small and of the large one.
        scales: what makes their log-odds comparable.
        threshold: from this probability on the large one is not asked.
    """

    members: tuple[tuple[str, Weights], tuple[str, Weights]]
    scales: tuple[Scale, Scale]
    threshold: float
    format = "cascade"

    @property
    def form(self) -> Form:
        """What the members are handed."""
        return self.members[0][1].form

    def size_bytes(self) -> int:
        """The size of both members' files, in bytes."""
        return sum(weights.size_bytes() for _, weights in self.members)

    def session(self) -> CascadeSession:
        """Both members opened where they are."""
        small, large = (engine_for(w.format).load(w) for _, w in self.members)
        return CascadeSession((small, large), self.scales, self.threshold)

    def written(self, folder: Path, copy: Callable[[Weights, Path], Weights]) -> Weights:
        """Both members side by side in the new folder `folder`, with `cascade.json`."""
        placed = [(name, copy(w, folder / str(i))) for i, (name, w) in enumerate(self.members)]
        about = [
            {
                "name": name, "temperature": scale.temperature, "offset": scale.offset,
                "form": w.form, "format": w.format, "exact": w.exact, "facts": w.facts,
            }
            for (name, w), scale in zip(placed, self.scales, strict=True)
        ]  # fmt: skip
        write_json(folder / "cascade.json", {"threshold": self.threshold, "members": about})
        facts = {"members": [{"name": m["name"], "facts": m["facts"]} for m in about], "threshold": self.threshold}
        return Weights(folder, placed[0][1].form, "cascade", all(w.exact for _, w in placed), facts)


def cascade_of(
    small: tuple[str, Weights, Sequence[Written]],
    large: tuple[str, Weights, Sequence[Written]],
    judged: Judged,
    rows: npt.NDArray[np.bool_],
) -> tuple[Cascade, list[Written], float]:
    """Two fitted writers as one, its answers to the judging rows, and the share of them that the large one is asked.

    Args:
        small: name, weights and answers to the judging rows of the one that is asked first.
        large: the same of the one that is asked when that is unsure.
        judged: the rows.
        rows: which of them may shape the scales, shape (n,).
    """
    scales = []
    for _, _, answers in (small, large):
        right = judged.right(answers)
        odds = np.asarray([log_odds_of(w) for w in answers])
        scales.append(Scale(*fit_platt(odds[rows], right[rows])))
    first, second = small[2], large[2]
    odds_first = [scales[0].log_odds(w) for w in first]
    asked = [1 / (1 + np.exp(-o)) < KEEP for o in odds_first]
    raw = [
        merged(a, o, b if ask else None, scales[1])
        for a, o, b, ask in zip(first, odds_first, second, asked, strict=True)
    ]
    made = Cascade((small[:2], large[:2]), (scales[0], scales[1]), KEEP)
    return made, raw, float(np.mean(asked))
