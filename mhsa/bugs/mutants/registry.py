"""The list of mutants, read from their source: no torch is imported for it."""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Kinds of bugs, one file each, in the order of a forward pass; "masks.fills" is a file of the folder masks/.
KINDS = (
    "projections",
    "heads",
    "scale",
    "softmax",
    "masks.meaning",
    "masks.axes",
    "masks.skipped",
    "masks.fills",
    "masks.after_softmax",
    "masks.fully_masked_rows",
    "weights",
    "dropout",
    "gradients",
    "modes",
    "purity",
    "sizes",
    "state",
)
# Of features that a contract declares.
DECLARED_KINDS = (
    "formula",
    "rotary",
    "qk_norm",
    "declared.given_bias",
    "declared.alibi",
    "declared.sinks",
    "declared.softcap_order",
    "declared.lse",
    "declared.bias_table",
    "declared.clipped_table",
    "declared.fill",
)
_SECTIONS = ("Formula", "Census", "Killed in")


@dataclass(frozen=True)
class Mutant:
    """One known bug.

    Attributes:
        name: of its class.
        kind: its file in ``mhsa/bugs/mutants/``, with a dot behind the folder.
        summary: the bug in one sentence.
        template: what it computes; what must be computed; "{}" stands for its free constant.
        census: real bugs of that kind, or the property in the research that it breaks.
        killed_in: the profile that finds it and why, where that is not ``quick``.
        free: the name of a constant of its own that might have another value as well, or empty.
        default: that constant.
    """

    name: str
    kind: str
    summary: str
    template: str
    census: str
    killed_in: str
    free: str = ""
    default: float = 0.0

    @property
    def formula(self) -> str:
        """What it computes; what must be computed."""
        return self.formula_with(self.default)

    def formula_with(self, value: float) -> str:
        """Return the formula for another value of the free constant."""
        return self.template.replace("{}", f"{value:g}")

    @property
    def of_masks(self) -> bool:
        """Whether it is a bug in what is done with a mask."""
        return self.kind.startswith("masks.")

    @property
    def spec(self) -> str:
        """The subject, as ``mhsa verify`` takes it."""
        return f"mhsa.bugs.mutants.{self.kind}:{self.name}"


def mutants() -> list[Mutant]:
    """Return every mutant."""
    return [mutant for kind in KINDS for mutant in _read(kind)]


def declared() -> list[Mutant]:
    """Return the mutants of declared features, each with its declaration; ``mhsa power`` measures plain attention alone."""
    return [mutant for kind in DECLARED_KINDS for mutant in _read(kind)]


def right() -> list[str]:
    """Return the subjects that differ from the reference and are right all the same."""
    tree = ast.parse(_source("right"))
    return [f"mhsa.bugs.mutants.right:{node.name}" for node in tree.body if isinstance(node, ast.ClassDef)]


def _source(kind: str) -> str:
    return (Path(__file__).parent / f"{kind.replace('.', '/')}.py").read_text(encoding="utf-8")


@functools.cache  # parsing all of them takes 0.1 s, and the measurements ask a thousand times
def _read(kind: str) -> list[Mutant]:
    found = []
    for node in ast.parse(_source(kind)).body:
        docstring = ast.get_docstring(node) or "" if isinstance(node, ast.ClassDef) else ""
        head, *rest = re.split(rf"^({'|'.join(_SECTIONS)}):", docstring, flags=re.MULTILINE)
        if isinstance(node, ast.ClassDef) and rest:
            said = {title: " ".join(text.split()) for title, text in zip(rest[::2], rest[1::2], strict=True)}
            summary = " ".join(head.split())
            own = _constants(node)
            free = own.get("free", "")
            facts = said["Formula"], said["Census"], said.get("Killed in", "")
            found.append(Mutant(node.name, kind, summary, *facts, free, own.get(free, 0.0)))
    return found


def _constants(node: ast.ClassDef) -> dict[str, Any]:
    """Names in the class's body that are set to a number or a string."""
    found = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                found[statement.targets[0].id] = ast.literal_eval(statement.value)
            except ValueError:
                continue
    return found
