"""Specialist: weights, side files, lineage and threshold in one immutable folder; never changed, only derived.

```
<name>/<version>/
├── manifest.json        task, labels, weights, dataset digest, steps, licences; size and SHA-256 of every other file
├── weights/             the model files, in one of the known formats
├── side_files/          what the kind's codec needs; golden.json: sample inputs with the answers they must get
├── report.json          the proof
├── report.html          the proof, for people
└── card.md              the model card
```

The manifest's own `digest` is the SHA-256 of the rest of it, so one number stands for every byte of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict, cast, overload

from shokunin.answer import Answer, Inputs, Predictor
from shokunin.errors import ArtefactError, TaskError, UsageError
from shokunin.files import contained, read_json, sha256_of, write_json
from shokunin.forms import Form
from shokunin.task import Task, task_from_dict
from shokunin.weights import Format, Weights

MANIFEST = "manifest.json"
FORMAT = 1
ALLOWED = frozenset({".json", ".jsonl", ".txt", ".md", ".html", ".toml", ".safetensors", ".onnx", ".gguf"})
MANIFEST_LIMIT = 32 << 20
"""No manifest has more bytes than this; a larger one is not read."""

LAST_VERSION = 999_999_999

_NAME = re.compile(r"[a-z0-9_-]{1,100}")


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
    def digest(self) -> str:
        """SHA-256 over the manifest and with it over every file: the identity of its content."""
        return str(self.manifest["digest"])

    @property
    def side_files(self) -> Path:
        """The folder that the kind's codec reads."""
        return self.folder / "side_files"

    @overload
    def predict(self, inputs: str | Inputs) -> Answer: ...  # type: ignore[overload-overlap]  # a str is a sequence of str
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


class Golden(TypedDict):
    """A sample input and what the specialist answered to it before it was published."""

    inputs: dict[str, str]
    value: str | None
    confidence: float


def seal(folder: Path, manifest: Mapping[str, Any]) -> Specialist:
    """Finish the specialist in `folder`: record the size and SHA-256 of every file in the manifest and write it, last.

    Args:
        folder: weights/, side_files/, reports and card are in it already.
        manifest: at least `name`, `version`, `task`, `labels` and `weights` (`form`, `format`, `exact`, `facts`).

    Raises:
        ArtefactError: a file is a link, badly named or of a kind that is never loaded; the manifest lacks something.
    """
    content = {k: v for k, v in json.loads(json.dumps(manifest)).items() if k not in ("format", "files", "digest")}
    made = dict(_files(folder))
    made.pop(MANIFEST, None)
    files = {name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for name, path in made.items()}
    sealed = {"format": FORMAT, **content, "files": files}
    specialist = _from_manifest(folder, {**sealed, "digest": _digest(sealed)})
    write_json(folder / MANIFEST, specialist.manifest)
    return specialist


