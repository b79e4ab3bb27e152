"""How an implementation was understood: one part of its interface, and how that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# From the surest to the least sure: the user said it; a name, an annotation or a docstring says it; it alone fits the oracle
# exactly; nothing says otherwise.
Known = Literal["declared", "named", "annotated", "documented", "fitted", "default"]


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
