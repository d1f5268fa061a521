"""HWU64: 64 intents of requests to a home assistant; fold 1 of the authors, the usual split."""

from benchmarks.rows import Setting, data_file, official, read

PUBLISHED = "USE+ConveRT 0.926, BERT-large tuned 0.921 (Casanueva et al. 2020)"


def settings(seeds: int) -> list[Setting]:
    train = read(data_file("hwu64", "train.csv"), "text", "intent")
    test = read(data_file("hwu64", "test.csv"), "text", "intent")
    return [Setting("official fold", official(train, test), "official", published=PUBLISHED)]
