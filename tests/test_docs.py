"""The documentation says what the code does: its Python runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rows import rows

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# serve.md's examples run against a server of their own in tests/serve.
ELSEWHERE = {"serve.md"}


def blocks(page: Path, language: str) -> list[str]:
    return [code for name, code in FENCE.findall(page.read_text(encoding="utf-8")) if name == language]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the files that the examples name, and a trained specialist `inquiries`."""
    import shokunin

    folder = tmp_path_factory.mktemp("shop")
    for name, count, seed in (("inquiries", 400, 0), ("holdout", 60, 1)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows(count, seed))
    shokunin.train(folder / "inquiries.csv", project=folder, learners=["baseline", "text_linear"], replayed=False)
    return folder


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name not in ELSEWHERE and blocks(p, "python")], ids=lambda p: p.name
)
def test_the_python_of_a_page_runs(page: Path, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shokunin.serve.process import ServerProcess

    monkeypatch.chdir(shop)
    code = "\n".join(blocks(page, "python"))
    # Training in an example is the real thing, only on the quick learners.
    code = code.replace(
        'shokunin.train("inquiries.csv"',
        'shokunin.train("inquiries.csv", learners=["text_linear"], replayed=False',
    )
    if "8321" not in code:
        exec(compile(code, str(page), "exec"), {})
        return
    with ServerProcess(["--project", str(shop)]) as server:
        exec(compile(code.replace("http://127.0.0.1:8321", server.base_url), str(page), "exec"), {})


def test_every_public_name_is_explained_on_the_api_page() -> None:
    import shokunin

    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert [n for n in shokunin.__all__ if n != "__version__" and f"`{n}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_result_files_that_are_named_exist(page: Path) -> None:
    names = re.findall(r"[a-z0-9_][a-z0-9_-]*-20\d{6}T\d{6}Z(?:-[0-9a-f]{12})?", page.read_text(encoding="utf-8"))
    assert [name for name in names if not list((ROOT / "benchmarks" / "results").glob(f"{name}*.json"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    from typer.main import get_command

    from shokunin.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    for line in re.findall(
        r"shokunin ([a-z][^`\n|)]*)",
        "\n".join([*blocks(page, ""), *re.findall(r"`(shokunin [^`]*)`", page.read_text(encoding="utf-8"))]),
    ):
        words = line.split()
        if words[0] not in commands:
            pytest.fail(f"{page.name} names the command {words[0]!r}, which does not exist: shokunin {line}")
        command = commands[words[0]]
        if hasattr(command, "commands"):
            if len(words) < 2 or words[1].split("/")[0] not in command.commands:
                continue
            command = command.commands[words[1]]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
        for option in re.findall(r"(?<!\S)(--[a-z-]+)", line):
            assert option in known, f"{page.name}: shokunin {line}"


def test_the_generated_parts_are_fresh() -> None:
    run = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
