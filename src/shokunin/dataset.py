"""Example and Dataset: curated rows with a fixed split, the test rows sealed.

On disk a dataset is a folder `datasets/<digest>/` that a person can read: `dataset.json` (facts, counts, digests),
`train.jsonl`, `validation.jsonl`, `test.jsonl` (one example a line), `none.jsonl` (rows labelled "none of these"),
`card.md`, `card.html`, and `openings.jsonl`, one line each time the test rows were opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shokunin.answer import Inputs
from shokunin.errors import ArtefactError
from shokunin.files import read_json, sha256_of, write_json
from shokunin.task import Task, task_from_dict, task_to_dict

Part = Literal["train", "validation", "test", "none"]
PARTS: tuple[Part, ...] = ("train", "validation", "test", "none")
OPENINGS = "openings.jsonl"
OWNER = "owner"
"""Who has labelled a row where no model has."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of work.

    Attributes:
        inputs: the input fields by name.
        expected: the answer it should get, or None when nobody has said.
        origin: where it came from, `file:row` with the header as row 1.
        group: rows with the same number stay on one side of every split.
        labelled_by: `owner`, or the name of the model that labelled it.
        problem: why it cannot be used, as far as its kind can tell; such a row is set aside and never written.
    """

    inputs: Inputs
    expected: str | None
    origin: str
    group: int = 0
    labelled_by: str = OWNER
    problem: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Curated rows. The split was decided when it was built; nothing here changes afterwards.

    Attributes:
        task: what is asked of the rows.
        labels: the k label names, sorted.
        train: rows to learn from.
        validation: rows to choose by and to set thresholds on; empty where few rows force this to be done out of fold.
        none: rows labelled "none of these", of the training side.
        facts: counts in and out with reasons, how it was split, duplicates, leaks, label-error candidates, personal
            data, languages; what the data card shows.
        sealed: the test rows.
        digest: SHA-256 over task and all examples with their split, 64 hexadecimal digits.
    """

    task: Task
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    none: tuple[Example, ...]
    facts: dict[str, Any]
    sealed: SealedRows
    digest: str


@dataclass
class SealedRows:
    """The test rows; opening them is counted and, for a dataset on disk, written down."""

    count: int
    _rows: tuple[Example, ...] | None = field(default=None, repr=False)
    _folder: Path | None = field(default=None, repr=False)
    _openings: int = 0

    def open(self, why: str) -> tuple[Example, ...]:
        """The test rows, "none of these" rows included (their `expected` is in the task's `none_labels`).

        Only `prove` calls this.
        """
        self._openings += 1
        if self._folder is not None:
            log_opening(self._folder, why)
        if self._rows is None:
            assert self._folder is not None
            self._rows = tuple(read_examples(self._folder / "test.jsonl"))
        return self._rows

    def openings(self) -> int:
        """How often these test rows were opened, also as those of another dataset of the project.

        The same rows under another name, metric or target are another dataset, but no fresh test.
        """
        if self._folder is None:
            return self._openings
        return count_openings(_same_test(self._folder))

    def copy_to(self, path: Path) -> None:
        """Write the test rows to another file; nobody looks at them, so it is no opening."""
        if self._rows is not None:
            write_examples(path, self._rows)
        elif self._folder is not None:
            shutil.copyfile(self._folder / "test.jsonl", path)

    def file(self) -> Path | None:
        """The file with the test rows, if the dataset is on disk."""
        return None if self._folder is None else self._folder / "test.jsonl"


def log_opening(folder: Path, why: str) -> None:
    """Write down beside what is sealed that it was opened."""
    with (folder / OPENINGS).open("a", encoding="utf-8") as log:
        log.write(json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "why": why}) + "\n")
        log.flush()
        os.fsync(log.fileno())


def count_openings(folders: Iterable[Path]) -> int:
    """How often what is sealed in these folders was opened, together."""
    return sum(_lines(folder / OPENINGS) for folder in folders)


def _same_test(folder: Path) -> set[Path]:
    """The folders beside this one, and of the project's other tasks, whose test rows are the same to the byte."""
    own = folder.resolve()
    about = [*own.parent.glob("*/dataset.json")]
    if own.parent.name == "datasets" and len(own.parents) > 2:
        about += own.parents[2].glob("*/datasets/*/dataset.json")
    test = _test_digest(own / "dataset.json")
    return {own, *(path.parent.resolve() for path in about if test is not None and _test_digest(path) == test)}


