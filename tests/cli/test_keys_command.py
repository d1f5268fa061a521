"""`shokunin keys` and `shokunin decisions` as a person or a script uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shokunin.cli import app
from shokunin.serve.keys import KeyFile, split_token


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def keys(project: Path, *words: str | Path) -> Result:
    return run("keys", *words, "--project", project)


def test_a_key_is_shown_once_with_nothing_else_on_stdout(tmp_path: Path) -> None:
    made = keys(tmp_path, "create", "shop")
    assert made.exit_code == 0
    token = made.stdout.strip()
    identity, secret = split_token(token)
    assert identity and "cannot be shown again" in made.stderr and "answers nobody without a key" in made.stderr
    listed = keys(tmp_path, "list")
    assert "shop" in listed.stdout and identity in listed.stdout and "valid" in listed.stdout
    decided = run("decisions", "list", "--project", tmp_path)
    everything = listed.output + decided.output + keys(tmp_path, "list", "--output", "json").output
    assert secret not in everything
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or secret not in file.read_text(encoding="utf-8")
    assert "it is the first one" not in keys(tmp_path, "create", "second").stderr


def test_all_that_can_be_said_of_a_key(tmp_path: Path) -> None:
    options = [
        "--allow",
        "inq*",
        "--allow",
        "gpt-4o",
        "--permission",
        "answer",
        "--permission",
        "metrics",
        "--expires",
        "90d",
    ]
    limits = ["--requests-per-minute", "60", "--tokens-per-minute", "9000", "--tokens-per-day", "50000"]
    money = ["--usd-per-day", "2.5", "--usd-per-month", "40"]
    made = keys(tmp_path, "create", "shop", *options, *limits, *money, "--output", "json")
    assert made.exit_code == 0, made.output
    said = json.loads(made.stdout)
    kept = KeyFile(tmp_path / ".shokunin" / "keys.json").read()[0]
    assert said["key"].startswith(f"sk-shokunin-{kept.id}-")
    assert kept.expires == pytest.approx(kept.created + 90 * 86400)
    assert (sorted(kept.scopes.permissions), kept.scopes.models) == (["answer", "metrics"], ("inq*", "gpt-4o"))
    assert said["limits"] == {
        "requests_per_minute": 60,
        "tokens_per_minute": 9000,
        "tokens_per_day": 50000,
        "usd_per_day": 2.5,
        "usd_per_month": 40,
    }
    [listed] = json.loads(keys(tmp_path, "list", "--output", "json").stdout)["keys"]
    assert listed == {name: value for name, value in said.items() if name != "key"}
    shown = keys(tmp_path, "list").stdout
    assert "inq*, gpt-4o" in shown and "2.5 usd per day" in shown


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("create", "local"), "a key's name"),
        (("create", "a b"), "a key's name"),
        (("create", "shop", "--permission", "root"), "permissions are some of"),
        (("create", "shop", "--expires", "90"), "for instance 90d"),
        (("create", "shop", "--expires", "0d"), "time above 0"),
        (("create", "shop", "--usd-per-day", "-1"), "usd_per_day"),
        (("create", "shop", "--usd-per-day", "nan"), "usd_per_day"),
        (("create", "shop", "--allow", " "), "names, or patterns"),
        (("create", "shop", "--tokens-per-day", "0"), "greater than or equal to 1"),
        (("revoke", "shop"), "is not there"),
    ],
)
def test_what_cannot_be_is_said_and_leaves_nothing(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    done = keys(tmp_path, *words)
    assert done.exit_code == 2
    assert why in done.stderr
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.stat().st_size]


def test_revoking(tmp_path: Path) -> None:
    identity = json.loads(keys(tmp_path, "create", "shop", "--output", "json").stdout)["id"]
    keys(tmp_path, "create", "shop")
    several = keys(tmp_path, "revoke", "shop")
    assert several.exit_code == 2 and identity in several.stderr
    done = keys(tmp_path, "revoke", identity)
    assert done.exit_code == 0 and f"revoked the key {identity} of shop" in done.stdout
    assert keys(tmp_path, "revoke", "shop", "--output", "json").exit_code == 0
    states = [key["state"] for key in json.loads(keys(tmp_path, "list", "--output", "json").stdout)["keys"]]
    assert states == ["revoked", "revoked"]


def test_without_keys_the_list_says_so(tmp_path: Path) -> None:
    assert "no key yet" in keys(tmp_path, "list").stdout
    assert json.loads(keys(tmp_path, "list", "--output", "json").stdout) == {"keys": []}
    assert list(tmp_path.iterdir()) == []


def test_decisions_are_listed_and_verified(tmp_path: Path) -> None:
    assert "nothing has been decided" in run("decisions", "list", "--project", tmp_path).stdout
    assert "nothing has been decided" in run("decisions", "verify", "--project", tmp_path).stdout
    keys(tmp_path, "create", "shop", "--usd-per-day", "1")
    assert "1 line, as it was written" in run("decisions", "verify", "--project", tmp_path).stdout
    noted = json.loads(run("decisions", "verify", "--project", tmp_path, "--output", "json").stdout)["head"]
    keys(tmp_path, "revoke", "shop")
    listed = json.loads(run("decisions", "list", "--project", tmp_path, "--output", "json").stdout)["decisions"]
    assert [one["what"] for one in listed] == ["key_created", "key_revoked"]
    assert listed[0]["details"]["limits"] == {"usd_per_day": 1.0}
    assert listed[0]["who"].startswith("user ")
    assert "key_revoked" in run("decisions", "list", "--limit", "1", "--project", tmp_path).stdout
    assert run("decisions", "verify", "--head", noted, "--project", tmp_path).exit_code == 0
    log = tmp_path / "traffic" / "decisions.jsonl"
    good = log.read_bytes()
    log.write_bytes(good.splitlines(keepends=True)[1])
    missing = run("decisions", "verify", "--project", tmp_path)
    assert missing.exit_code == 2 and "line 1" in missing.stderr
    log.write_bytes(good.replace(b"shop", b"shap"))
    assert run("decisions", "list", "--project", tmp_path).exit_code == 2


def test_with_a_damaged_log_no_key_is_made_but_one_can_be_revoked(tmp_path: Path) -> None:
    identity = json.loads(keys(tmp_path, "create", "shop", "--output", "json").stdout)["id"]
    log = tmp_path / "traffic" / "decisions.jsonl"
    log.write_bytes(log.read_bytes().replace(b"shop", b"shap"))
    made = keys(tmp_path, "create", "second")
    assert made.exit_code == 2 and made.stdout == "" and "was changed" in made.stderr
    states = {
        key["name"]: key["state"] for key in json.loads(keys(tmp_path, "list", "--output", "json").stdout)["keys"]
    }
    assert states == {"shop": "valid", "second": "revoked"}
    done = keys(tmp_path, "revoke", identity)
    assert done.exit_code == 0 and "could not be written" in done.stderr
