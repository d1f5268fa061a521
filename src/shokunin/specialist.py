"""Specialist: weights, side files, lineage and threshold in one immutable folder; never changed, only derived.

```
<name>/<version>/
├── manifest.json        who it is: task, labels, weights, dataset digest, steps, licences, and the SHA-256 of every other file
├── weights/             the model files, in one of the known formats
├── side_files/          what the kind's codec needs: labels.json, calibration.json, golden.json (sample inputs, expected outputs)
├── report.json          the proof
├── report.html          the proof, for people
└── card.md              the model card
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

from shokunin.answer import Answer, Inputs, Predictor
from shokunin.errors import ArtefactError, UsageError
from shokunin.files import read_json, sha256_of
from shokunin.task import Task, task_from_dict
from shokunin.weights import Weights

MANIFEST = "manifest.json"
FORMAT = 1
ALLOWED = frozenset({".json", ".jsonl", ".txt", ".md", ".html", ".toml", ".safetensors", ".onnx", ".gguf"})


@dataclass(frozen=True)
class Specialist:
    """A model that has mastered one task.

    Attributes:
        name: the task's name.
        version: 1, 2, 3 … within the name.
        folder: where its files are.
        task: what it was made for.
        labels: the answers it can give.
        weights: the model files.
        manifest: everything else that is recorded about it.
        predictor: what answers; `shokunin.load` puts it there.
    """

    name: str
    version: int
    folder: Path
    task: Task
    labels: tuple[str, ...]
    weights: Weights
    manifest: dict[str, Any] = field(repr=False)
    predictor: Predictor | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def side_files(self) -> Path:
        """The folder that the kind's codec reads."""
        return self.folder / "side_files"

    @overload
    def predict(self, inputs: str | Inputs) -> Answer: ...
    @overload
    def predict(self, inputs: Sequence[str | Inputs]) -> list[Answer]: ...
    def predict(self, inputs: str | Inputs | Sequence[str | Inputs]) -> Answer | list[Answer]:
        """Answer one text, one row of input fields, or a sequence of either.

        Raises:
            UsageError: the specialist was read from disk without an engine; use `shokunin.load`.
        """
        if self.predictor is None:
            raise UsageError(f"{self.id!r} was read without an engine; use shokunin.load({self.id!r})")
        if isinstance(inputs, (str, Mapping)):
            return self.predictor.predict([self._row(inputs)])[0]
        return self.predictor.predict([self._row(i) for i in inputs])

    def with_predictor(self, predictor: Predictor) -> Specialist:
        """The same specialist, able to answer."""
        return replace(self, predictor=predictor)

    def _row(self, inputs: str | Inputs) -> Inputs:
        return {self.task.inputs[0]: inputs} if isinstance(inputs, str) else inputs


def read_specialist(folder: Path, *, verify: bool = True) -> Specialist:
    """The specialist in `folder`, after checking that it is whole and unchanged.

    Raises:
        ArtefactError: a file is missing, changed, unknown or of a kind that is never loaded; the message names it.
    """
    if not (folder / MANIFEST).is_file():
        raise ArtefactError(f"{str(folder)!r} is not a specialist: it has no {MANIFEST}")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtefactError(f"{str(folder / MANIFEST)!r} is not of format {FORMAT}; update shokunin to read it")
    if verify:
        verify_files(folder, manifest)
    try:
        about = manifest["weights"]
        weights = Weights(folder / "weights", about["form"], about["format"], about["exact"], about["facts"])
        task = task_from_dict(manifest["task"], where=repr(str(folder / MANIFEST)))
        return Specialist(
            manifest["name"], int(manifest["version"]), folder, task, tuple(manifest["labels"]), weights, manifest
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{str(folder / MANIFEST)!r} lacks or garbles {error}; restore the folder from a copy") from error


def verify_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check every file of the folder against the manifest: none missing, changed, added, linked or of a forbidden kind.

    Raises:
        ArtefactError: naming the first file that is not as it should be.
    """
    expected = manifest.get("files")
    if not isinstance(expected, dict):
        raise ArtefactError(f"{str(folder / MANIFEST)!r} lists no files; restore the folder from a copy")
    present = set()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ArtefactError(f"{name!r} in {str(folder)!r} is a link; a specialist holds its own files")
        if path.is_dir() or name == MANIFEST:
            continue
        if path.suffix not in ALLOWED:
            raise ArtefactError(f"{name!r} in {str(folder)!r} is of a kind that is never loaded ({path.suffix or 'no ending'!r}); remove it")
        if name not in expected:
            raise ArtefactError(f"{name!r} in {str(folder)!r} is not in the manifest; remove it, or restore the folder from a copy")
        present.add(name)
    for name, digest in expected.items():
        if name not in present:
            raise ArtefactError(f"{name!r} is missing from {str(folder)!r}; restore the folder from a copy")
        if sha256_of(folder / name) != digest:
            raise ArtefactError(f"{name!r} in {str(folder)!r} was changed after publication; restore the folder from a copy")


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below `folder` but the manifest, by relative POSIX path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in files}
