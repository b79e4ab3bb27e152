"""One number of a peer's case against the oracle: how far it is off, in bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mhsa.oracle.bounded import Bounded


@dataclass(frozen=True)
class Compared:
    """A case of a peer, judged.

    Attributes:
        name: as the peer has it.
        dtype: of its data.
        ratio: the largest error/bound of all its outputs; above 1 the two disagree. Infinite where a number is not finite
            or something that has no rounding (a mask, a concatenation) differs.
        part: the output with that ratio.
    """

    name: str
    dtype: str
    ratio: float
    part: str

    @property
    def agrees(self) -> bool:
        """Whether every output is within its bound."""
        return self.ratio <= 1.0


def ratio(got: Any, must: Bounded) -> float:
    """Return the largest |got - must| / bound of arrays of one shape; 0 where nothing is off, infinity where all is lost."""
    found = np.asarray(got).astype(np.float64)
    if found.shape != must.value.shape or not np.isfinite(found).all():
        return float("inf")
    apart = np.abs(found - must.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(apart == 0.0, 0.0, apart / must.error)
    return float(parts.max(initial=0.0))


def same(got: Any, must: Any) -> float:
    """Return 0 where two arrays are equal, element by element, and infinity elsewhere."""
    return 0.0 if np.array_equal(np.asarray(got), np.asarray(must)) else float("inf")


def worst(name: str, dtype: str, ratios: dict[str, float]) -> Compared:
    """Return the case with its worst output."""
    part = max(ratios, key=lambda p: ratios[p])
    return Compared(name, dtype, ratios[part], part)


def table(peer: str, compared: Iterable[Compared]) -> list[str]:
    """Return what is printed of a peer: how many agree, the worst of each dtype, and every case that does not agree."""
    cases = list(compared)
    lines = [f"{peer}: {sum(c.agrees for c in cases)} of {len(cases)} agree"]
    for dtype in sorted({c.dtype for c in cases}):
        top = max((c for c in cases if c.dtype == dtype), key=lambda c: c.ratio)
        count = sum(c.dtype == dtype for c in cases)
        lines.append(f"  {dtype:<9} {count:>3} cases, largest error/bound {top.ratio:.3f} ({top.part} of {top.name})")
    lines += [f"  disagrees: {c.name}, {c.dtype}: {c.part} is off by {c.ratio:.3g} bounds" for c in cases if not c.agrees]
    return lines
