"""SIB-200: the topic of a sentence, seven topics, the same sentences in Japanese and English; train and dev to test."""

from benchmarks.rows import Setting, data_file, official, read

LANGUAGES = {"Japanese": ("jpn_Jpan", "GPT-4 0.833"), "English": ("eng_Latn", "GPT-4 0.804")}


def settings(seeds: int) -> list[Setting]:
    made = []
    for name, (code, published) in LANGUAGES.items():
        part = {
            p: read(data_file("sib200_ja_en", f"{code}_{p}.csv"), "text", "category") for p in ("train", "dev", "test")
        }
        made.append(Setting(name, official(part["train"] + part["dev"], part["test"]), "official", published=published))
    return made
