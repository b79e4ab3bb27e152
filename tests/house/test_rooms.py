"""The folders of mhsa/ as docs/architecture.md shows them; which may import which, import-linter checks (make lint)."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.helpers.places import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
FOLDERS = [ROOT / "mhsa", *(p for p in (ROOT / "mhsa").rglob("*") if p.is_dir() and list(p.glob("*.py")))]


def test_the_picture_is_that_of_the_imports() -> None:
    """The numbers in it are from when it was drawn: python docs/rooms.py --write."""
    rooms = runpy.run_path(str(ROOT / "docs" / "rooms.py"))
    shown = PAGE.partition(rooms["BEGIN"])[2].partition(rooms["END"])[0]
    assert re.sub(r"\d+", "n", shown.strip()) == re.sub(r"\d+", "n", rooms["drawn"]().strip())


def test_every_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`([a-z_/]+/[a-z_]+\.(?:py|json))`", PAGE))
    assert len(named) > 80
    assert [name for name in sorted(named) if not (ROOT / "mhsa" / name).exists() and not (ROOT / name).exists()] == []


def test_there_are_few_rooms() -> None:
    assert len([p for p in (ROOT / "mhsa").iterdir() if p.is_dir() and list(p.rglob("*.py"))]) <= 12


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_folder_has_few_files(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= 20


@pytest.mark.parametrize("folder", FOLDERS[1:], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_package_says_what_it_is_and_imports_nothing(folder: Path) -> None:
    text = (folder / "__init__.py").read_text()
    assert text.startswith('"""')
    assert "import " not in text.rpartition('"""')[2]
