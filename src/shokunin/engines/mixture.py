"""Runs `mixture` weights: several members answer, their weighted log-scores are added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from shokunin.engines import ReadingSession, Session, engine_for
from shokunin.errors import ArtefactError
from shokunin.files import read_json
from shokunin.weights import Weights

FORMATS = ("mixture",)
MOST_MEMBERS = 8


class MixtureSession:
    """The members' sessions and what each counts for.

    Attributes:
        readers: those of all members, in their order.
    """

    def __init__(self, members: Sequence[Session], shares: npt.NDArray[np.float64]) -> None:
        self._members = members
        self._shares = shares
        readers = [m.readers if isinstance(m, ReadingSession) else () for m in members]
        self._counts = [len(mine) for mine in readers]
        self.readers = tuple(reader for mine in readers for reader in mine)

    def run(self, forms: Sequence[Any]) -> npt.NDArray[np.float32]:
        """Log-probabilities of the mixture, shape (len(forms), k)."""
        return mix([member.run(forms) for member in self._members], self._shares)

    def finish(self, forms: Sequence[Any], read: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """The same, with what the readers gave for the forms."""
        left, raw = iter(read), []
        for member, count in zip(self._members, self._counts, strict=True):
            mine = [next(left) for _ in range(count)]
            raw.append(cast("ReadingSession", member).finish(forms, mine) if mine else member.run(forms))
        return mix(raw, self._shares)


def mix(raw: Sequence[npt.NDArray[np.float32]], shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """A weighted product of experts: log-softmax of the weighted sum of the members' raw scores, each of shape (n, k)."""
    total = np.tensordot(shares, np.stack([r.astype(np.float64) for r in raw]), axes=1)
    return np.asarray(log_softmax(total, axis=1), dtype=np.float32)


def load(weights: Weights, *, threads: int | None = None) -> MixtureSession:
    """Read `mixture.json` and open every member.

    Raises:
        ArtefactError: the file is damaged, or a member is.
    """
    path = weights.folder / "mixture.json"
    about = read_json(path)
    try:
        members = [
            Weights(weights.folder / str(i), m["form"], m["format"], m["exact"], m["facts"])
            for i, m in enumerate(about["members"])
        ]
        shares = np.asarray([float(m["share"]) for m in about["members"]])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{str(path)!r} does not describe a mixture: {error}") from error
    if not 1 <= len(members) <= MOST_MEMBERS or any(m.format == "mixture" for m in members):
        raise ArtefactError(f"{str(path)!r} must have 1 to {MOST_MEMBERS} members, none of them a mixture")
    return MixtureSession([engine_for(m.format).load(m, threads=threads) for m in members], shares)
