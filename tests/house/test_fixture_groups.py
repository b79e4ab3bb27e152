"""Tests that share a fixture of their file or class are handed out together, all others singly."""

from pathlib import Path

import pytest

from tests.helpers.fixture_groups import group_of
from tests.helpers.places import ROOT

FILE = """
import pytest

@pytest.fixture(scope="module")
def judged(): ...

@pytest.fixture
def one(judged): ...

@pytest.fixture()
def cheap(): ...

def test_direct(judged, n): ...
def test_through(one): ...
def test_alone(cheap, tmp_path): ...
@pytest.mark.usefixtures("judged")
def test_by_mark(): ...

class TestIt:
    @pytest.fixture(scope="class")
    def own(self): ...
    def test_own(self, own): ...
    def test_both(self, own, judged): ...
    def test_none(self): ...
"""


@pytest.mark.parametrize(
    ("test", "group"),
    [
        ("test_direct[a[1]@x::y]", "test_it.py"),
        ("test_through", "test_it.py"),
        ("test_by_mark", "test_it.py"),
        ("test_alone", "test_it.py::test_alone"),
        ("TestIt::test_own", "test_it.py::TestIt"),
        ("TestIt::test_both", "test_it.py"),
        ("TestIt::test_none", "test_it.py::TestIt::test_none"),
        ("test_from_elsewhere[1]", "test_it.py::test_from_elsewhere[1]"),
    ],
)
def test_a_group_is_read_from_the_source(tmp_path: Path, test: str, group: str) -> None:
    (tmp_path / "test_it.py").write_text(FILE)
    assert group_of(f"test_it.py::{test}", tmp_path) == group


def test_the_corpus_is_judged_once() -> None:
    root = ROOT
    names = ("test_right_modules_hold[d2l.py]", "test_the_reproduce_command_finds_the_same_case")
    assert {group_of(f"tests/properties/test_corpus.py::{name}", root) for name in names} == {"tests/properties/test_corpus.py"}
