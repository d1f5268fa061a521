"""The shelf of published specialists: `<shelf>/<name>/<version>/`, and which version each alias means.

A version folder appears at once, complete and verified, and never changes; which version an alias means is in
`aliases.json` beside the versions. All changes are made under a lock that the kernel releases when its holder dies. A
version that is being made is a folder `.making-<version>-…`: it claims its number while its maker lives, is never
listed, and is swept away afterwards. What an archive may hold is in `archive.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from shokunin.errors import ArtefactError, ProjectError, ShokuninError
from shokunin.fields.schema import fields_of
from shokunin.files import (
    MAKING,
    exclusive,
    folder_in_making,
    publish_folder,
    read_json,
    sweep_folders,
)
from shokunin.registry.aliases import Aliases, changing, read_aliases, sweep_halves
from shokunin.registry.archive import pack, unpack
from shokunin.specialist import ALLOWED, MANIFEST, Specialist, known_name, read_golden, read_specialist
from shokunin.specialist import seal as seal

CHAMPION = "champion"
LOCK = ".lock"

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_CLAIM = re.compile(re.escape(MAKING) + r"([1-9][0-9]{0,8})-.*")


@dataclass(frozen=True)
class Summary:
    """One published version, as a line of a list.

    Attributes:
        name: the specialist's name.
        version: 1, 2, 3 …
        aliases: the aliases that mean it, sorted.
        folder: where it is.
        damaged: why it cannot be used, or None. Names, kinds and sizes of files are checked here, not their digests.
        created: when it was made, UTC.
        kind: the kind of work.
        learner: the learner that made its weights.
        verdict: `pass` or `fail`, from its report.
        metric: what the verdict is about.
        score: the metric with its 95 % interval: `value`, `low`, `high`.
        size_bytes: all files together.
        digest: SHA-256 that stands for every byte of it.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    folder: Path
    damaged: str | None = None
    created: str | None = None
    kind: str | None = None
    learner: str | None = None
    verdict: str | None = None
    metric: str | None = None
    score: dict[str, float] | None = None
    size_bytes: int | None = None
    digest: str | None = None


@contextmanager
def making(
    shelf: Path, name: str, *, version: int | None = None, digest: str | None = None
) -> Iterator[tuple[Path, int]]:
    """A scratch folder on the shelf and the version number that is kept for it until the end of the block.

    Args:
        shelf: the folder of all specialists.
        name: the specialist's name.
        version: take this number if it is free; otherwise, and by default, the next one.
        digest: of the specialist that wants `version`; a removed version's number is free only for the same one.
    """
    home = shelf / _checked(name)
    with ExitStack() as stack:
        with exclusive(home / LOCK):
            sweep_folders(home)  # so that a dead maker's number is free again
            removed = read_aliases(home).removed
            taken = {*versions(shelf, name), *_claimed(home)}
            free = version not in taken and removed.get(version or 0, digest) == digest
            number = version if version and free else max({*taken, *removed}, default=0) + 1
            folder = stack.enter_context(folder_in_making(home, f"{MAKING}{number}-"))
        yield folder, number


def next_version(shelf: Path, name: str) -> int:
    """The number after every version that is published, being made, or was removed; a number is never used twice."""
    home = shelf / _checked(name)
    return max({*versions(shelf, name), *_claimed(home), *read_aliases(home).removed}, default=0) + 1


def publish(made: Path, shelf: Path, name: str, version: int) -> Specialist:
    """Move the sealed folder `made` to its place on the shelf, at once; its files become read-only.

    Raises:
        ArtefactError: the folder is not sealed, was changed since, or has no golden samples.
        ProjectError: it says another name or version, that version exists already, or the disk is full.
    """
    specialist = read_specialist(made)
    read_golden(specialist)
    if (specialist.name, specialist.version) != (_checked(name), version):
        raise ProjectError(
            f"the manifest in {str(made)!r} says {specialist.id!r}, not '{name}@{version}'; seal it again"
        )
    home = shelf / name
    with exclusive(home / LOCK):
        publish_folder(made, home / str(version), read_only=True)
    return read_specialist(home / str(version), verify=False)


def versions(shelf: Path, name: str) -> list[int]:
    """The published versions of a name, oldest first."""
    home = shelf / name
    if not home.is_dir():
        return []
    return sorted(int(p.name) for p in home.iterdir() if _VERSION.fullmatch(p.name) and p.is_dir())


