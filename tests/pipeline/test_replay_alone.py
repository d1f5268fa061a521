"""The replay before a publication stands alone: it needs no key of the project, and asks and records nothing of it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import shokunin
from rows import rows
from shokunin.serve.keys import KeyFile
from shokunin.serve.scripted_upstream import ScriptedUpstream


def test_a_project_with_keys_and_an_upstream_can_publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "inquiries.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows(200))
    KeyFile(tmp_path / ".shokunin" / "keys.json").create("shop")
    monkeypatch.chdir(tmp_path)
    with ScriptedUpstream("nonsense") as upstream:
        (tmp_path / "shokunin.toml").write_text(
            f'[upstreams.big]\nbase_url = "{upstream.base_url}"\nmodel = "big-1"\n[gateway]\nupstream = "big"\n'
        )
        specialist = shokunin.train("inquiries.csv", learners=["baseline", "text_linear"])
        assert not upstream.requests
    assert specialist.version == 1
    assert not (tmp_path / "traffic").exists()
