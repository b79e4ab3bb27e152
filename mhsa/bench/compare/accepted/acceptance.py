"""A slow-down that somebody has accepted, and what all of them together allow a benchmark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mhsa.bench.compare.accepted.figures import Figures, together


@dataclass(frozen=True)
class Acceptance:
    """A slow-down that is known and meant.

    Attributes:
        reason: why; never empty.
        figures: what is accepted, by the id of a benchmark; a ``*`` in it stands for anything.
        date: when, as in 2026-11-30.
        where: it is kept: the file, or the commit whose message says it.
        base: the commit that was compared with, in full; empty where that is not known.
        commit: the one that was slower.
    """

    reason: str
    figures: Mapping[str, Figures]
    date: str
    where: str
    base: str = ""
    commit: str = ""

    def of(self, benchmark: str) -> Figures | None:
        """Return what is accepted of a benchmark; None if that is nothing."""
        fitting = [figures for name, figures in self.figures.items() if fits(name, benchmark)]
        return together(fitting) if fitting else None

    def as_dict(self, benchmark: str) -> dict[str, Any]:
        """Return what is said of a benchmark, ready for JSON."""
        return {"reason": self.reason, "figures": str(self.of(benchmark)), "date": self.date, "where": self.where}


@dataclass(frozen=True)
class Allowance:
    """What a benchmark is allowed in one comparison: the figures of all acceptances together."""

    figures: Figures
    by: tuple[Acceptance, ...]


def allowance_of(benchmark: str, acceptances: Sequence[Acceptance]) -> Allowance | None:
    """Return what acceptances allow a benchmark; None if none of them is about it."""
    by = [(acceptance, figures) for acceptance in acceptances if (figures := acceptance.of(benchmark)) is not None]
    return Allowance(together(figures for _, figures in by), tuple(acceptance for acceptance, _ in by)) if by else None


def fits(name: str, benchmark: str) -> bool:
    """Whether a name with ``*`` in it is that of a benchmark."""
    return re.fullmatch(".*".join(map(re.escape, name.split("*"))), benchmark) is not None
