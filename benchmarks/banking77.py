"""BANKING77: 77 intents of online-banking inquiries; the whole official training part, and ten rows a class."""

from benchmarks.rows import Setting, data_file, few_shot, official, read

PUBLISHED = (
    "BERT-large tuned 0.937, USE+ConveRT 0.934 (Casanueva et al. 2020); bge-small + LinearSVC 0.931 (model card)"
)
PUBLISHED_10 = "CPFT 0.872, IntentBERT 0.839 (10 a class)"


def settings(seeds: int) -> list[Setting]:
    train = read(data_file("banking77", "train.csv"), "text", "category")
    test = read(data_file("banking77", "test.csv"), "text", "category")
    return [
        Setting("full", official(train, test), "official", published=PUBLISHED),
        Setting("10 per class", few_shot(train, test, 10, seeds), "seeds", few_shot=True, published=PUBLISHED_10),
    ]
