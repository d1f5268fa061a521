"""SMS Spam Collection: spam or not; no official split, so every fifth row is the test, and five stratified folds."""

from benchmarks.rows import Setting, data_file, folds, official, read, stratified_folds

PUBLISHED = "SVM 0.976 (Almeida et al. 2011, another split)"


def settings(seeds: int) -> list[Setting]:
    rows = read(data_file("sms_spam", "sms.csv"), "text", "label")
    fifth = official([row for i, row in enumerate(rows) if i % 5], rows[::5])
    return [
        Setting("every fifth row", fifth, "official", published=PUBLISHED),
        Setting("5 folds", folds(rows, stratified_folds(rows, 5)), "folds", published=PUBLISHED),
    ]
