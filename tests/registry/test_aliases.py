"""Aliases and references: promote, roll back, find."""

from __future__ import annotations

import json
import shutil
import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_specialist import publish

from shokunin import registry
from shokunin.errors import ArtefactError, ProjectError
from shokunin.registry.aliases import Aliases, changing, read_aliases
from shokunin.specialist import known_name
from shokunin.task import Task, task_to_dict


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shelf = tmp_path_factory.mktemp("made")
    for _ in range(3):
        publish(shelf)
    return shelf


@pytest.fixture
def three(made: Path, shelf: Path) -> Path:
    """A shelf with three versions and no alias."""
    shutil.copytree(made, shelf)
    return shelf


def test_promotion_returns_the_previous_champion(three: Path) -> None:
    assert registry.promote(three, "inquiries", 1) is None
    assert registry.promote(three, "inquiries", 3) == 1
    assert registry.promote(three, "inquiries", 3) == 3
    assert registry.aliases(three, "inquiries") == {"champion": 3}


def test_rollback_goes_one_step_back_each_time(three: Path) -> None:
    for version in (1, 2, 3):
        registry.promote(three, "inquiries", version)
    assert registry.rollback(three, "inquiries") == 2
    assert registry.rollback(three, "inquiries") == 1
    with pytest.raises(ProjectError, match="no earlier champion"):
        registry.rollback(three, "inquiries")
    assert registry.aliases(three, "inquiries") == {"champion": 1}


def test_rollback_skips_what_was_removed_and_refuses_what_is_damaged(three: Path) -> None:
    for version in (1, 2, 3):
        registry.promote(three, "inquiries", version)
    registry.remove(three, "inquiries@2")
    (three / "inquiries" / "1" / "card.md").unlink()
    with pytest.raises(ArtefactError, match=r"card\.md"):
        registry.rollback(three, "inquiries")
    assert registry.aliases(three, "inquiries") == {"champion": 3}


def test_the_log_says_when_and_what(three: Path) -> None:
    registry.promote(three, "inquiries", 1, at=0)
    registry.promote(three, "inquiries", 2, at=60)
    registry.rollback(three, "inquiries", at=3600)
    content = json.loads((three / "inquiries" / "aliases.json").read_text())
    assert content["changes"] == [
        {"at": "1970-01-01T00:00:00Z", "alias": "champion", "from": None, "to": 1, "by": "set"},
        {"at": "1970-01-01T00:01:00Z", "alias": "champion", "from": 1, "to": 2, "by": "set"},
        {"at": "1970-01-01T01:00:00Z", "alias": "champion", "from": 2, "to": 1, "by": "rollback"},
    ]


@pytest.mark.parametrize("alias", ["", "3", "Champion", "a b", "../x", "a" * 101])
def test_bad_aliases(three: Path, alias: str) -> None:
    with pytest.raises(ProjectError, match="alias"):
        registry.set_alias(three, "inquiries", alias, 1)


def test_an_alias_can_be_taken_away(three: Path) -> None:
    registry.set_alias(three, "inquiries", "candidate", 2)
    assert registry.set_alias(three, "inquiries", "candidate", None) == 2
    assert registry.aliases(three, "inquiries") == {}


def test_an_unknown_version_changes_nothing(three: Path) -> None:
    with pytest.raises(ProjectError, match="no version 9; it has 1, 2, 3"):
        registry.promote(three, "inquiries", 9)
    assert not (three / "inquiries" / "aliases.json").exists()


def test_an_error_while_changing_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), changing(tmp_path) as state:
        state.point("champion", 1, "set", 0)
        raise RuntimeError
    assert read_aliases(tmp_path) == Aliases()


def test_a_file_of_a_later_release_is_not_guessed_at(three: Path) -> None:
    (three / "inquiries" / "aliases.json").write_text('{"format": 2}')
    with pytest.raises(ArtefactError, match="update shokunin"):
        registry.find(three, "inquiries")


