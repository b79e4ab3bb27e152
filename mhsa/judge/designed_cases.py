"""A few cases that together meet as much as they can: every part of each table, and as many pairs of choices as possible.

Random draws repeat themselves: of six cases two are alike, and one is the smallest there is, which shows nothing. Here each
table is cut into as many parts as there are cases, and each part is drawn from once (McKay, Beckman, Conover 1979, Latin
hypercube sampling); of some candidates for the next case the one is taken that has most pairs of choices which no case has had
yet (Cohen et al. 1997, the AETG system).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from mhsa.judge.choices import make
from mhsa.records.case import Case

_CANDIDATES = 4  # more hardly raise the number of pairs, and each costs a tenth of a millisecond
_SINGLE_KEY = 12  # pairs that a case with one key must have more than others: its weight is 1, whatever is wrong with scores


@dataclass(frozen=True)
class Designed:
    """One case: what a property is called with, and the numbers of the choices in the order of the draws."""

    drawn: dict[str, Any]
    choices: tuple[int, ...]


@dataclass
class _Parts:
    """How often each part of each table has been drawn from, by the number of the draw."""

    count: int
    random: random.Random
    used: list[list[int]] = field(default_factory=list)

    def candidate(self, strategies: Mapping[str, st.SearchStrategy[Any]]) -> tuple[Designed, tuple[int, ...]]:
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
        return Designed(drawn, tuple(choices)), tuple(parts)

    def take(self, parts: tuple[int, ...]) -> None:
        """Count the parts of a case that was taken."""
        for used, part in zip(self.used, parts, strict=False):
            used[part] += 1


def design(strategies: Mapping[str, st.SearchStrategy[Any]], count: int, seed: str) -> Iterator[Designed]:
    """Yield ``count`` cases; the same strategies, count and seed give the same ones."""
    parts = _Parts(count, random.Random(seed))
    met: set[Any] = set()
    for _ in range(count):
        best: Designed | None = None
        best_parts: tuple[int, ...] = ()
        best_pairs, best_score = set[Any](), -1e9
        for _ in range(_CANDIDATES):
            candidate, its_parts = parts.candidate(strategies)
            pairs = set(itertools.combinations(_traits(candidate.drawn), 2))
            score = len(pairs - met) - _SINGLE_KEY * _has_single_key(candidate.drawn)
            if score > best_score:
                best, best_parts, best_pairs, best_score = candidate, its_parts, pairs, score
        assert best is not None
        parts.take(best_parts)
        met |= best_pairs
        yield best


def _has_single_key(drawn: Mapping[str, Any]) -> bool:
    return any(isinstance(value, Case) and value.key_length == 1 for value in drawn.values())


def _traits(drawn: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What pairs are made of: each choice by its name, sizes by what is usual, small and large."""
    traits: list[tuple[str, Any]] = []
    for name, value in drawn.items():
        if not isinstance(value, Case):
            traits.append((name, value))
            continue
        c = value
        traits += [
            ("dtype", c.dtype), ("data", c.data), ("mask", c.mask), ("layout", c.layout), ("tie", c.tie), ("grad", c.grad),
            ("weights", c.need_weights), ("bias", c.bias), ("batch", min(c.batch, 3)), ("head", _class(c.head, 1, 5)),
            ("keys", _class(c.key_length, 1, 9)), ("queries", _class(c.query_length, 1, 6)), ("d_k", _class(c.d_k, 1, 5)),
            ("lengths", (c.query_length > c.key_length) - (c.query_length < c.key_length)),
        ]  # fmt: skip
    return traits


def _class(size: int, one: int, usual: int) -> int:
    return 0 if size <= one else 1 if size <= usual else 2
