"""What is accepted of one benchmark: how many times slower it may be, and how much more of what is counted it may take."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from mhsa.bench.measure.measurement import Counters

COUNTERS = tuple(f.name for f in fields(Counters))
# 1.15x, +15 operators, +4096 peak: as it stands in the file, and in a commit's message.
ONE = rf"(?:\d+(?:\.\d+)?x|\+\d+ (?:{'|'.join(COUNTERS)}))"
SEVERAL = rf"{ONE}(?:\s*,\s*{ONE})*"


@dataclass(frozen=True)
class Figures:
    """What is accepted.

    Attributes:
        ratio: of the times, head / base; 1 if no longer time is accepted.
        more: of what is counted, by its name: how much head may take in addition to what base takes.
    """

    ratio: float = 1.0
    more: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{self.ratio:.3f}x"] if self.ratio > 1 else []
        return ", ".join([*parts, *(f"+{n} {name}" for name, n in self.more.items())])

    @property
    def shift(self) -> float:
        """The logarithm of the ratio: what is taken off a log ratio before it is judged."""
        return math.log(self.ratio)


def parsed(text: str) -> Figures | None:
    """Return the figures that a text has; None if it has others, or none at all."""
    if not re.fullmatch(SEVERAL, text.strip()):
        return None
    parts = [part.strip() for part in text.split(",")]
    ratios = [float(part.removesuffix("x")) for part in parts if part.endswith("x") and not part.startswith("+")]
    more: Counter[str] = Counter()
    for part in parts:
        if part.startswith("+"):
            number, name = part.removeprefix("+").split()
            more[name] += int(number)
    if len(ratios) > 1 or any(not 1 < ratio < 1000 for ratio in ratios):
        return None
    return Figures(ratios[0] if ratios else 1.0, dict(more))


def together(several: Iterable[Figures]) -> Figures:
    """Return what several allow one after the other: ratios multiply, counts add up."""
    ratio, more = 1.0, Counter[str]()
    for figures in several:
        ratio *= figures.ratio
        more.update(figures.more)
    return Figures(ratio, dict(more))
