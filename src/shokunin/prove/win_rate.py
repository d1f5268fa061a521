"""Win rate: of two answers to each row, which one a judge holds to be better, counted only where its verdict survives the swap.

Models prefer what they read first, or last (Zheng et al., arXiv 2306.05685), so every pair is shown in both orders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from shokunin import metrics
from shokunin.prove.wording import LEVEL, p_value, percent, printable, share

Verdict = Literal["won", "lost", "tied", "swayed", "unread"]
"""For the specialist, for the other, equally good, another verdict in the other order, or none that can be read."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What came of one row.

    Attributes:
        verdict: about the specialist's answer.
        asked: whether the judge was; it was not where both answers are the same, or one is missing.
        group: rows of one group are one piece of proof.
    """

    verdict: Verdict
    asked: bool
    group: int


def win_rate(
    pairs: Sequence[Pair], *, judge: str, rival: str, bias: Mapping[str, Any], itself: bool = False, seed: int = 0
) -> dict[str, Any]:
    """What the verdicts come to.

    Args:
        pairs: one a row.
        judge: who judged.
        rival: whose answers stood beside the specialist's.
        bias: of the judge: `pairs` it was asked about, the share of them that was `consistent`, and `first`, the share of its
            verdicts for what it read first.
        itself: whether the judge and the rival are one model.
        seed: of the bootstrap.

    Returns:
        `judge`, `rows`; how many are `won`, `lost`, `tied`, `swayed`, `unread`, and `unasked`; `score` with its interval: the
        mean of 1 for a win, 0.5 for a tie and 0 for a loss over the rows with a verdict that counts, None without any; `p`,
        two-sided, of wins and losses being equally likely; `bias`; `itself`; `sentence`.
    """
    count = {word: sum(p.verdict == word for p in pairs) for word in ("won", "lost", "tied", "swayed", "unread")}
    counted = [p for p in pairs if p.verdict in ("won", "lost", "tied")]
    found: dict[str, Any] = {"judge": judge, "rows": len(pairs), **count, "unasked": sum(not p.asked for p in pairs)}
    score, p = None, None
    if counted:
        groups = [one.group for one in counted]
        won, lost = (np.asarray([one.verdict == word for one in counted]) for word in ("won", "lost"))
        score = asdict(metrics.mean(0.5 * (1.0 + won - lost), groups, seed=seed))
        p = metrics.compare_accuracy(won, lost, groups, seed=seed).p
    found |= {"score": score, "p": p, "bias": dict(bias), "itself": itself}
    return found | {"sentence": _sentence(found, rival)}


def _sentence(found: Mapping[str, Any], rival: str) -> str:
    judge, rival = (printable(name, 60) for name in (found["judge"], rival))
    told = (
        f"{judge} holds the specialist's answer to be better in {found['won']:,} rows, that of {rival} in {found['lost']:,}, "
        f"and both equally good in {found['tied']:,}"
    )
    if found["score"] is None:
        return f"{told}: nothing can be said of which is better."
    outcome = "they cannot be told apart"
    if found["p"] < LEVEL:
        outcome = f"the specialist is measurably {'better' if found['won'] > found['lost'] else 'worse'}"
    told = f"{told}: {outcome} ({p_value(found['p'])}; a tie as half a win it wins {share(found['score'])})."
    if found["swayed"]:
        told += f" In {found['swayed']:,} rows its verdict changed with the order of the two, and is not counted."
    if found["unread"]:
        told += f" In {found['unread']:,} rows it gave no verdict."
    if found["bias"].get("first") is not None:
        first = percent(found["bias"]["first"], 0)
        told += f" Of its single verdicts {first} were for the answer it read first (50 % without bias)."
    return f"{told} It judged its own answers, which models favour." if found["itself"] else told
