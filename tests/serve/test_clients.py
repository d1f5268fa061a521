"""Other clients that people use, driven as they are: the `llm` command line, LangChain, LiteLLM.

They are no dependencies of ours. Install what you have time for into an environment of its own and name its Python:

    python -m venv clients && clients/bin/pip install llm langchain-openai litellm
    SHOKUNIN_CLIENTS_PYTHON=clients/bin/python pytest tests/serve/test_clients.py
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from embedding_fakes import lengths_and_letters
from serve_fakes import SHAPED, running_app

PYTHON = os.environ.get("SHOKUNIN_CLIENTS_PYTHON", "")
DRIVER = Path(__file__).with_name("other_clients.py")
pytestmark = pytest.mark.skipif(not PYTHON, reason="SHOKUNIN_CLIENTS_PYTHON names no Python that has other clients")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_app(lengths_and_letters()) as url:
        yield f"{url}/v1"


def run(*words: str, module: str, **environment: str) -> str:
    """What a program prints, if it ends well and its module is installed."""
    look = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    if subprocess.run([PYTHON, "-c", look], check=False).returncode != 0:
        pytest.skip(f"{module} is not installed there")
    told = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [PYTHON, *words], env={**told, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def drive(client: str, module: str, url: str) -> dict[str, Any]:
    """What the driver saw."""
    found: dict[str, Any] = json.loads(run(str(DRIVER), client, url, module=module, SHAPED=SHAPED).splitlines()[-1])
    return found


def test_langchain(url: str) -> None:
    assert drive("langchain", "langchain_openai", url) == {
        "invoke": "odd",
        "usage": 1,
        "logprob token": "odd",
        "finish": "stop",
        "stream": "odd",
        "async": "odd",
        "batch": ["odd", "even", "odd"],
        "tools": ["odd", []],
        "structured": "odd",
        "json mode": "odd",
        "responses": "odd",
        "responses stream": "odd",
        "completions": "odd",
        "embeddings": [[4.0, 2.0], [6.0, 2.0]],
        "embedding": [4.0, 2.0],
    }


def test_litellm(url: str) -> None:
    assert drive("litellm", "litellm", url) == {
        "completion": ["odd", "odd"],
        "usage": 2,
        "header": "lengths@2",
        "stream": "odd",
        "async": "odd",
        "text": "odd",
        "responses": "odd",
        "embeddings": [[4.0, 2.0], [6.0, 2.0]],
        "unknown": "NotFoundError",
    }


@pytest.mark.parametrize("words", [(), ("--no-stream",), ("--system", "Say even or odd.", "-o", "temperature", "0")])
@pytest.mark.parametrize("kind", ["chat", "completions", "responses"])
def test_llm(url: str, tmp_path: Path, kind: str, words: tuple[str, ...]) -> None:
    if kind == "completions" and "--system" in words:
        pytest.skip("llm knows no system prompt there")
    lines = ["- model_id: mine", "  model_name: lengths", f"  api_base: {url}"]
    lines += {"completions": ["  completion: true"], "responses": ["  responses: true"]}.get(kind, [])
    (tmp_path / "extra-openai-models.yaml").write_text("\n".join(lines))
    said = run("-m", "llm", "-m", "mine", "hello", *words, module="llm", LLM_USER_PATH=str(tmp_path))
    assert said.strip() == "odd"


def test_llm_with_a_schema(url: str, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- {{model_id: mine, model_name: lengths, api_base: '{url}', supports_schema: true}}"
    )
    words = ("-m", "llm", "-m", "mine", "hello", "--system", SHAPED, "--schema", "length str")
    said = run(*words, module="llm", LLM_USER_PATH=str(tmp_path))
    assert json.loads(said) == {"length": "odd"}
