"""Handing over: a folder in `tasks/` for every task worth training, with its definition, its rows and where they came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from shokunin.discover.answers import Reading
from shokunin.discover.found import Found
from shokunin.discover.groups import Group, Grouping
from shokunin.errors import ProjectError
from shokunin.files import folder_in_making, publish_folder, remove_folder, write_json, write_text
from shokunin.progress import Progress
from shokunin.project import Project
from shokunin.recorded.call import Call
from shokunin.task import Task, task_to_toml

ROWS_FILE = "calls.jsonl"
WORTH = ("TRAIN", "TRY", "COLLECT MORE")


@dataclass
class _Folder:
    """A task's folder while it is filled."""

    found: Found
    group: Group
    task: Task
    made: Path
    rows: IO[str]
    read: Reading
    count: int = 0


def write_tasks(
    place: Project,
    handed: Sequence[tuple[Found, Group, Task]],
    grouping: Grouping,
    calls: Iterable[Call],
    progress: Progress,
) -> tuple[Path, ...]:
    """Write the folders of the tasks that are worth it; all of them, or none.

    Each has `task.toml`, `rows/calls.jsonl` (inputs, `label`, `id`, `timestamp`, `model`) and `record_ids.json`: the ids of all
    records of the task, those too that gave no row.

    Args:
        place: the project.
        handed: the tasks, their groups and definitions.
        grouping: tells which task a call belongs to.
        calls: the log, once more.
        progress: told how far it is.

    Raises:
        ProjectError: one of the folders is there already, or the disk is full; nothing was written.
    """
    there = [found.name for found, _, _ in handed if place.task_file(found.name).parent.exists()]
    if there:
        folders = ", ".join(repr(str(place.task_file(name).parent)) for name in there)
        raise ProjectError(
            f"{folders} {'is' if len(there) == 1 else 'are'} there already; nothing was written. Move or remove "
            f"{'it' if len(there) == 1 else 'them'} to write the task{'' if len(there) == 1 else 's'} anew"
        )
    if not handed:
        return ()
    place.tasks.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folders_by_group: dict[int, _Folder] = {}
        for found, group, task in handed:
            made = stack.enter_context(folder_in_making(place.tasks))
            (made / "rows").mkdir()
            rows = stack.enter_context((made / "rows" / ROWS_FILE).open("w", encoding="ascii"))
            folders_by_group[id(group)] = _Folder(
                found, group, task, made, rows, group.answers_with(found.labels).reader()
            )
        for number, call in enumerate(calls):
            at = grouping.place(call)
            folder = folders_by_group.get(id(grouping.groups[at])) if at >= 0 else None
            if folder is not None and (row := _row(call, folder)) is not None:
                folder.rows.write(json.dumps(row) + "\n")
                folder.count += 1
            if number % 500 == 0:
                progress("writing the rows", number, None)
        placed: list[Path] = []
        for folder in folders_by_group.values():
            folder.rows.close()
            write_text(folder.made / "task.toml", _definition(folder))
            write_json(folder.made / "record_ids.json", list(folder.found.ids))
        try:
            for folder in folders_by_group.values():
                target = place.task_file(folder.found.name).parent
                publish_folder(folder.made, target)
                placed.append(target)
        except BaseException:
            for target in placed:  # made a moment ago by us; some of them would be neither all nor none
                remove_folder(target)
            raise
    return tuple(placed)


def _row(call: Call, folder: _Folder) -> Mapping[str, Any] | None:
    """The call as a row, or None: a specialist answered it, no wording fits, or the reply is none of the labels."""
    if call.local or call.reply is None:
        return None
    inputs = folder.group.inputs(call)
    label = folder.read(call.reply)
    if inputs is None or label is None or not any(value.strip() for value in inputs.values()):
        return None
    return {
        **inputs,
        folder.task.target: label,
        "id": call.id,
        "timestamp": call.timestamp,
        "model": call.model or None,
    }


def _definition(folder: _Folder) -> str:
    found = folder.found
    prints = ", ".join(template.fingerprint for template in found.templates) or "none: the prompt has no fixed frame"
    head = [
        f"# Found in recorded traffic: {found.records:,} calls, of which {folder.count:,} are rows to learn from.",
        f"# {found.verdict}: {found.reason}.".replace("..", "."),
        f"# By these wordings a gateway recognises the requests: {prints}.",
        f"# Next: shokunin train tasks/{found.name}",
        "",
    ]
    return "\n".join(head) + task_to_toml(folder.task)
