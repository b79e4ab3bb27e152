"""What lies between the maps of queries and keys and the scores: normalisation, rotation by the places; both derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mhsa.oracle.bounded import Arithmetic, Array, Bounded, gamma
from mhsa.oracle.formula import qk_norm, rotary
from mhsa.oracle.formula.formula import Formula

# Of gradients that go back before the sum over a group: eight roundings of a rotation, sixteen of a normalisation.
_BEFORE_A_SUM = 24


class Gain(Protocol):
    """The parameters of a normalisation: as many numbers as a head has features, or as all heads have."""

    @property
    def weight(self) -> Array:
        """The gain."""

    @property
    def bias(self) -> Array | None:
        """The shift, where there is one."""


@dataclass(frozen=True)
class ScoreSide:
    """Queries or keys [B, heads, T, d_k], with what their derivatives need.

    Attributes:
        heads: as they go into the scores.
        formula: what is done to them.
        tables: cosines and sines of their places; None where nothing is rotated.
        normed: what their normalisation gave; None where there is none.
    """

    heads: Bounded
    formula: Formula
    tables: rotary.Tables | None
    normed: qk_norm.Normalised | None = None

    def after_the_norm(self, arithmetic: Arithmetic, d: Bounded) -> Bounded:
        """Return the gradient of the normalised features, of that of the heads."""
        return d if self._norm_is_last else self._turned(arithmetic, d, back=True)

    def back(self, arithmetic: Arithmetic, d: Bounded) -> Bounded:
        """Return the gradient of what the map gives, of that of the heads."""
        d = self.after_the_norm(arithmetic, d)
        if self.normed is not None:
            d = qk_norm.chain(arithmetic, self.normed, d, back=True)
        return self._turned(arithmetic, d, back=True) if self._norm_is_last else d

    def push(self, arithmetic: Arithmetic, d: Bounded) -> Bounded:
        """Return how the heads move when what the map gives moves by ``d``."""
        d = self._turned(arithmetic, d) if self._norm_is_last else d
        if self.normed is not None:
            d = qk_norm.chain(arithmetic, self.normed, d, back=False)
        return d if self._norm_is_last else self._turned(arithmetic, d)

    def before_a_sum(self, arithmetic: Arithmetic, d: Bounded) -> Bounded:
        """Return gradients of heads of which those of a group will be summed: each may go back before the sum is formed."""
        if not self.formula.between:
            return d
        return Bounded(d.value, d.error + gamma(_BEFORE_A_SUM if self.normed else 8, arithmetic.unit) * d.magnitude)

    @property
    def _norm_is_last(self) -> bool:
        return self.formula.qk_norm is not None and self.formula.qk_norm.place == "after-rotary"

    def _turned(self, arithmetic: Arithmetic, d: Bounded, *, back: bool = False) -> Bounded:
        if self.tables is None or self.formula.rotary is None:
            return d
        return rotary.turn(arithmetic, self.formula.rotary, d, self.tables, back=back)


def sides(
    arithmetic: Arithmetic,
    formula: Formula,
    query: Bounded,
    key: Bounded,
    gains: tuple[Gain | None, Gain | None] = (None, None),
) -> tuple[ScoreSide, ScoreSide]:
    """Return queries and keys [B, heads, T, d_k] as they go into the scores; ``gains`` are those of the normalisation."""
    found = []
    queries, keys = query.value.shape[-2], key.value.shape[-2]
    at = rotary.places(formula.rotary, formula.causal, queries, keys) if formula.rotary else (None, None)
    norm = formula.qk_norm
    for x, places, gain in zip((query, key), at, gains, strict=True):
        of, normed = None, None
        if formula.rotary is not None and places is not None:
            of = rotary.tables(arithmetic, formula.rotary, places, x.value.shape[-1])
        for step in ("norm", "rotary") if norm is None or norm.place == "before-rotary" else ("rotary", "norm"):
            if step == "norm" and norm is not None:
                parts = (None, None) if gain is None else (gain.weight, gain.bias)
                x, normed = qk_norm.stage(arithmetic, norm, x, *parts)
            if step == "rotary" and formula.rotary is not None and of is not None:
                x = rotary.turn(arithmetic, formula.rotary, x, of)
        found.append(ScoreSide(x, formula, of, normed))
    return found[0], found[1]
