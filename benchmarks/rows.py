"""The rows of a benchmark: where the data is, and how a table becomes training and test rows."""

from __future__ import annotations

import csv
import hashlib
import os
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

Row = tuple[str, str]
"""A text and its label."""

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to be tested on; `test_ids` name the test rows across splits and runs."""

    seed: int
    train: tuple[Row, ...]
    test: tuple[Row, ...]
    test_ids: tuple[int, ...]


@dataclass(frozen=True)
class Setting:
    """One way to ask a public task.

    Attributes:
        name: of the setting within the benchmark.
        splits: what is run.
        design: `official` (one split), `seeds` (the same test rows each time, other training rows) or `folds` (every
            row is tested once).
        few_shot: whether SetFit's few-shot recipe applies.
        published: figures of others, shown beside ours, with their source.
    """

    name: str
    splits: tuple[Split, ...]
    design: str
    few_shot: bool = False
    published: str = ""


def data_file(*parts: str) -> Path:
    """A file of the public data sets: below `$SHOKUNIN_DATA`, by default `../shared/data` beside the repository."""
    path = Path(os.environ.get("SHOKUNIN_DATA", ROOT.parent / "shared" / "data")).joinpath(*parts)
    if not path.is_file():
        raise SystemExit(f"{str(path)!r} is not there; set SHOKUNIN_DATA to the folder that holds the data sets")
    return path


def read(path: Path, text: str, label: str, keep: Callable[[dict[str, str]], bool] = lambda row: True) -> list[Row]:
    """The (text, label) pairs of a CSV file, those that `keep` keeps, in the file's order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row[text], row[label]) for row in csv.DictReader(file) if keep(row)]


def official(train: Sequence[Row], test: Sequence[Row], seed: int = 0) -> tuple[Split, ...]:
    """The one split that the data set came with."""
    return (Split(seed, tuple(train), tuple(test), tuple(range(len(test)))),)


def few_shot(train: Sequence[Row], test: Sequence[Row], per_class: int, seeds: int) -> tuple[Split, ...]:
    """`per_class` training rows of each class, drawn anew for each seed; always the same test rows."""
    splits = []
    for seed in range(seeds):
        rng = random.Random(seed)
        drawn = [row for rows in _by_label(train) for row in rng.sample(rows, min(per_class, len(rows)))]
        rng.shuffle(drawn)
        splits.append(Split(seed, tuple(drawn), tuple(test), tuple(range(len(test)))))
    return tuple(splits)


def folds(rows: Sequence[Row], fold_of: Sequence[int]) -> tuple[Split, ...]:
    """Each fold is the test once."""
    splits = []
    for fold in sorted(set(fold_of)):
        test = [i for i, f in enumerate(fold_of) if f == fold]
        train = [row for row, f in zip(rows, fold_of, strict=True) if f != fold]
        splits.append(Split(fold, tuple(train), tuple(rows[i] for i in test), tuple(test)))
    return tuple(splits)


def stratified_folds(rows: Sequence[Row], count: int, seed: int = 0) -> list[int]:
    """A fold number for each row; every class is spread evenly."""
    rng = random.Random(seed)
    fold_of = [0] * len(rows)
    places = defaultdict(list)
    for i, (_, label) in enumerate(rows):
        places[label].append(i)
    start = 0
    for label in sorted(places):
        rng.shuffle(places[label])
        for n, i in enumerate(places[label]):
            fold_of[i] = (start + n) % count
        start += len(places[label])
    return fold_of


def digest(split: Split) -> str:
    """Names the test rows of a split: two runs with the same digest can be compared row by row."""
    content = "\x1e".join(
        f"{i}\x1f{text}\x1f{label}" for i, (text, label) in zip(split.test_ids, split.test, strict=True)
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def shrink(setting: Setting, train: int = 240, test: int = 120, classes: int = 4) -> Setting:
    """A small piece of a setting, to see whether the scripts run; its figures mean nothing."""
    labels = {label for _, label in sorted(setting.splits[0].train, key=lambda row: row[1])}
    kept = set(sorted(labels)[:classes])
    small = []
    for split in setting.splits[:1]:
        tested = [(i, row) for i, row in zip(split.test_ids, split.test, strict=True) if row[1] in kept]
        tested = random.Random(0).sample(tested, min(test, len(tested)))
        learnt = [row for row in split.train if row[1] in kept]
        learnt = random.Random(0).sample(learnt, min(train, len(learnt)))
        small.append(Split(split.seed, tuple(learnt), tuple(row for _, row in tested), tuple(i for i, _ in tested)))
    return replace(setting, splits=tuple(small))


def _by_label(rows: Sequence[Row]) -> list[list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[1]].append(row)
    return [groups[label] for label in sorted(groups)]