def _test_digest(path: Path) -> str | None:
    """The SHA-256 of a dataset's test rows as it was written down; None where it cannot be read."""
    try:
        return str(read_json(path)["sha256"]["test.jsonl"])
    except (ArtefactError, KeyError, TypeError):
        return None


def _lines(path: Path) -> int:
    return sum(1 for line in path.read_text(encoding="utf-8").split("\n") if line) if path.exists() else 0


def judging_none(dataset: Dataset, seed: int) -> tuple[Example, ...]:
    """The "none of these" rows that belong beside the rows a model is judged on, in their order.

    `none` holds those of the whole training side. Where only its validation part judges, all of them would count several
    times too much, so a random share as large as that part is drawn.
    """
    if not dataset.validation:
        return dataset.none
    share = len(dataset.validation) / (len(dataset.validation) + len(dataset.train))
    drawn = random.Random(seed).sample(range(len(dataset.none)), round(share * len(dataset.none)))
    return tuple(dataset.none[i] for i in sorted(drawn))


def digest_of(task: Task, parts: dict[Part, tuple[Example, ...]]) -> str:
    """The name of a dataset: SHA-256 over its task and every example with the side it stands on."""
    digest = hashlib.sha256(json.dumps(task_to_dict(task), sort_keys=True).encode())
    encode = json.JSONEncoder(sort_keys=True).encode  # one encoder for all rows
    for part in PARTS:
        for example in parts[part]:
            line = [part, dict(example.inputs), example.expected, example.group]
            digest.update(encode(line).encode() + b"\n")
    return digest.hexdigest()


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """One example a line, ASCII-safe, so that no character of the data can look like a line end."""
    encode = json.JSONEncoder().encode
    with path.open("w", encoding="ascii", newline="\n") as file:
        for e in examples:
            row = {
                "inputs": dict(e.inputs),
                "expected": e.expected,
                "origin": e.origin,
                "group": e.group,
                "by": e.labelled_by,
            }
            file.write(encode(row) + "\n")


def read_examples(path: Path) -> Iterator[Example]:
    """The examples of one part of a dataset.

    Raises:
        ArtefactError: the file is missing or a line is not an example.
    """
    number = 0
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                number += 1
                row = json.loads(line)
                yield Example(row["inputs"], row["expected"], row["origin"], row["group"], row["by"])
    except OSError as error:
        raise ArtefactError(f"cannot read {str(path)!r}; run `shokunin curate` on the rows again") from error
    except (ValueError, KeyError, TypeError) as error:
        where = f"{str(path)!r}, line {number}"
        raise ArtefactError(f"{where}: not an example; run `shokunin curate` on the rows again") from error


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """Write the dataset's files into the existing, empty `folder` (the caller moves it into place)."""
    write_examples(folder / "train.jsonl", dataset.train)
    write_examples(folder / "validation.jsonl", dataset.validation)
    write_examples(folder / "none.jsonl", dataset.none)
    dataset.sealed.copy_to(folder / "test.jsonl")
    about = {"format": 1, "digest": dataset.digest, "task": task_to_dict(dataset.task), "labels": list(dataset.labels)}
    about["sha256"] = {f"{part}.jsonl": sha256_of(folder / f"{part}.jsonl") for part in PARTS}
    write_json(folder / "dataset.json", {**about, "test_rows": dataset.sealed.count, "facts": dataset.facts})


def read_dataset(folder: Path) -> Dataset:
    """A dataset from its folder; the test rows stay sealed (their file is checked, not opened).

    Raises:
        ArtefactError: a file is missing, damaged, or was changed after the dataset was built.
    """
    about = read_json(folder / "dataset.json")
    for name, digest in about.get("sha256", {}).items():
        path = folder / Path(name).name
        if not path.is_file() or sha256_of(path) != digest:
            raise ArtefactError(
                f"{str(path)!r} is missing or was changed after the dataset was built; "
                "run `shokunin curate` on the rows again"
            )
    return Dataset(
        task=task_from_dict(about["task"], where=repr(str(folder / "dataset.json"))),
        labels=tuple(about["labels"]),
        train=tuple(read_examples(folder / "train.jsonl")),
        validation=tuple(read_examples(folder / "validation.jsonl")),
        none=tuple(read_examples(folder / "none.jsonl")),
        facts=about["facts"],
        sealed=SealedRows(count=int(about["test_rows"]), _folder=folder),
        digest=about["digest"],
    )
