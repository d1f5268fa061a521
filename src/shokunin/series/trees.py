"""Boosted trees on rows of numbers, one model a horizon, kept as LightGBM's own text; the one file that knows LightGBM."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from shokunin.errors import ArtefactError, UsageError

LARGEST = 4_000_000
"""Bytes of one model's text; more trees than fit are left out, and that is written down."""
Floats = npt.NDArray[np.float64]


class TreeOptions(BaseModel):
    """How trees are boosted. The defaults are those of the paper's second generation, but positives are not weighted up.

    Attributes:
        num_leaves: leaves of a tree.
        learning_rate: what a tree counts for.
        feature_fraction: share of the columns that a tree may look at.
        bagging_fraction: share of the rows that a tree sees, drawn anew every fifth tree.
        min_child_samples: rows a leaf stands for, at least.
        reg_alpha, reg_lambda: L1 and L2 on the leaves.
        rounds: trees, at most.
        patience: stop when so many trees did not improve the validation score.
        metric: that score.
        weigh_positives: count a positive row as often as there are negatives for one; as published, and distorts
            probabilities.
        threads: of the processor; None: all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    num_leaves: int = Field(default=31, ge=2, le=1024)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    feature_fraction: float = Field(default=0.9, gt=0, le=1)
    bagging_fraction: float = Field(default=0.8, gt=0, le=1)
    min_child_samples: int = Field(default=20, ge=1)
    reg_alpha: float = Field(default=0.1, ge=0)
    reg_lambda: float = Field(default=0.1, ge=0)
    rounds: int = Field(default=1000, ge=1, le=20_000)
    patience: int = Field(default=50, ge=1)
    metric: Literal["auc", "average_precision", "binary_logloss"] = "auc"
    weigh_positives: bool = False
    threads: int | None = Field(default=None, ge=1)


PAPER_V3 = TreeOptions(num_leaves=63, feature_fraction=0.8, weigh_positives=True)


@dataclass(frozen=True)
class Forest:
    """A fitted model.

    Attributes:
        text: LightGBM's text.
        trees: how many.
        left_out: trees that did not fit into the largest file.
    """

    text: str
    trees: int
    left_out: int = 0

    def open(self) -> OpenForest:
        """Ready to be asked."""
        return OpenForest(self.text, "the model in memory")

    def save(self, path: Path) -> None:
        """Write the text."""
        path.write_text(self.text, encoding="utf-8", newline="\n")


class OpenForest:
    """A model that can be asked. Safe to use from one thread at a time."""

    def __init__(self, text: str, where: str) -> None:
        """Parse the text.

        Raises:
            ArtefactError: it is no model.
        """
        lightgbm = _lightgbm()
        if (
            not text.startswith("tree\n")
            or "end of trees" not in text
            or not re.search(r"^max_feature_idx=\d+$", text, re.M)
        ):
            raise ArtefactError(f"{where} is no text of trees, or only a part of one")
        try:
            self._model: Any = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise ArtefactError(f"{where} is damaged: {error}") from error
        self.columns = int(self._model.num_feature())

    def raw(self, x: npt.NDArray[np.float32], *, threads: int = 1) -> Floats:
        """Log-odds, float64 (n,), of rows (n, columns)."""
        return np.asarray(self._model.predict(x, raw_score=True, num_threads=threads), dtype=np.float64)

    def contributions(self, x: npt.NDArray[np.float32]) -> Floats:
        """What each column adds to the log-odds of each row, float64 (n, columns + 1), the last being the starting point.

        TreeSHAP (Lundberg et al., arXiv 1802.03888), as LightGBM computes it; a row adds up to its log-odds.
        """
        return np.asarray(self._model.predict(x, pred_contrib=True), dtype=np.float64)


def read_forest(path: Path) -> OpenForest:
    """A model from its file.

    Raises:
        ArtefactError: it is missing, too large, or no model.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ArtefactError(f"{path.name!r} has {path.stat().st_size:,} bytes; at most {LARGEST:,} are read")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtefactError(f"cannot read {path.name!r}: {error}") from error
    return OpenForest(text, repr(path.name))


def fit_trees(
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.int8],
    watched: tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]] | None,
    options: TreeOptions,
    *,
    seed: int,
    largest: int = LARGEST,
    horizon: int | None = None,
) -> Forest:
    """Fit one model.

    Args:
        x: rows (n, columns); NaN is "not known".
        y: 0 or 1 for each.
        watched: validation rows and their labels: they say when to stop; None: all rounds are grown.
        options: how.
        seed: of the draws.
        largest: bytes of the model's text.
        horizon: steps ahead that the labels are about, for what errors say.

    Raises:
        UsageError: the rows, or the watched ones, are all of one class.
    """
    lightgbm = _lightgbm()
    _both(y, "training", horizon)
    if watched is not None:
        _both(watched[1], "validation", horizon)
    asked = {**_asked(options, seed), **_weighed(y, options)}
    rows = lightgbm.Dataset(x, y.astype(np.float32), free_raw_data=True)
    more: dict[str, Any] = {}
    if watched is not None:
        check = lightgbm.Dataset(watched[0], watched[1].astype(np.float32), reference=rows, free_raw_data=True)
        stop = lightgbm.early_stopping(options.patience, first_metric_only=True, verbose=False)
        more = {"valid_sets": [check], "callbacks": [stop]}
    model = lightgbm.train(asked, rows, num_boost_round=options.rounds, **more)
    best = max(1, int(model.best_iteration or model.current_iteration()))
    trees = best
    text = str(model.model_to_string(num_iteration=trees))
    while len(text.encode()) > largest and trees > 1:
        trees = max(1, int(trees * 0.97 * largest / len(text.encode())))
        text = str(model.model_to_string(num_iteration=trees))
    return Forest(text, trees, best - trees)


