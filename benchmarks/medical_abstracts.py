"""Medical abstracts: five classes of conditions, one overlapping all others; the folds of the data's `fold` column."""

import csv

from benchmarks.rows import Setting, data_file, folds


def settings(seeds: int) -> list[Setting]:
    with data_file("medical_abstracts", "abstracts.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    rows = [(row["text"], row["label"]) for row in table]
    return [Setting("5 folds", folds(rows, [int(row["fold"]) for row in table]), "folds")]
