"""One run of `shokunin discover` on a file, in a process of its own, measured from outside."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import measure


def discover(logs: Path, folder: Path, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What it found, and what that cost.

    Args:
        logs: a file or folder of recorded calls.
        folder: the project's folder, where it runs; what it says beside its JSON is in `log.txt` there.
        options: further ones, for instance `--write`.

    Raises:
        SystemExit: it ended with another exit code than 0 or 1, or printed nothing.
    """
    return shokunin(["discover", str(logs), *options], folder)


def shokunin(words: Sequence[str], folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A command with `--output json`: its document, and wall time, CPU time and memory.

    Raises:
        SystemExit: it ended with another exit code than 0 or 1, or printed nothing.
    """
    document, cost = attempt(words, folder)
    if document is None:
        said = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")[-2000:]
        raise SystemExit(f"`shokunin {' '.join(words)}` ended with exit code {cost['exit_code']}:\n{said}")
    return document, cost


def attempt(words: Sequence[str], folder: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The same, without a document where the command failed; why is in `log.txt`."""
    # Only the document goes to the file; `measure` takes what is said beside it.
    to_file = ["sh", "-c", 'exec "$@" > out.json', "sh"]
    cost = measure([*to_file, sys.executable, "-m", "shokunin", *words, "--output", "json"], folder)
    text = (folder / "out.json").read_text(encoding="utf-8")
    # A traceback ends with exit code 1 too, but prints no document.
    return (json.loads(text) if cost["exit_code"] in (0, 1) and text else None), cost
