"""A token tagger's fields as a file, and the windows in which documents are read: the same in training and serving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shokunin.errors import ArtefactError
from shokunin.fields.read_tokens import Window, windows
from shokunin.fields.tagged import TaggedField, tagged_from_dict, tagged_to_dict
from shokunin.files import read_json, write_json

FILE = "tagger.json"
VERSION = 1


@dataclass(frozen=True)
class Tagger:
    """What is known beside the encoder.

    Attributes:
        fields: all fields, in the order of the answer; lists are never found.
        room: tokens of a document in one window, special tokens not included.
        overlap: tokens that neighbouring windows share.
    """

    fields: tuple[TaggedField, ...]
    room: int
    overlap: int

    @property
    def read(self) -> tuple[TaggedField, ...]:
        """The fields of one value, in the order of their scores."""
        return tuple(f for f in self.fields if f.field.type != "list")

    def windows(self, tokens: int) -> list[Window]:
        """The windows of a document of so many tokens."""
        return windows(tokens, self.room, self.overlap)


def save_tagger(tagger: Tagger, folder: Path) -> None:
    """Write `tagger.json` into the existing folder."""
    kept = [tagged_to_dict(field) for field in tagger.fields]
    write_json(folder / FILE, {"version": VERSION, "room": tagger.room, "overlap": tagger.overlap, "fields": kept})


def load_tagger(folder: Path) -> Tagger:
    """What `save_tagger` wrote.

    Raises:
        ArtefactError: it is missing or damaged.
    """
    kept = read_json(folder / FILE)
    try:
        if kept["version"] != VERSION:
            raise ArtefactError(
                f"{str(folder)!r} holds a tagger of version {kept['version']!r}; this release reads {VERSION}"
            )
        tagger = Tagger(tuple(map(tagged_from_dict, kept["fields"])), int(kept["room"]), int(kept["overlap"]))
        if not 0 <= tagger.overlap < tagger.room:
            raise ValueError(f"windows of {tagger.room} tokens cannot share {tagger.overlap}")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ArtefactError(f"the tagger in {str(folder)!r} is damaged: {error}") from error
    return tagger
