"""What lies between the maps of queries and keys and the scores: rotation by the places. Forwards, and both derivatives."""

from __future__ import annotations

from dataclasses import dataclass

from mhsa.oracle.bounded import Arithmetic, Bounded, gamma
from mhsa.oracle.formula import rotary
from mhsa.oracle.formula.formula import Formula


@dataclass(frozen=True)
class ScoreSide:
    """Queries or keys [B, heads, T, d_k], with what their derivatives need.

    Attributes:
        heads: as they go into the scores.
        formula: what is done to them.
        tables: cosines and sines of their places; None where nothing is rotated.
    """

    heads: Bounded
    formula: Formula
    tables: rotary.Tables | None

    def back(self, arithmetic: Arithmetic, d: Bounded) -> Bounded:
        """Return the gradient of what the map gives, of that of the heads."""
        if self.tables is not None and self.formula.rotary is not None:
            d = rotary.turn(arithmetic, self.formula.rotary, d, self.tables, back=True)
        return d

    def push(self, arithmetic: Arithmetic, d: Bounded) -> Bounded:
        """Return how the heads move when what the map gives moves by ``d``."""
        if self.tables is not None and self.formula.rotary is not None:
            d = rotary.turn(arithmetic, self.formula.rotary, d, self.tables)
        return d

    def before_a_sum(self, arithmetic: Arithmetic, d: Bounded) -> Bounded:
        """Return gradients of heads of which those of a group will be summed: each may go back before the sum is formed."""
        if not self.formula.between:
            return d
        return Bounded(d.value, d.error + gamma(8, arithmetic.unit) * d.magnitude)


def sides(arithmetic: Arithmetic, formula: Formula, query: Bounded, key: Bounded) -> tuple[ScoreSide, ScoreSide]:
    """Return queries and keys [B, heads, T, d_k] as they go into the scores."""
    found = []
    queries, keys = query.value.shape[-2], key.value.shape[-2]
    at = rotary.places(formula.rotary, formula.causal, queries, keys) if formula.rotary else (None, None)
    for x, places in zip((query, key), at, strict=True):
        if formula.rotary is None or places is None:
            found.append(ScoreSide(x, formula, None))
            continue
        of = rotary.tables(arithmetic, formula.rotary, places, x.value.shape[-1])
        found.append(ScoreSide(rotary.turn(arithmetic, formula.rotary, x, of), formula, of))
    return found[0], found[1]
