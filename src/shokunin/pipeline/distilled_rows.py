"""From labelled rows to a dataset to train on: the owner's rows and the teacher's, the same sealed test, groups kept whole."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from shokunin.curate.card import card_html, card_markdown
from shokunin.curate.clean import group_duplicates
from shokunin.curate.intake import NO_ANSWER, NO_LABEL
from shokunin.dataset import OWNER, Dataset, write_dataset
from shokunin.distill.extend import text_of
from shokunin.distill.label import Labelled
from shokunin.files import folder_in_making, publish_folder, write_text, writing
from shokunin.project import Project


def extended(parent: Dataset, labelled: Sequence[Labelled], about: Mapping[str, Any], *, from_file: int) -> Dataset:
    """The parent with more training rows; its validation rows, its sealed test and their count of openings stay as they are.

    Args:
        parent: the dataset of the owner's rows.
        labelled: rows that got an answer.
        about: what is said of them in the facts, with `rows_in` and `dropped`.
        from_file: how many of the rows that came in the parent's facts count as set aside for want of a label.
    """
    rows = [*parent.train, *(one.example for one in labelled)]
    given: list[str | None] = [str(e.group) for e in parent.train] + [None] * len(labelled)
    groups = group_duplicates([text_of(e.inputs, parent.task.inputs) for e in rows], given_groups=given).groups
    start = 1 + max((e.group for e in (*parent.train, *parent.validation, *parent.none)), default=-1)
    train = tuple(replace(e, group=start + int(g)) for e, g in zip(rows, groups, strict=True))
    encode = json.JSONEncoder(sort_keys=True).encode
    digest = hashlib.sha256(parent.digest.encode())
    for e in train:
        digest.update(encode([dict(e.inputs), e.expected, e.group, e.labelled_by]).encode() + b"\n")
    facts = _facts(parent, labelled, about, from_file, len(np.unique(groups)))
    return replace(parent, train=train, facts=facts, digest=digest.hexdigest())


def keep_dataset(dataset: Dataset, place: Project) -> Path:
    """The dataset's folder in the project, written unless it is there."""
    folder = place.datasets(dataset.task.name) / dataset.digest[:16]
    if not (folder / "dataset.json").is_file():
        with folder_in_making(folder.parent) as made:
            write_dataset(dataset, made)
            write_text(made / "card.md", card_markdown(dataset))
            write_text(made / "card.html", card_html(dataset))
            publish_folder(made, folder)
    return folder


def write_rows(path: Path, dataset: Dataset, labelled: Sequence[Labelled]) -> None:
    """All training rows, one a line: the inputs, the answer, `labelled_by`, `agreement` (1 for the owner's), `origin`."""
    agreement = {one.example.origin: one.agreement for one in labelled}
    with writing(path, newline="\n") as file:
        for e in dataset.train:
            share = 1.0 if e.labelled_by == OWNER else round(agreement.get(e.origin, 1.0), 4)
            row = {**e.inputs, dataset.task.target: e.expected, "labelled_by": e.labelled_by, "agreement": share}
            file.write(json.dumps({**row, "origin": e.origin}) + "\n")


def _facts(
    parent: Dataset, labelled: Sequence[Labelled], about: Mapping[str, Any], from_file: int, groups: int
) -> dict[str, Any]:
    facts = dict(parent.facts)
    rows = dict(facts["rows"])
    aside: Counter[str] = Counter(rows["set_aside"])
    aside[NO_LABEL if parent.labels else NO_ANSWER] -= from_file
    aside.update(about["dropped"])
    rows |= {
        "in": rows["in"] + about["rows_in"] - from_file,
        "used": rows["used"] + len(labelled),
        "set_aside": {reason: n for reason, n in aside.most_common() if n > 0},
    }
    counts = Counter(facts["classes"])
    if parent.labels:
        counts.update(one.example.expected or "" for one in labelled)
    split = dict(facts["split"])
    split["counts"] = {**split["counts"], "train": split["counts"]["train"] + len(labelled)}
    warnings = list(facts["warnings"])
    if not parent.validation and labelled:
        warnings.append(
            f"{len(labelled):,} of {len(parent.train) + len(labelled):,} training rows have a teacher's answers, and models are "
            "chosen and their confidence is calibrated on them too; the sealed test has the owner's answers alone"
        )
    return {
        **facts,
        "rows": rows,
        "classes": dict(counts),
        "split": split,
        "duplicates": {**facts["duplicates"], "groups": groups},
        "warnings": warnings,
        "distilled": dict(about),
    }