@given(steps=st.lists(st.one_of(st.integers(1, 3), st.just("back")), max_size=12))
@settings(max_examples=25, deadline=None)
def test_any_run_of_promotions_and_rollbacks(made: Path, steps: list[int | str]) -> None:
    """Against a plain list as the model: a promotion pushes, a rollback pops."""
    (made / "inquiries" / "aliases.json").unlink(missing_ok=True)
    model: list[int] = []
    try:
        for step in steps:
            if isinstance(step, int):
                registry.promote(made, "inquiries", step)
                if model[-1:] != [step]:
                    model.append(step)
            elif len(model) > 1:
                model.pop()
                assert registry.rollback(made, "inquiries") == model[-1]
            else:
                with pytest.raises(ProjectError):
                    registry.rollback(made, "inquiries")
            assert registry.aliases(made, "inquiries").get("champion") == (model[-1] if model else None)
            assert registry.find(made, "inquiries").name == str(model[-1] if model else 3)
    finally:
        (made / "inquiries" / "aliases.json").unlink(missing_ok=True)


def test_references(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = three / "inquiries"
    assert registry.find(three, "inquiries") == home / "3", "no champion yet: the newest"
    registry.promote(three, "inquiries", 2)
    assert registry.find(three, "inquiries") == home / "2"
    assert registry.find(three, "inquiries@champion") == home / "2"
    assert registry.find(three, "inquiries@1") == home / "1"
    assert registry.find(three, str(home / "3")) == home / "3"
    assert registry.find(three, home / "3") == home / "3"
    monkeypatch.chdir(home)
    assert registry.find(three, "3") == home / "3"
    assert registry.find(three, "./1") == home / "1"


def test_a_relative_path_to_the_shelf_is_a_place_on_it(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(three.parent)
    assert registry.find(three, f"{three.name}/inquiries/1") == three / "inquiries" / "1"
    assert registry.verify(three, f"{three.name}/inquiries/1").id == "inquiries@1"


def test_other_labels_or_inputs_do_not_take_the_champions_place_by_themselves(shelf: Path) -> None:
    first = publish(shelf)
    assert registry.differs(shelf, first) is None, "there is no champion yet"
    registry.promote(shelf, "inquiries", 1)
    assert registry.differs(shelf, first) is None, "it is the champion itself"
    assert registry.differs(shelf, publish(shelf)) is None
    more = registry.differs(shelf, publish(shelf, labels=["invoice", "parcel", "complaint"]))
    assert more == "of the labels of 'inquiries@1', 'inquiries@3' lacks refund and adds complaint"
    task = task_to_dict(Task("inquiries", inputs=("subject", "text")))
    other = registry.differs(shelf, publish(shelf, task=task))
    assert other == "'inquiries@1' reads text, 'inquiries@4' reads subject, text"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("inquiry", "did you mean 'inquiries'.*there are inquiries"),
        ("inquiries@9", "no version 9; it has 1, 2, 3"),
        ("inquiries@0", "no version 0"),
        ("inquiries@champoin", "did you mean 'champion'.*aliases: champion; versions: 1, 2, 3"),
        ("inquiries@", "is no specialist; expected NAME"),
        ("inquiries@1@2", "expected NAME"),
        ("../inquiries@1", "expected NAME"),
        ("no/such/folder", "expected NAME"),
        ("", "expected NAME"),
        ("a\0b", "expected NAME"),
        ("x" * 5000, "expected NAME"),
    ],
)
def test_unknown_references_say_what_there_is(three: Path, reference: str, said: str) -> None:
    registry.promote(three, "inquiries", 1)
    with pytest.raises(ProjectError, match=said) as caught:
        registry.find(three, reference)
    assert "\0" not in str(caught.value)


def test_an_empty_shelf_says_how_to_fill_it(shelf: Path) -> None:
    with pytest.raises(ProjectError, match="shokunin train"):
        registry.find(shelf, "inquiries")


def test_a_champion_that_is_gone_is_not_replaced_silently(three: Path) -> None:
    registry.promote(three, "inquiries", 2)
    (three / "inquiries" / "2").rename(three / "taken-away")
    with pytest.raises(ProjectError, match=r"means version 2, which is not there.*versions: 1, 3"):
        registry.find(three, "inquiries")


@given(reference=st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_a_reference_never_leads_out_of_the_shelf(reference: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        try:
            found = registry.find(Path(place), reference)
        except ProjectError:
            return
        assert (found / "manifest.json").is_file(), "only a folder that says it is a specialist"


@given(name=st.text(max_size=30) | st.text(string.ascii_lowercase + string.digits + "-_./@", max_size=110))
def test_names(name: str) -> None:
    fine = 0 < len(name) <= 100 and all(c in string.ascii_lowercase + string.digits + "-_" for c in name)
    assert known_name(name) == fine
    if not fine:
        with pytest.raises(ProjectError):
            registry.next_version(Path("nowhere"), name)