class CrossedTrees:
    """Trees for each part of the training rows, grown in step, so that all parts together say when to stop.

    A part alone may hold one or two events, and trees that stop by it stop at the first or never. Rows are sorted into
    bins once, for all horizons.
    """

    def __init__(self, options: TreeOptions, seed: int) -> None:
        self._options, self._seed = options, seed
        self._parts: list[tuple[Any, Any]] = []

    def add(self, x: npt.NDArray[np.float32], held: npt.NDArray[np.float32]) -> None:
        """The rows outside a part, and the rows of the part; both may be forgotten after this."""
        lightgbm = _lightgbm()
        asked = _asked(self._options, self._seed)
        rows = lightgbm.Dataset(x, np.zeros(len(x)), params=asked, free_raw_data=True).construct()
        part = lightgbm.Dataset(held, np.zeros(len(held)), reference=rows, params=asked, free_raw_data=True)
        self._parts.append((rows, part.construct()))

    def grow(
        self,
        labels: Sequence[npt.NDArray[np.int8]],
        better: Callable[[Floats], float],
        *,
        every: int = 5,
        horizon: int | None = None,
    ) -> tuple[int, Floats]:
        """Grow until all parts together are best.

        Args:
            labels: for each part, of the rows outside it: 1, 0, or -1 (left out).
            better: how good log-odds of all parts' rows, one part after the other, are; more is better.
            every: trees between two looks.
            horizon: steps ahead that the labels are about, for what errors say.

        Returns:
            How many trees each part has where that is so (the fewest, if more are not better), and the log-odds there.

        Raises:
            UsageError: the rows outside a part are all of one class.
        """
        lightgbm = _lightgbm()
        models = []
        for (rows, part), y in zip(self._parts, labels, strict=True):
            known = y >= 0
            _both(y[known], "training", horizon)
            some = rows if known.all() else rows.subset(np.flatnonzero(known).tolist()).construct()
            some.set_label(y[known].astype(np.float32))
            model = lightgbm.Booster(
                {**_asked(self._options, self._seed), **_weighed(y[known], self._options), "metric": "none"}, some
            )
            model.add_valid(part, "part")
            models.append(model)
        best, trees, kept = -np.inf, 0, np.zeros(0)
        for grown in range(1, self._options.rounds + 1):
            for model in models:
                model.update()
            if grown % every and grown != self._options.rounds and grown != 1:
                continue
            scores = np.concatenate([_held_scores(model) for model in models])
            worth = better(scores)
            if worth > best:
                best, trees, kept = worth, grown, scores
            if grown - trees >= self._options.patience:
                break
        return trees, kept


def _held_scores(model: Any) -> Floats:
    """Log-odds of the rows that are watched; LightGBM keeps them up to date, and hands them out as probabilities."""
    seen: list[Floats] = []

    def look(given: Any, _: Any) -> tuple[str, float, bool]:
        seen.append(np.clip(np.asarray(given, dtype=np.float64), 1e-15, 1 - 1e-15))
        return "seen", 0.0, True

    model.eval_valid(look)
    (p,) = seen
    return np.asarray(np.log(p) - np.log1p(-p))


def _both(y: npt.NDArray[np.int8], what: str, horizon: int | None) -> None:
    """Some windows must come before an event, and some must not."""
    before = int((y == 1).sum())
    if 0 < before < len(y):
        return
    about, advice = "", ""
    if horizon is not None:
        about = f" for the horizon of {horizon} steps"
        advice = f": choose a {'shorter' if before else 'longer'} --horizon or another target"
    raise UsageError(
        f"{before} of {len(y)} windows of the {what} side come before an event{about}; trees need some that do and some that "
        f"do not{advice}"
    )


def _weighed(y: npt.NDArray[np.int8], options: TreeOptions) -> dict[str, float]:
    positive = int((y == 1).sum())
    return {"scale_pos_weight": (len(y) - positive) / positive if options.weigh_positives else 1.0}


def _lightgbm() -> Any:
    """The library. Its threads sleep while they wait for one another, unless the owner of the process says otherwise.

    By default they spin, and on a machine whose cores are taken that made a tree take 0.3 s that takes 0.02 s.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import lightgbm

    return lightgbm


def _asked(options: TreeOptions, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary", "metric": options.metric, "verbosity": -1, "seed": seed, "deterministic": True,
        "force_row_wise": True, "bagging_freq": 5,
        "num_threads": options.threads or 0, "first_metric_only": True,
        **options.model_dump(exclude={"rounds", "patience", "metric", "weigh_positives", "threads"}),
    }  # fmt: skip
