"""JRTE: Japanese sentences of hotel reviews, their polarity (pn) and whether they are about the hotel (rhr)."""

from benchmarks.rows import Setting, data_file, official, read


def settings(seeds: int) -> list[Setting]:
    made = []
    for part in ("pn", "rhr"):
        path = data_file("jrte_ja", f"{part}.csv")
        train = read(path, "text", "label", lambda row: row["usage"] in ("train", "dev"))
        test = read(path, "text", "label", lambda row: row["usage"] == "test")
        made.append(Setting(part, official(train, test), "official"))
    return made
