"""How an implementation was understood: one part of its interface, and how that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

# From the surest to the least sure: the user said it; a name, an annotation or a docstring says it; it alone fits the oracle
# exactly; nothing says otherwise.
Known = Literal["declared", "named", "annotated", "documented", "fitted", "default"]

HOW: dict[Known, str] = {
    "declared": "declared",
    "named": "by name",
    "annotated": "by annotation",
    "documented": "documented",
    "fitted": "found by calling",
    "default": "as usual",
}


@dataclass(frozen=True)
class Understood:
    """One part of how an implementation is read.

    Attributes:
        part: of the interface: "constructor", "call", "layout", "mask", "output", "parameters", "surroundings", ...
        text: what it is taken for, in words a newcomer knows.
        known: how that is known.
        declaration: fields of the contract that state it, for ``mhsa probe --write`` to pin.
    """

    part: str
    text: str
    known: Known = "named"
    declaration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def how(self) -> str:
        """How it is known, in words."""
        return HOW[self.known]


def notes_of(reading: Sequence[Understood]) -> tuple[tuple[str, str], ...]:
    """Return a reading as (topic, words) to print: a line for each part, with how it is known where no name says it."""
    lines: dict[str, list[str]] = {}
    for each in reading:
        lines.setdefault(each.part, []).append(each.text if each.known == "named" else f"{each.text} ({each.how})")
    return tuple((part, ", ".join(words)) for part, words in lines.items())


def pinned(reading: Sequence[Understood]) -> dict[str, Any]:
    """Return the fields of the contract that state a reading, so that a later change of it is a violation."""
    return {name: value for each in reading for name, value in each.declaration.items()}
