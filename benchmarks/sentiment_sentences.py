"""Sentiment of 3,000 sentences from product, film and restaurant reviews; five stratified folds."""

from benchmarks.rows import Setting, data_file, folds, read, stratified_folds

PUBLISHED = "0.86 to 0.88 by site (Kotzias et al. 2015)"


def settings(seeds: int) -> list[Setting]:
    rows = read(data_file("sentiment_sentences", "sentences.csv"), "text", "label")
    return [Setting("5 folds", folds(rows, stratified_folds(rows, 5)), "folds", published=PUBLISHED)]
