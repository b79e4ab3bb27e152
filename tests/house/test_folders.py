"""The folders of tests/ are those of mhsa/: a test of a room is in the folder that has the room's name."""

from pathlib import Path

import pytest

from tests.helpers.more import MORE
from tests.helpers.places import ROOT

TESTS = ROOT / "tests"
# Of everything together: what the properties find, what documents and this folder promise, and what a user has installed.
OF_NO_ROOM = {"properties", "house", "end_to_end"}
NO_TESTS = {"corpus", "helpers"}


def folders(top: Path) -> set[str]:
    return {p.parent.relative_to(top).as_posix() for p in top.rglob("*.py") if p.parent != top}


MINE = {name for name in folders(TESTS) if name.partition("/")[0] not in NO_TESTS}


def test_every_room_has_its_tests() -> None:
    rooms = {name.partition("/")[0] for name in folders(ROOT / "mhsa")}
    assert {name.partition("/")[0] for name in MINE} == rooms | OF_NO_ROOM


def test_a_folder_within_a_room_has_the_name_of_one_in_mhsa() -> None:
    assert MINE - folders(ROOT / "mhsa") - OF_NO_ROOM == set()


def test_no_test_is_without_a_room() -> None:
    """Where it belongs: the folder of the room that it tests; tests/README.md has the list."""
    assert [p.name for p in TESTS.glob("*.py")] == ["conftest.py"]


@pytest.mark.parametrize("folder", sorted({*MINE, "helpers"}))
def test_a_folder_has_few_files(folder: str) -> None:
    assert len(list((TESTS / folder).glob("*.py"))) <= 20
    assert not (TESTS / folder / "__init__.py").exists(), "a test's file that is a subject, too, would be part of a package"


@pytest.mark.parametrize("start", MORE)
def test_what_is_left_to_more_is_there(start: str) -> None:
    path, *outer, test = start.split("::") if "::" in start else (start, "")
    assert (TESTS / path).exists()
    text = (TESTS / path).read_text() if test else ""
    assert f"def {test}" in text or not test
    assert all(f"class {name}:" in text for name in outer)
    for name in MORE[start].keep:
        assert MORE[start].reason
        assert not name.startswith("test_") or f"def {name}(" in (TESTS / path).read_text()