def list_specialists(shelf: Path) -> list[Summary]:
    """Every published version, by name and version; a damaged one is listed with the reason."""
    if not shelf.is_dir():
        return []
    names = sorted(p.name for p in shelf.iterdir() if p.is_dir() and known_name(p.name))
    return [summary(shelf, name, version) for name in names for version in versions(shelf, name)]


def summary(shelf: Path, name: str, version: int) -> Summary:
    """What a list says about one version."""
    folder = shelf / name / str(version)
    meant: tuple[str, ...] = ()
    try:
        meant = tuple(sorted(alias for alias, v in aliases(shelf, name).items() if v == version))
        specialist = _on_shelf(folder, verify=False)
        proof = _proof(folder)
    except ShokuninError as error:
        return Summary(name, version, meant, folder, damaged=str(error))
    manifest = specialist.manifest
    steps = manifest.get("steps")
    learners = (
        [s["learner"] for s in steps if isinstance(s, dict) and "learner" in s] if isinstance(steps, list) else []
    )
    return Summary(
        name,
        version,
        meant,
        folder,
        created=None if manifest.get("created") is None else str(manifest["created"]),
        kind=specialist.task.kind,
        learner=str(learners[-1]) if learners else None,
        size_bytes=sum(record["bytes"] for record in manifest["files"].values()),
        digest=specialist.digest,
        **proof,
    )


def find(shelf: Path, reference: str | Path) -> Path:
    """The folder that a reference means.

    Args:
        shelf: the folder of all specialists.
        reference: `name` (its champion, else its newest version), `name@3`, `name@champion`, or a specialist's folder.

    Raises:
        ProjectError: there is no such name, version or alias; the message says which there are.
    """
    text = str(reference)
    name, at, which = text.partition("@")
    named = not isinstance(reference, Path) and known_name(name) and (known_name(which) or not at)
    if named and (there := versions(shelf, name)):
        return shelf / name / str(_meant(shelf, name, which, there))
    if _has_manifest(Path(text)):
        folder = Path(text).resolve()  # however it is written, a place on the shelf is known as one
        on_shelf = folder.parent.parent == shelf.resolve()
        return shelf / folder.parent.name / folder.name if on_shelf else folder
    if named:
        raise _unknown_name(shelf, name)
    raise ProjectError(f"{text!r} is no specialist; expected NAME, NAME@3, NAME@champion or a folder with {MANIFEST}")


def read(shelf: Path, reference: str | Path, *, verify: bool = True) -> Specialist:
    """The specialist that a reference means, after checking that it is whole, unchanged and in its own place.

    Args:
        shelf: the folder of all specialists.
        reference: as for `find`.
        verify: compare the SHA-256 of every file; otherwise only names, kinds and sizes.

    Raises:
        ProjectError: there is no such specialist.
        ArtefactError: a file is missing, changed, added or of a kind that is never loaded; the message names it.
    """
    folder = find(shelf, reference)
    return _on_shelf(folder, verify=verify) if folder.parent.parent == shelf else read_specialist(folder, verify=verify)


def verify(shelf: Path, reference: str | Path) -> Specialist:
    """`read`, and its golden samples are there as well; they are asked again when it is opened."""
    specialist = read(shelf, reference)
    read_golden(specialist)
    return specialist


def aliases(shelf: Path, name: str) -> dict[str, int]:
    """Which version each alias of a name means."""
    return dict(read_aliases(shelf / _checked(name)).aliases)


def set_alias(shelf: Path, name: str, alias: str, version: int | None, *, at: float | None = None) -> int | None:
    """Let `alias` mean `version` (None: nothing any more) and return what it meant before.

    Args:
        shelf: the folder of all specialists.
        name: the specialist's name.
        alias: for instance `champion` or `candidate`; not a number.
        version: must be whole: every byte of it is checked first.
        at: seconds since 1970 for the log; by default now.

    Raises:
        ProjectError: the alias is a number or badly named, or there is no such version.
        ArtefactError: the version is damaged.
    """
    if not known_name(alias) or alias.isdigit():
        raise ProjectError(f"an alias has lower case letters, digits, '-' and '_' and is no number, unlike {alias!r}")
    if version is not None:
        verify(shelf, f"{_checked(name)}@{version}")
    with _changing(shelf, name) as state:
        before = state.aliases.get(alias)
        if version is not None and version not in versions(shelf, name):
            raise ProjectError(f"'{name}@{version}' was removed in the meantime; nothing was changed")
        if version == before:
            return before
        if before is not None:
            state.before.setdefault(alias, []).append(before)
        state.point(alias, version, "set", at)
    return before


