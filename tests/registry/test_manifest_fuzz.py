"""Whatever a manifest, a report or an alias file says, the answer is a specialist or our own error, never a traceback."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_specialist import fill, publish
from typer.testing import CliRunner

from shokunin import registry
from shokunin.cli import app
from shokunin.errors import ShokuninError
from shokunin.specialist import _digest, read_golden, read_specialist

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just(10**400)
    | st.just("[/red]"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("name"), inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside: list[tuple[Any, ...]] = []
    if isinstance(value, dict):
        inside = [p for key, one in value.items() for p in _places(one, (*path, key))]
    elif isinstance(value, list):
        inside = [p for number, one in enumerate(value) for p in _places(one, (*path, number))]
    return [path, *inside]


def _with_change(data: st.DataObject, value: Any) -> Any:
    """The value with one place in it replaced by anything, or removed."""
    value = copy.deepcopy(value)
    path = data.draw(st.sampled_from(_places(value)[1:]))
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    if data.draw(st.booleans()) and isinstance(inner, dict):
        del inner[path[-1]]
    else:
        inner[path[-1]] = data.draw(ANYTHING)
    return value


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_manifest_with_a_right_digest(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "specialists" / "inquiries" / "1"
    if not folder.exists():
        folder.mkdir(parents=True)
        fill(folder)
        (tmp_path / "manifest").write_text((folder / "manifest.json").read_text())
    manifest = _with_change(data, json.loads((tmp_path / "manifest").read_text()))
    manifest["digest"] = _digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    try:
        read_golden(read_specialist(folder))
    except ShokuninError as error:
        assert str(error)
    (line,) = registry.list_specialists(tmp_path / "specialists")
    assert line.version == 1
    _call(tmp_path, "show", "inquiries@1")


@pytest.mark.parametrize("name", ["report.json", "side_files/golden.json"])
@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_report_and_golden_samples(tmp_path: Path, name: str, data: st.DataObject) -> None:
    folder = tmp_path / "specialists" / "inquiries" / "1"
    if not folder.exists():
        folder.mkdir(parents=True)
        fill(folder)
        (tmp_path / "was").write_text((folder / name).read_text())
    (folder / name).write_text(json.dumps(_with_change(data, json.loads((tmp_path / "was").read_text()))))
    specialist = registry.seal(folder, json.loads((folder / "manifest.json").read_text()))
    try:
        read_golden(specialist)
    except ShokuninError as error:
        assert "golden.json" in str(error)
    _call(tmp_path, "list")


def _call(project: Path, *words: str) -> None:
    for output in ("text", "json"):
        result = CliRunner().invoke(app, ["models", *words, "--output", output, "--project", str(project)])
        assert result.exit_code in (0, 2), result.exception


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_alias_file(tmp_path: Path, data: st.DataObject) -> None:
    shelf = tmp_path / "specialists"
    file = shelf / "inquiries" / "aliases.json"
    if not shelf.exists():
        publish(shelf)
        publish(shelf)
        registry.promote(shelf, "inquiries", 1)
        registry.promote(shelf, "inquiries", 2)
        (tmp_path / "was").write_text(file.read_text())
    file.write_text(json.dumps(_with_change(data, json.loads((tmp_path / "was").read_text()))))
    for act in (registry.find, registry.next_version, registry.rollback, registry.aliases):
        try:
            act(shelf, "inquiries")
        except ShokuninError as error:
            assert str(error)
    assert len(registry.list_specialists(shelf)) == 2
