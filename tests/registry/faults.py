"""As a program: publish and promote while the machine fails at a chosen step, in forked children; print what was left.

The steps are the calls that change the disk (open for writing, mkdir, rename, chmod, remove, rmdir), seen through
Python's audit hooks. `killed` dies there by SIGKILL; `full` gets "no space left" there and at every later call that
takes space; `interrupted` gets a Ctrl-C there.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

from small_specialist import fill, publish

from shokunin import registry
from shokunin.errors import ProjectError
from shokunin.files import folder_in_making

TAKES_SPACE = ("open", "os.mkdir", "os.rename")
CHANGES = (*TAKES_SPACE, "os.chmod", "os.remove", "os.rmdir")


def main() -> None:
    what, shelf = sys.argv[1], Path(sys.argv[2])
    print(
        json.dumps(
            {"killed": every_step, "interrupted": every_step, "full": every_step, "random": random_kills, "race": race}[
                what
            ](shelf, what)
        )
    )


def every_step(shelf: Path, what: str) -> dict[str, object]:
    """Fail at the first changing call, then, in a new attempt, at the second, and so on until one gets through."""
    os.fsync = lambda _: None  # what a dying process had written, the kernel still has; only a power cut needs fsync
    publish(shelf)
    registry.promote(shelf, "inquiries", 1)
    failed, said, problems, report = 0, set(), [], shelf.parent / "said"
    for step in range(1, 1000):
        before = registry.versions(shelf, "inquiries")
        report.write_text("")
        status = _wait(os.fork() or _exit(partial(_attempt, shelf, what, step, report)))
        said.add(report.read_text())
        problems += [f"step {step}: {p}" for p in _problems(shelf, before)]
        failed += status in (2, -signal.SIGKILL)
        if status == 0:
            return {"steps": step, "failed": failed, "said": sorted(said - {""}), "problems": problems}
        if what != "killed" and (left := _left(shelf)):
            problems.append(f"step {step}: left {left}")
        registry.sweep(shelf)
        if left := _left(shelf):
            problems.append(f"step {step}: not swept: {left}")
        if (newest := registry.versions(shelf, "inquiries")[-1]) != 1:
            registry.remove(shelf, f"inquiries@{newest}", force=True)
            registry.promote(shelf, "inquiries", 1)
    raise SystemExit("no attempt got through")


def random_kills(shelf: Path, what: str) -> dict[str, object]:
    """Kill a child that publishes, promotes and rolls back without end, at 15 random moments or more, until some got through."""
    chance, problems, published = random.Random(7), [], 0
    publish(shelf)
    registry.promote(shelf, "inquiries", 1)
    for kill in range(100):
        if kill >= 15 and published:
            break
        before = registry.versions(shelf, "inquiries")
        child = os.fork()
        if child == 0:
            while True:
                version = publish(shelf).version
                registry.promote(shelf, "inquiries", version)
                if version % 3 == 0:
                    registry.rollback(shelf, "inquiries")
        time.sleep(chance.uniform(0.01, 0.25))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        problems += [f"kill {kill}: {p}" for p in _problems(shelf, before)]
        published += len(registry.versions(shelf, "inquiries")) - len(before)
    registry.sweep(shelf)
    return {"published": published, "problems": problems, "left": _left(shelf)}


def race(shelf: Path, what: str) -> dict[str, object]:
    """Eight processes publish and promote at once; eight more take a number first and may find it gone."""
    first = [os.fork() or _exit(lambda: _in_time(shelf)) for _ in range(8)]
    whole = [_wait(child) for child in first]
    versions = registry.versions(shelf, "inquiries")
    second = [os.fork() or _exit(lambda: _late(shelf)) for _ in range(8)]
    late = [_wait(child) for child in second]
    changes = json.loads((shelf / "inquiries" / "aliases.json").read_text())["changes"]
    return {
        "whole": whole,
        "versions": versions,
        "late": late,
        "after": registry.versions(shelf, "inquiries"),
        "damaged": [s.damaged for s in registry.list_specialists(shelf) if s.damaged],
        "left": _left(shelf),
        "changes": len(changes),
        "chain": all(one["to"] == next_one["from"] for one, next_one in pairwise(changes)),
    }


def _in_time(shelf: Path) -> int:
    registry.promote(shelf, "inquiries", publish(shelf).version)
    return 0


def _late(shelf: Path) -> int:
    """As a caller that asks for a number without keeping it: it publishes, or it is told that the number is gone."""
    number = registry.next_version(shelf, "inquiries")
    try:
        with folder_in_making(shelf / "inquiries") as made:
            fill(made, "inquiries", number)
            registry.publish(made, shelf, "inquiries", number)
    except ProjectError as error:
        return 3 if "exists already" in str(error) else 4
    return 0


def _attempt(shelf: Path, what: str, step: int, report: Path) -> int:
    seen = 0

    def hook(event: str, details: tuple[object, ...]) -> None:
        nonlocal seen
        if event not in CHANGES or (event == "open" and not _writes(details)):
            return
        seen += 1
        if what == "killed" and seen == step:
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "interrupted" and seen == step:
            raise KeyboardInterrupt
        if what == "full" and seen >= step and event in TAKES_SPACE:
            raise OSError(errno.ENOSPC, "No space left on device", str(details[0]))

    handle = os.open(report, os.O_WRONLY)
    sys.addaudithook(hook)
    try:
        version = publish(shelf).version
        registry.promote(shelf, "inquiries", version)
        registry.promote(shelf, "inquiries", 1)
        registry.remove(shelf, f"inquiries@{version}")
    except ProjectError as error:
        os.write(handle, str(error).replace(str(shelf), "").encode())
        return 2
    except KeyboardInterrupt:
        return 2
    return int(seen >= step)  # 1: only calls that take no space were left to do


def _writes(details: tuple[object, ...]) -> bool:
    flags = details[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _problems(shelf: Path, before: list[int]) -> list[str]:
    problems = [s.damaged for s in registry.list_specialists(shelf) if s.damaged]
    after = registry.versions(shelf, "inquiries")
    if after[: len(before)] != before:
        problems.append(f"{before} became {after}")
    for version in after[len(before) :]:
        registry.verify(shelf, f"inquiries@{version}")
    if registry.aliases(shelf, "inquiries")["champion"] not in after:
        problems.append("the champion is not there")
    return problems


def _left(shelf: Path) -> list[str]:
    return sorted(p.name for p in shelf.rglob(".*") if p.name != ".lock")


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _exit(work: Callable[[], int]) -> int:
    status = 4
    try:
        status = work()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    os._exit(status)


if __name__ == "__main__":
    main()