def promote(shelf: Path, name: str, version: int, *, at: float | None = None) -> int | None:
    """Make `version` the champion and return the version that was it before; raises as `set_alias` does."""
    return set_alias(shelf, name, CHAMPION, version, at=at)


def differs(shelf: Path, new: Specialist) -> str | None:
    """How the work of `new` differs from that of its name's champion, or None: then it can take the champion's place.

    A caller of the champion relies on its input fields and its labels. Where they differ, a person has to decide.
    """
    version = aliases(shelf, new.name).get(CHAMPION)
    if version is None or version == new.version:
        return None
    try:
        champion = read(shelf, f"{new.name}@{version}", verify=False)
    except (ArtefactError, ProjectError):
        return None  # what cannot be read cannot answer either
    if set(champion.task.inputs) != set(new.task.inputs):
        return f"{champion.id!r} reads {_few(champion.task.inputs)}, {new.id!r} reads {_few(new.task.inputs)}"
    if champion.task.kind != new.task.kind:
        return f"{champion.id!r} is of kind {champion.task.kind!r}, {new.id!r} of {new.task.kind!r}"
    told = [s.task.options.get("fields") for s in (champion, new)]
    fields = [{field.name for field in fields_of(one)} if one else set() for one in told]
    if fields[0] != fields[1]:
        return f"{champion.id!r} finds {_few(sorted(fields[0]))}, {new.id!r} finds {_few(sorted(fields[1]))}"
    gone, added = (sorted(set(a) - set(b)) for a, b in ((champion.labels, new.labels), (new.labels, champion.labels)))
    if gone or added:
        said = [f"{what} {_few(which)}" for what, which in (("lacks", gone), ("adds", added)) if which]
        return f"of the labels of {champion.id!r}, {new.id!r} {' and '.join(said)}"
    return None


def rollback(shelf: Path, name: str, *, at: float | None = None) -> int:
    """Make the champion what it was before the last promotion, one step back, and return that version.

    Raises:
        ProjectError: there is no earlier champion that still exists.
        ArtefactError: the earlier champion is damaged; nothing was changed.
    """
    with _changing(shelf, name) as state:
        earlier = [v for v in state.before.get(CHAMPION, []) if v in versions(shelf, name)]
        if not earlier:
            raise ProjectError(
                f"{name!r} has no earlier champion; `shokunin models promote {name}@VERSION` chooses one"
            )
        verify(shelf, f"{name}@{earlier[-1]}")
        state.before[CHAMPION] = earlier[:-1]
        state.point(CHAMPION, earlier[-1], "rollback", at)
    return earlier[-1]


def export(shelf: Path, reference: str | Path, file: Path) -> Specialist:
    """Write the verified specialist into one archive, the same bytes every time.

    Raises:
        UsageError: `file` exists already or ends in none of .zip, .tar.gz, .tgz.
        ArtefactError: the specialist is damaged.
    """
    specialist = verify(shelf, reference)
    pack(specialist.folder, file, top=f"{specialist.name}-{specialist.version}")
    return specialist


def import_archive(shelf: Path, file: Path) -> Specialist:
    """Publish the specialist in an archive, once verified: under its own version if that is free, else the next one.

    Under another number the manifest's `origin` says which specialist it was.

    Raises:
        UsageError: the file cannot be read.
        ArtefactError: the archive is damaged, or holds something that is refused.
        ProjectError: the disk is full.
    """
    with folder_in_making(shelf) as scratch:
        root = unpack(file, scratch, allowed=ALLOWED)
        specialist = read_specialist(root)
        wanted = specialist.version
        with making(shelf, specialist.name, version=wanted, digest=specialist.digest) as (_, version):
            if version != wanted:
                origin = {"id": specialist.id, "digest": specialist.digest}
                specialist = seal(root, {**specialist.manifest, "version": version, "origin": origin})
            return publish(root, shelf, specialist.name, version)


def remove(shelf: Path, reference: str, *, force: bool = False, at: float | None = None) -> tuple[str, int]:
    """Remove one version for good and return its name and number; its number is not used again.

    Args:
        shelf: the folder of all specialists.
        reference: `name@3` or `name@alias`; a name alone is not enough.
        force: remove the champion too.
        at: seconds since 1970 for the log; by default now.

    Raises:
        ProjectError: there is no such version, it is the champion, or the reference names none.
    """
    name, at_sign, which = reference.partition("@")
    if not (at_sign and known_name(name) and known_name(which)):
        raise ProjectError(f"say which version to remove, for instance '{name}@1', not {reference!r}")
    version = int(find(shelf, reference).name)
    home = shelf / name
    try:
        digest = _on_shelf(home / str(version), verify=False).digest
    except ArtefactError:
        digest = ""  # a damaged one can be removed, and nothing can come back as the same
    with exclusive(home / LOCK):
        with changing(home) as state:
            if state.aliases.get(CHAMPION) == version and not force:
                raise ProjectError(
                    f"'{name}@{version}' is the champion; promote another first, or remove it with --force"
                )
            for alias in [a for a, v in state.aliases.items() if v == version]:
                state.point(alias, None, "remove", at)
            state.removed[version] = digest
        with folder_in_making(home) as gone:
            (home / str(version)).rename(gone / "removed")
    return name, version


