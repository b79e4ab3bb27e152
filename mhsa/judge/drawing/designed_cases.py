"""A few cases that together meet every part of each table, and that show what they can.

Random draws repeat themselves: of six cases two are alike, and one is the smallest there is, which shows nothing. Here each
table is cut into as many parts as there are cases, and each part is drawn from once (McKay, Beckman, Conover 1979, Latin
hypercube sampling). To choose of several candidates the one with most new pairs of choices (Cohen et al. 1997) was tried: it
brings a fortieth more pairs at four times the cost.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from mhsa.judge.drawing.choices import make
from mhsa.records.case import Case

_TRIES = 8  # for a case that shows something; some strategies give no other
_RARELY = 16  # one case in so many may be one that shows little


@dataclass(frozen=True)
class Designed:
    """One case: what a property is called with, and the numbers of the choices in the order of the draws."""

    drawn: dict[str, Any]
    choices: tuple[int, ...]


@dataclass
class _Strata:
    """How often each part of each table has been drawn from, by the number of the draw."""

    count: int
    random: random.Random
    used: list[list[int]] = field(default_factory=list)

    def candidate(self, strategies: Mapping[str, st.SearchStrategy[Any]]) -> tuple[Designed, list[int]]:
        """Return a case from parts that were used least, and the number of the part of each of its draws."""
        parts: list[int] = []
        choices: list[int] = []

        def index(values: int) -> int:
            number = len(parts)
            if number == len(self.used):
                self.used.append([0] * self.count)
            used = self.used[number]
            least = min(used)
            parts.append(self.random.choice([n for n, times in enumerate(used) if times == least]))
            return int((parts[-1] + self.random.random()) * values / self.count)

        drawn = {name: make(strategy, index, choices) for name, strategy in strategies.items()}
        return Designed(drawn, tuple(choices)), parts

    def take(self, parts: list[int]) -> None:
        """Count the parts of a case that was taken."""
        for used, part in zip(self.used, parts, strict=False):
            used[part] += 1


def design(strategies: Mapping[str, st.SearchStrategy[Any]], count: int, seed: str) -> Iterator[Designed]:
    """Yield ``count`` cases; the same strategies, count and seed give the same ones."""
    parts = _Strata(count, random.Random(seed))
    for number in range(1, count + 1):
        for _ in range(1 + _TRIES):
            case, its_parts = parts.candidate(strategies)
            if number % _RARELY == 0 or not _shows_little(case.drawn):
                break
        parts.take(its_parts)
        yield case


def _shows_little(drawn: Mapping[str, Any]) -> bool:
    """Whether the answer is a value, whatever is wrong with scores and masks: of one key, or where all tokens are equal."""
    return any(isinstance(c, Case) and (c.key_length == 1 or c.data == "repeated") for c in drawn.values())