def read_specialist(folder: Path, *, verify: bool = True) -> Specialist:
    """The specialist in `folder`, after checking that it is whole and unchanged.

    Args:
        folder: a folder with a manifest.json.
        verify: compare the SHA-256 of every file; otherwise only names, kinds and sizes.

    Raises:
        ArtefactError: a file is missing, changed, unknown or of a kind that is never loaded; the message names it.
    """
    if not (folder / MANIFEST).is_file() or (folder / MANIFEST).is_symlink():
        raise ArtefactError(f"{str(folder)!r} is not a specialist: it has no {MANIFEST}")
    manifest = read_json(folder / MANIFEST, limit=MANIFEST_LIMIT)
    where = str(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtefactError(f"{where!r} is not of format {FORMAT}; update shokunin to read it")
    if manifest.get("digest") != _digest(manifest):
        raise ArtefactError(f"{where!r} was changed after publication; restore the folder from a copy")
    verify_files(folder, manifest, digests=verify)
    return _from_manifest(folder, manifest)


def verify_files(folder: Path, manifest: Mapping[str, Any], *, digests: bool = True) -> None:
    """Check every file of the folder against the manifest: none missing, changed, added, linked or of a forbidden kind.

    Raises:
        ArtefactError: naming the first file that is not as it should be.
    """
    where, restore = repr(str(folder)), "restore the folder from a copy"
    expected = manifest.get("files")
    if not isinstance(expected, dict) or not all(_is_record(r) for r in expected.values()):
        raise ArtefactError(f"{str(folder / MANIFEST)!r} does not list its files as it should; {restore}")
    present = dict(_files(folder))
    present.pop(MANIFEST, None)
    for name in present:
        if name not in expected:
            raise ArtefactError(f"{name!r} in {where} is not in the manifest; remove it, or {restore}")
    for name, record in expected.items():
        if name not in present:
            raise ArtefactError(f"{name!r} is missing from {where}; {restore}")
        if present[name].stat().st_size != record["bytes"]:
            raise ArtefactError(f"{name!r} in {where} was changed after publication (another size); {restore}")
        if digests and sha256_of(present[name]) != record["sha256"]:
            raise ArtefactError(f"{name!r} in {where} was changed after publication; {restore}")


def read_golden(specialist: Specialist) -> list[Golden]:
    """The sample inputs of a specialist with the answers it must give to them.

    Raises:
        ArtefactError: `side_files/golden.json` is missing, empty or not as it should be.
    """
    path = specialist.side_files / "golden.json"
    value = read_json(path, limit=MANIFEST_LIMIT)
    try:
        golden = [Golden(inputs=dict(g["inputs"]), value=g["value"], confidence=float(g["confidence"])) for g in value]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ArtefactError(f"{str(path)!r} lacks or garbles {error}; restore the folder from a copy") from error
    if not golden:
        raise ArtefactError(f"{str(path)!r} has no sample; a specialist that cannot be checked at load is not used")
    return golden


def known_name(name: str) -> bool:
    """Whether `name` can be the name of a specialist or of an alias."""
    return _NAME.fullmatch(name) is not None


def _from_manifest(folder: Path, manifest: dict[str, Any]) -> Specialist:
    where = repr(str(folder / MANIFEST))
    try:
        about, told = manifest["weights"], manifest["task"]
        name, version, labels = manifest["name"], manifest["version"], manifest["labels"]
        form, weights_format, exact, facts = (about[key] for key in ("form", "format", "exact", "facts"))
        fine = isinstance(told, dict) and isinstance(facts, dict) and isinstance(exact, bool)
        if not fine or not isinstance(form, str) or not isinstance(weights_format, str):
            raise ArtefactError(f"{where} has `weights` or a `task` of the wrong type; restore the folder from a copy")
        task = task_from_dict(told, where=where)
    except (KeyError, TypeError, ValueError, TaskError) as error:
        raise ArtefactError(f"{where} lacks or garbles {error}; restore the folder from a copy") from error
    if not isinstance(name, str) or not known_name(name):
        raise ArtefactError(f"{where} has the name {name!r}; expected 1 to 100 lower case letters, digits, '-' and '_'")
    if type(version) is not int or not 0 < version <= LAST_VERSION:
        raise ArtefactError(f"{where} has the version {version!r}; versions are 1, 2, 3 …")
    if not isinstance(labels, (list, tuple)) or not all(isinstance(label, str) for label in labels):
        raise ArtefactError(f"{where} has no list of labels; restore the folder from a copy")
    weights = Weights(folder / "weights", cast(Form, form), cast(Format, weights_format), exact, facts)
    return Specialist(name, version, folder, task, tuple(labels), weights, manifest)


def _digest(manifest: Mapping[str, Any]) -> str:
    content = {k: v for k, v in manifest.items() if k != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and type(value.get("bytes")) is int and isinstance(value.get("sha256"), str)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below `folder` by relative POSIX path, in order.

    Raises:
        ArtefactError: at a link, a device, a badly named file or one of a kind that is never loaded.
    """
    for path in sorted(_walk(folder)):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ArtefactError(f"{name!r} in {str(folder)!r} is a link; a specialist holds its own files")
        if not path.is_file():
            raise ArtefactError(f"{name!r} in {str(folder)!r} is not an ordinary file; remove it")
        if path.suffix not in ALLOWED:
            ending = repr(path.suffix) if path.suffix else "no ending"
            raise ArtefactError(f"{name!r} in {str(folder)!r} is of a kind that is never loaded ({ending}); remove it")
        if not contained(name):
            raise ArtefactError(f"{name!r} in {str(folder)!r} is not a name that every computer can keep; rename it")
        yield name, path


def _walk(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError as error:
        raise ArtefactError(f"cannot read {str(folder)!r}: {error.strerror}") from error
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)
