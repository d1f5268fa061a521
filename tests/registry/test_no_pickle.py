"""Nothing in the source loads what could run code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import shokunin.errors

SOURCE = Path(shokunin.errors.__file__).parent
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "joblib",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "jsonpickle",
    "skops",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {
    ("torch", "load"), ("torch", "save"), ("pandas", "read_pickle"), ("os", "system"), ("os", "popen"),
    ("yaml", "load"), ("yaml", "unsafe_load"),
}  # fmt: skip


def find_dangers(code: str) -> list[str]:
    """What the code imports, calls or switches on that must not be there, with line numbers."""
    dangers = []
    for node in ast.walk(ast.parse(code)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call):
            dangers += _call(node)
        for name in names:
            if name.split(".")[0] in FORBIDDEN_MODULES or tuple(name.split(".")) == ("torch", "load"):
                dangers.append(f"line {node.lineno}: import of {name}")  # type: ignore[attr-defined]
    return dangers


def _call(node: ast.Call) -> list[str]:
    found = []
    called = node.func
    if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
        found.append(called.id)
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        if (called.value.id, called.attr) in FORBIDDEN_METHODS:
            found.append(f"{called.value.id}.{called.attr}")
        if called.attr in ("load", "loads") and called.value.id in FORBIDDEN_MODULES:
            found.append(f"{called.value.id}.{called.attr}")
    for keyword in node.keywords:
        wrong = {"allow_pickle": True, "trust_remote_code": True, "weights_only": False, "shell": True}
        if keyword.arg in wrong and not (
            isinstance(keyword.value, ast.Constant) and keyword.value.value is not wrong[keyword.arg]
        ):
            found.append(f"{keyword.arg}=")
    return [f"line {node.lineno}: {name}" for name in found]


def test_the_source_loads_no_code_from_data() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 20
    dangers = [
        f"{p.relative_to(SOURCE)}: {danger}" for p in files for danger in find_dangers(p.read_text(encoding="utf-8"))
    ]
    assert dangers == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "import joblib", "from joblib import load", "import dill as d", "from marshal import loads",
        "import torch\ntorch.load('x')", "from torch import load", "eval('1')", "exec('1')", "__import__('os')",
        "np.load('x', allow_pickle=True)", "np.load('x', allow_pickle=flag)", "f(trust_remote_code=True)",
        "torch_load('x', weights_only=False)", "import os\nos.system('x')", "subprocess.run('x', shell=True)",
    ],
)  # fmt: skip
def test_the_search_finds_each_of_them(code: str) -> None:
    assert find_dangers(code)


@pytest.mark.parametrize(
    "code", ["np.load('x', allow_pickle=False)", "f(trust_remote_code=False)", "model.eval()", "re.compile('x')"]
)
def test_the_search_leaves_the_rest_alone(code: str) -> None:
    assert find_dangers(code) == []
