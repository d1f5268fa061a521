"""Each dependency has its sentence in docs/dependencies.md, and the page speaks of no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    names = {name[0].lower().replace("_", "-") for line in lines if (name := NAME.match(line))}
    return names - {project["name"]}  # an extra may hold others of our own


def explained() -> set[str]:
    found: set[str] = set()
    for line in (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and not set(cells[0]) <= set("- ") and not cells[0].startswith(("Dependency", "Extra")):
            names = cells[1] if cells[0].startswith("`") else cells[0]
            found |= {name.strip().lower().replace("_", "-") for name in names.split(",")}
    return found


def test_every_dependency_is_explained_and_no_other() -> None:
    assert declared() == explained()
