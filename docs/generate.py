"""Writes the parts of the documentation that the code knows: the tree in README.md and the help in docs/commands.md.

`python docs/generate.py` writes them, `python docs/generate.py --check` fails when they are not as the code says.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "shokunin"
COMMANDS = (
    "",
    "quickstart",
    "init",
    "discover",
    "curate",
    "train",
    "compress",
    "prove",
    "predict",
    "serve",
    "cost",
    "doctor",
    "models",
    "keys",
    "decisions",
    "traffic",
)


def main() -> int:
    """Write or check both."""
    parts = {ROOT / "README.md": ("tree", tree()), ROOT / "docs" / "commands.md": ("help", help_texts())}
    stale = []
    for file, (name, text) in parts.items():
        old = file.read_text(encoding="utf-8")
        new = replaced(old, name, text)
        if new != old:
            stale.append(file.name)
            if "--check" not in sys.argv:
                file.write_text(new, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"{', '.join(stale)} not as the code says; run: python docs/generate.py\n")
        return 1
    return 0


def tree() -> str:
    """Every module with the first sentence of its docstring."""
    lines = ["src/shokunin/"]
    for path in sorted(
        PACKAGE.rglob("*.py"), key=lambda p: (p.parent.relative_to(PACKAGE).parts, p.name != "__init__.py", p.name)
    ):
        depth = len(path.relative_to(PACKAGE).parts)
        if path.name == "__init__.py" and depth > 1:
            lines.append(f"{'    ' * (depth - 1)}{path.parent.name + '/':<22}{first_line(path)}")
        elif path.name not in ("__init__.py", "__main__.py"):
            lines.append(f"{'    ' * depth}{path.name:<22}{first_line(path)}")
    return "```\n" + "\n".join(lines) + "\n```"


def first_line(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def help_texts() -> str:
    """`--help` of every command, 100 columns wide."""
    env = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
    texts = []
    for command in COMMANDS:
        run = subprocess.run(
            [sys.executable, "-m", "shokunin", *command.split(), "--help"],
            capture_output=True,
            text=True,
            check=True,
            env=env,
        )
        lines = "\n".join(line.rstrip() for line in run.stdout.strip().split("\n"))
        texts.append(f"## `shokunin{' ' + command if command else ''}`\n\n```\n{lines}\n```")
    return "\n\n".join(texts)


def replaced(text: str, name: str, new: str) -> str:
    """`text` with what stands between the markers of `name` replaced."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"the markers {start} and {end} are missing")
    return f"{before}{start}\n{new}\n{end}{after}"


if __name__ == "__main__":
    raise SystemExit(main())