def sweep(shelf: Path) -> list[Path]:
    """Remove what killed processes left: scratch folders whose maker is gone, and half-written alias files."""
    if not shelf.is_dir():
        return []
    swept = sweep_folders(shelf)
    for home in sorted(p for p in shelf.iterdir() if p.is_dir() and known_name(p.name)):
        with exclusive(home / LOCK):  # whoever writes aliases holds it, so what lies there now is left over
            swept += sweep_folders(home)
            swept += sweep_halves(home)
    return swept


@contextmanager
def _changing(shelf: Path, name: str) -> Iterator[Aliases]:
    if not versions(shelf, _checked(name)):
        raise _unknown_name(shelf, name)
    with exclusive(shelf / name / LOCK), changing(shelf / name) as state:
        yield state


def _on_shelf(folder: Path, *, verify: bool = True) -> Specialist:
    if folder.is_symlink():
        raise ArtefactError(f"{str(folder)!r} is a link; a specialist holds its own files")
    specialist = read_specialist(folder, verify=verify)
    if (specialist.name, str(specialist.version)) != (folder.parent.name, folder.name):
        raise ArtefactError(f"{str(folder)!r} says that it is {specialist.id!r}; move it to its place or remove it")
    return specialist


def _proof(folder: Path) -> dict[str, Any]:
    """What the list shows of a report, if there is one."""
    path = folder / "report.json"
    if not path.exists():
        return {}
    report = read_json(path)
    try:
        metric, verdict = str(report["metric"]), str(report["verdict"])
        score = {end: float(report["scores"][metric][end]) for end in ("value", "low", "high")}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ArtefactError(f"{str(path)!r} lacks or garbles {error}; restore the folder from a copy") from error
    return {"verdict": verdict, "metric": metric, "score": score}


def _meant(shelf: Path, name: str, which: str, there: list[int]) -> int:
    if which.isdigit():
        if int(which) not in there:
            raise ProjectError(f"{name!r} has no version {which}; it has {', '.join(map(str, there))}")
        return int(which)
    known = aliases(shelf, name)
    version = known.get(which or CHAMPION)
    if version is None and not which:
        return there[-1]
    if version is None:
        shown = ", ".join(sorted(known)) or "none yet"
        raise ProjectError(
            f"{name!r} has no alias {which!r}{_hint(which, known)}; aliases: {shown}; versions: {_few(there)}"
        )
    if version not in there:
        raise ProjectError(
            f"'{name}@{which or CHAMPION}' means version {version}, which is not there any more; "
            f"promote another with `shokunin models promote {name}@VERSION`; versions: {_few(there)}"
        )
    return version


def _unknown_name(shelf: Path, name: str) -> ProjectError:
    names = (
        [p.name for p in shelf.iterdir() if known_name(p.name) and versions(shelf, p.name)] if shelf.is_dir() else []
    )
    if not names:
        return ProjectError(
            f"there is no specialist {name!r}: {str(shelf)!r} is empty; `shokunin train DATA` makes one"
        )
    return ProjectError(f"there is no specialist {name!r}{_hint(name, names)}; there are {_few(sorted(names))}")


def _hint(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _few(values: Sequence[object], most: int = 12) -> str:
    shown = ", ".join(map(str, values[-most:]))
    return shown if len(values) <= most else f"…, {shown}"


def _claimed(home: Path) -> set[int]:
    names = [p.name for p in home.glob(f"{MAKING}*")]
    return {int(found[1]) for name in names if (found := _CLAIM.fullmatch(name))}


def _has_manifest(folder: Path) -> bool:
    try:
        return (folder / MANIFEST).is_file()
    except (OSError, ValueError):  # too long, or with a NUL: no folder is called that
        return False


def _checked(name: str) -> str:
    if not known_name(name):
        raise ProjectError(f"a specialist's name has 1 to 100 lower case letters, digits, '-' and '_', unlike {name!r}")
    return name
