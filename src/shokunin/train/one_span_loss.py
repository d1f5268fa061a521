"""The loss of a token tagger: how unlikely the right spans are among all that a field may have, "no value" being one of them.

No label outweighs another, however few tokens belong to a value: a document counts once for each field, whatever its length.
"""

from __future__ import annotations

import torch

from shokunin.train.tagger_rows import Wanted


def one_span_loss(numbers: torch.Tensor, wanted: Wanted) -> torch.Tensor:
    """-log of the probability of the right spans together, or of "no value" where there are none.

    Args:
        numbers: begin, inside and end scores of one field, float32 of shape (t, 3).
        wanted: the spans, and which are right.
    """
    scores = span_scores(numbers, wanted)
    everything = torch.logsumexp(torch.cat([scores.new_zeros(1), scores]), 0)
    if not wanted.right.any():
        return everything
    return everything - torch.logsumexp(scores[torch.from_numpy(wanted.right).to(scores.device)], 0)


def span_scores(numbers: torch.Tensor, wanted: Wanted) -> torch.Tensor:
    """Log-odds of each span against "no value", shape (m,); as `fields.one_span.score` has them."""
    begin, inside, end = numbers.unbind(1)
    total = torch.cat([inside.new_zeros(1), inside.cumsum(0)])
    firsts = torch.from_numpy(wanted.spans.firsts).to(numbers.device)
    lasts = torch.from_numpy(wanted.spans.lasts).to(numbers.device)
    return begin[firsts] + end[lasts] + total[lasts + 1] - total[firsts]
