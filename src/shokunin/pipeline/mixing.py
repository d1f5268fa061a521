"""Mixtures of rungs: learners that err on different rows are better together, and cost nothing more to train.

The shares are fitted by likelihood on the same quarter of the judging rows that shapes the calibration, so the rows that carry
the promise have no part in them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logsumexp

from shokunin.engines import engine_for
from shokunin.engines.mixture import MixtureSession
from shokunin.errors import UsageError
from shokunin.files import disk_error, read_json, write_json
from shokunin.forms import Form
from shokunin.pipeline.by_member import FieldsByMember
from shokunin.pipeline.cascading import Cascade
from shokunin.weights import Weights


@dataclass(frozen=True, eq=False)
class Mixture:
    """Members where their learners left them, and what each counts for; only `written` copies them side by side.

    Attributes:
        members: name and weights of each.
        shares: shape (number of members,).
    """

    members: tuple[tuple[str, Weights], ...]
    shares: npt.NDArray[np.float64]
    format = "mixture"

    @property
    def form(self) -> Form:
        """What the members are handed."""
        return self.members[0][1].form

    def size_bytes(self) -> int:
        """The size of all members' files, in bytes."""
        return sum(weights.size_bytes() for _, weights in self.members)

    def session(self) -> MixtureSession:
        """Every member opened where it is."""
        return MixtureSession([engine_for(w.format).load(w) for _, w in self.members], self.shares)


def fit_shares(raw: Sequence[npt.NDArray[np.float32]], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """What each member's raw scores count for: positive, likeliest labels, with a weak prior on the logarithms.

    Args:
        raw: the members' scores of the same rows, each of shape (n, k).
        labels: shape (n,).
    """
    scores = np.stack([r.astype(np.float64) for r in raw])
    # Each member on its own scale first: a prior around 1 must mean the same for margins and for log-probabilities.
    spread = scores.std(axis=2).mean(axis=1) + 1e-9
    scores /= spread[:, None, None]

    def cost(log_shares: npt.NDArray[np.float64]) -> float:
        total = np.tensordot(np.exp(log_shares), scores, axes=1)
        return float(
            (logsumexp(total, axis=1) - total[np.arange(len(labels)), labels]).sum() + (log_shares**2).sum() / 2
        )

    found = minimize(
        cost, np.zeros(len(raw)), method="Nelder-Mead", options={"maxiter": 400, "xatol": 1e-3, "fatol": 1e-3}
    )
    return np.asarray(np.exp(found.x) / spread)


def written(weights: Weights | Mixture | Cascade | FieldsByMember, folder: Path) -> Weights:
    """Copy weights into the new folder `folder`; the members of what is made of several side by side, with what joins them.

    Raises:
        ProjectError: the disk is full, or a file cannot be read or written.
    """
    if isinstance(weights, Weights):
        _copy(weights.folder, folder)
        return replace(weights, folder=folder)
    if isinstance(weights, (Cascade, FieldsByMember)):
        return weights.written(folder, written)
    members = [(name, written(w, folder / str(i))) for i, (name, w) in enumerate(weights.members)]
    return _described(members, weights.shares, folder)


def shrink_members(
    weights: Weights, shrink: Callable[[Weights, Path], Weights], folder: Path, *, formats: Sequence[str]
) -> Weights:
    """Smaller weights in the existing, empty `folder`: of a mixture every member of `formats`, the others copied.

    Args:
        weights: a mixture, or anything else, which is left to `shrink` as it is.
        shrink: makes weights smaller and writes them into an existing, empty folder.
        folder: where the smaller weights go.
        formats: what `shrink` reads.

    Raises:
        UsageError: no member of the mixture is in one of these formats.
        ProjectError: the disk is full, or a file cannot be read or written.
    """
    if weights.format != "mixture":
        return shrink(weights, folder)
    about = read_json(weights.folder / "mixture.json")["members"]
    if not any(m["format"] in formats for m in about):
        names, wanted = (", ".join(map(repr, found)) for found in ([m["name"] for m in about], formats))
        raise UsageError(f"no member of the mixture of {names} is in the format {wanted}, which can be made smaller")
    members = []
    for i, m in enumerate(about):
        member, place = (
            Weights(weights.folder / str(i), m["form"], m["format"], m["exact"], m["facts"]),
            folder / str(i),
        )
        if member.format in formats:
            place.mkdir()
            members.append((m["name"], shrink(member, place)))
        else:
            members.append((m["name"], written(member, place)))
    return _described(members, np.asarray([float(m["share"]) for m in about]), folder)


def _described(members: Sequence[tuple[str, Weights]], shares: npt.NDArray[np.float64], folder: Path) -> Weights:
    """Write `mixture.json` beside the members, which are in `folder` already."""
    about = [
        {"name": name, "share": float(share), "form": w.form, "format": w.format, "exact": w.exact, "facts": w.facts}
        for (name, w), share in zip(members, shares, strict=True)
    ]
    write_json(folder / "mixture.json", {"members": about})
    facts = {"members": [{"name": m["name"], "share": m["share"], "facts": m["facts"]} for m in about]}
    return Weights(folder, members[0][1].form, "mixture", all(w.exact for _, w in members), facts)


def _copy(source: Path, folder: Path) -> None:
    """Copy all files; `shutil.copytree` would hide that the disk is full behind an error without a number."""
    try:
        folder.mkdir(parents=True)
        for path in sorted(source.rglob("*")):
            place = folder / path.relative_to(source)
            if path.is_dir():
                place.mkdir()
            else:
                shutil.copyfile(path, place)
    except OSError as error:
        raise disk_error(error, folder) from error
