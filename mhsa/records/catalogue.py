"""The list of properties, read from their source: no torch, no Hypothesis and no pytest is imported for it."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

# Families about declared features, whose known bugs are those of registry.declared(), and about what is around the attention;
# `mhsa power` does not measure them.
DECLARED = (
    "causality",
    "groups",
    "rotary",
    "biases",
    "sinks",
    "soft_cap",
    "qk_norm",
    "lse",
    "fills",
    "layers",
)

# Strongest first: the order in which families run. On the wrong modules in tests/corpus the oracle finds all but
# the missing refusal, so it goes first; `mhsa verify` then says at once what is wrong.
FAMILIES = (
    "oracle",
    "gradients",
    "frozen",
    "graphs",
    "crafted_inputs",
    "numbers",
    "masks",
    "mask_forms",
    "fully_masked_rows",
    "weights",
    "heads",
    "purity",
    "modes",
    "dropout",
    "layout",
    "edges",
    "branches",
    "half_formats",
    *DECLARED,
    "symmetry",
    "algebra",
    "identities",
    "copies",
    "transforms",
    "construction",
    "shape_mismatch",
)
EVERYTHING = "judged.everything"  # no property, but a test like one: a green run must not hide what nothing has tried
SECTIONS = ("Statement", "Requires", "Source", "Breaks it")

# A property with its docstring. To parse the files takes 0.1 s in each of two processes of a run, and this a tenth of that;
# tests/records/test_catalogue.py compares the two.
_PROPERTY = re.compile(r'^def test_(\w+)\([^"]*"""((?:[^"]|"(?!""))*)"""', re.MULTILINE)


@dataclass(frozen=True)
class Property:
    """One property.

    Attributes:
        id: ``family.name``, stable.
        family: its file in ``properties/``.
        summary: one sentence.
        statement, requires, source, breaks: the sections of its docstring, one line each.
        slow: whether the quick profile leaves it out.
    """

    id: str
    family: str
    summary: str
    statement: str
    requires: str
    source: str
    breaks: str
    slow: bool = False


def properties_folder() -> Path:
    """Return where the properties are: inside an installed mhsa, or at the top of a checkout."""
    here = Path(__file__).resolve().parents[1]
    return here / "properties" if (here / "properties").is_dir() else here.parent / "properties"


def catalogue() -> list[Property]:
    """Return every property, in the order in which they run."""
    return list(_catalogue())


@functools.cache  # a run needs it several times
def _catalogue() -> tuple[Property, ...]:
    properties = []
    for family in FAMILIES:
        source, end = (properties_folder() / f"test_{family}.py").read_text(encoding="utf-8"), 0
        for found in _PROPERTY.finditer(source):
            slow = "\n@slow\n" in source[end : found.start()]  # among its decorators, or what stands before them
            properties.append(_read(family, found[1], inspect.cleandoc(found[2]), slow=slow))
            end = found.end()
    return tuple(properties)


def is_slow(identity: str) -> bool:
    """Whether the quick profile leaves a property out: it is decorated with ``@slow``."""
    return identity in _slow()


@functools.cache  # it is asked twice for each property of a run
def _slow() -> frozenset[str]:
    return frozenset(p.id for p in _catalogue() if p.slow)


def family_summary(family: str) -> str:
    """Return the first line of a family's file: what it is about."""
    tree = ast.parse((properties_folder() / f"test_{family}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def property_id(nodeid: str) -> str:
    """Return the id of the property that a pytest node id such as ``test_masks.py::test_x[1]`` runs."""
    file, _, function = nodeid.partition("::")
    family = Path(file).stem.removeprefix("test_")
    return f"{family}.{function.partition('[')[0].removeprefix('test_')}"


def _read(family: str, name: str, docstring: str, *, slow: bool) -> Property:
    head, *rest = re.split(rf"^({'|'.join(SECTIONS)}):", docstring, flags=re.MULTILINE)
    sections = {title: " ".join(text.split()) for title, text in zip(rest[::2], rest[1::2], strict=True)}
    return Property(
        id=f"{family}.{name}",
        family=family,
        summary=" ".join(head.split()),
        statement=sections.get("Statement", ""),
        requires=sections.get("Requires", ""),
        source=sections.get("Source", ""),
        breaks=sections.get("Breaks it", ""),
        slow=slow,
    )
