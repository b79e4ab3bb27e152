"""A finite number that hides masked keys, where others have -inf; the bound is derived in docs/bounds.md."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.bounded import OWN, Arithmetic, Bounded
from mhsa.oracle.formula.fields import Fill

# exp is zero in float64 from -746 on, the farthest of all formats. A distance that is rounded four times is at least half of
# what it is in the coarsest one, so that twice that is far enough in every evaluation.
_VANISHES = 1500.0


def stage(arithmetic: Arithmetic, scores: Bounded, allowed: NDArray[np.bool_], fill: Fill) -> tuple[Bounded, NDArray[np.bool_]]:
    """Return the scores as they go into the softmax, and for which keys that is not certain to give a weight of exactly zero.

    Args:
        arithmetic: how the implementation rounds.
        scores: [..., Tq, Tk], not yet masked.
        allowed: the mask, of the same shape.
        fill: the number.
    """
    number = float(fill.number)
    held = np.full_like(scores.value, number)
    error = 0.0 if _is_held(arithmetic, number) else (arithmetic.unit + OWN) * abs(number)
    filled = Bounded(held, np.full_like(held, error))
    if fill.how == "added":
        filled = arithmetic.add(scores, filled)
    value = np.where(allowed, scores.value, filled.value)
    error_of_all = np.where(allowed, scores.error, filled.error)
    least = np.where(allowed, scores.value - scores.error, -np.inf).max(axis=-1, initial=-np.inf, keepdims=True)
    vanishes = ~allowed & (least - (filled.value + filled.error) > _VANISHES)
    return Bounded(value, error_of_all), ~vanishes


def _is_held(arithmetic: Arithmetic, number: float) -> bool:
    """Whether the format holds the number exactly: -10000 is 9984 in bfloat16."""
    return (math.frexp(number)[0] / (arithmetic.unit + arithmetic.unit) * 2.0).is_integer()


def words(fill: Fill) -> str:
    """Return what a reader is told."""
    if fill.how == "added":
        return f"masked keys are hidden by adding {fill.number:g} to their scores"
    return f"the scores of masked keys are set to {fill.number:g}"
