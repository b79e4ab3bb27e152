"""The public names of mhsa: the one table, and what type checkers see in its place."""

from __future__ import annotations

import ast

import mhsa
from tests.helpers.places import ROOT


def test_type_checkers_see_what_the_table_has() -> None:
    tree = ast.parse((ROOT / "mhsa" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen: dict[str, str] = {}
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        assert line.module is not None
        for alias in line.names:
            assert alias.name == alias.asname, "a type checker takes only `name as name` for a public name"
            seen[alias.name] = line.module.removeprefix("mhsa.")
    assert seen == mhsa._MODULES


def test_a_module_of_the_table_is_the_one_that_defines_the_name() -> None:
    assert {name: getattr(mhsa, name).__module__ for name in mhsa.__all__} == {
        name: f"mhsa.{module}" for name, module in mhsa._MODULES.items()
    }
