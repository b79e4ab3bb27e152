"""The tests that make test leaves out are run in parts, in turn: each of them is in one."""

import argparse
import subprocess

import pytest

from tests.helpers.more import is_in_part, part_of
from tests.helpers.places import ROOT


def test_each_test_is_in_one_part() -> None:
    parts = [[is_in_part(f"tests/room/test_file.py::test[{n}]", (part, 6)) for n in range(600)] for part in range(1, 7)]
    assert all(sum(column) == 1 for column in zip(*parts, strict=True))
    assert all(60 <= sum(row) <= 140 for row in parts)  # about alike


@pytest.mark.parametrize("text", ["", "3", "0/6", "7/6", "2/", "/6", "-1/6", "a/b", "1/0"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not K/N with K from 1 to N"):
        part_of(text)
    assert part_of("6/6") == (6, 6)


def test_what_ci_runs_is_a_part() -> None:
    (line,) = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make test-more")]
    text = line.removeprefix("make test-more PART=")
    said = subprocess.run(["bash", "-c", f"PARTS=7; echo {text}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert part_of(said.strip())[1] == 7
