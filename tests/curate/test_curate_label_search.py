"""The search for wrong labels is an extra: where it cannot work, the dataset is made all the same and says why."""

from __future__ import annotations

import numpy as np
import pytest

from rows import rows
from shokunin.curate.build import build_dataset
from shokunin.curate.card import card_markdown
from shokunin.dataset import Example
from shokunin.errors import DataError
from shokunin.task import Task


@pytest.mark.parametrize("error", [DataError("too few groups of rows"), ValueError("empty vocabulary")])
def test_a_search_that_cannot_work_is_skipped_with_its_reason(error: Exception) -> None:
    def out_of_fold(texts: object, labels: object, groups: object) -> np.ndarray:
        raise error

    examples = [Example({"text": r["text"]}, r["label"], f"rows:{i}") for i, r in enumerate(rows(80))]
    dataset = build_dataset(Task("inquiries"), examples, out_of_fold=out_of_fold)
    assert dataset.facts["label_error_search"] == {"searched": 0, "skipped": str(error)}
    assert dataset.facts["label_errors"] == []
    assert f"not searched for: {error}." in card_markdown(dataset)
