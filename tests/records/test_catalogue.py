"""The properties themselves: complete docstrings, ids that -k can tell apart, and the files where they are expected."""

import ast
import sys
from pathlib import Path

import pytest

from mhsa.records.catalogue import FAMILIES, Property, catalogue, is_slow, properties_folder, property_id
from mhsa.reports.properties_page import handbook
from tests.helpers.places import ROOT

EVERY = catalogue()


def test_the_page_is_up_to_date() -> None:
    page = ROOT / "docs" / "properties.md"
    assert page.read_text(encoding="utf-8") == handbook(EVERY), "mhsa properties --markdown > docs/properties.md"


def test_there_are_at_least_sixty() -> None:
    assert len(EVERY) >= 60


def test_families_are_the_files() -> None:
    assert {f"test_{family}.py" for family in FAMILIES} == {p.name for p in properties_folder().glob("*.py")}


@pytest.mark.parametrize("p", EVERY, ids=lambda p: p.id)
def test_every_docstring_is_complete(p: Property) -> None:
    for part in (p.summary, p.statement, p.requires, p.source, p.breaks):
        assert part.endswith((".", ")")), part
    assert "\n" not in p.summary


def test_properties_are_read_as_python_reads_them() -> None:
    read = []
    for family in FAMILIES:
        for node in ast.parse((properties_folder() / f"test_{family}.py").read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                decorators = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
                head = (ast.get_docstring(node) or "").partition("\nStatement:")[0]
                read.append((f"{family}.{node.name.removeprefix('test_')}", " ".join(head.split()), "slow" in decorators))
    assert [(p.id, p.summary, p.slow) for p in EVERY] == read


def test_no_id_is_part_of_another() -> None:
    """So that -k ID runs one property."""
    names = [p.id.partition(".")[2] for p in EVERY]
    assert not [(a, b) for a in names for b in names if a != b and a in b]


def test_ids_come_from_node_ids() -> None:
    assert property_id("test_masks.py::test_masking_is_deleting[2]") == "masks.masking_is_deleting"
    assert property_id("a/b/test_oracle.py::test_x") == "oracle.x"


def test_properties_are_leaves() -> None:
    """They import mhsa and libraries, never each other."""
    allowed = {"mhsa", "hypothesis", "pytest", "numpy", "torch"} | sys.stdlib_module_names
    for path in properties_folder().glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] in allowed
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= allowed


def test_the_oracle_knows_no_torch() -> None:
    for name in ("oracle/attention", "oracle/bounded", "oracle/precision", "records/case"):
        assert "torch" not in imports(ROOT / "mhsa" / f"{name}.py")


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    plain = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return {
        name.partition(".")[0] for name in plain | {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    }


def test_slow_is_what_the_decorator_says() -> None:
    slow = [p.id for p in EVERY if is_slow(p.id)]
    assert "transforms.compiled" in slow
    assert slow == [p.id for p in EVERY if p.slow]
    assert sum(f.read_text().count("\n@slow\n") for f in properties_folder().glob("test_*.py")) == len(slow)
    assert not is_slow("oracle.output_without_mask")
    assert not is_slow("nosuch.property")
