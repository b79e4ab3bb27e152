"""A class of mhsa has a name of its own: who searches for it finds one."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.helpers.places import ROOT

# What has one name twice, and why.
EXCEPTIONS = {
    "LogSoftmax": "a known bug and the right variant of the same idea: both are named after what they do",
    "Child": "the process that judges; and, private to the benchmarks, the one that measures",
}


def classes() -> dict[str, list[str]]:
    """The files that define a class, by its name; ``_Group`` is ``Group``."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "mhsa").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name.removeprefix("_")].append(path.relative_to(ROOT).as_posix())
    return found


def test_no_two_classes_have_one_name() -> None:
    twice = {name: files for name, files in classes().items() if len(files) > 1}
    assert {name: files for name, files in twice.items() if name not in EXCEPTIONS} == {}
    assert sorted(set(EXCEPTIONS) - set(twice)) == [], "an exception that is none any more"
