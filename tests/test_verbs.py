"""`train` and `prove` are folders and public functions at once; importing the folder must not take the function away."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "before", ["", "import shokunin.prove.wording, shokunin.train", "from shokunin import pipeline"]
)
def test_verbs_can_be_called_and_folders_opened_whatever_was_imported(before: str) -> None:
    code = f"""
import shokunin
{before}
from shokunin.train import LEARNERS
from shokunin.prove.wording import percent
import shokunin.prove.wording as words
assert shokunin.prove.wording.percent is percent is words.percent
for verb in (shokunin.train, shokunin.prove):
    try:
        verb("no such thing")
    except shokunin.ShokuninError:
        continue
    raise SystemExit(f"{{verb}} did nothing")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
