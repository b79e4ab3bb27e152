"""The logarithm of the sum of exponentials of a row's scores, as kernels return it; the bound is derived in docs/bounds.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.bounded import OWN, Arithmetic, Array, Bounded, gamma
from mhsa.oracle.formula import sinks
from mhsa.oracle.formula.fields import Lse

# Relative to the largest score and the logarithm: a maximum that is multiplied by log2(e) and back, a logarithm right to two
# units, and the sum of both.
_ROUNDINGS = 6
# Relative to an incoming gradient: ln 2 and a product with it, log2(e) and the product, and the same in the derivatives of
# a base-2 exponential and logarithm.
_ROUNDINGS_BACK = 10
_LOST = 300.0  # exp of it is finite; where scores are off by more, so is the logarithm


def stage(
    arithmetic: Arithmetic, scores: Bounded, allowed: NDArray[np.bool_] | None, sink: Bounded | None, kind: Lse
) -> Bounded:
    """Return [..., Tq] of scores [..., Tq, Tk], the sink among them; of a row without an allowed key nothing is said."""
    if sink is not None:
        allowed, scores = sinks.seen(allowed, scores.value.shape), sinks.with_sink(scores, sink)
    s = scores.value if allowed is None else np.where(allowed, scores.value, -np.inf)
    e = scores.error if allowed is None else np.where(allowed, scores.error, 0.0)
    keys = s.shape[-1]
    some = np.isfinite(s).any(axis=-1)
    top = np.where(some, s.max(axis=-1, initial=-np.inf), 0.0)
    distance = np.where(np.isfinite(s), top[..., None] - s, np.inf)
    p = np.exp(-distance)
    total = np.where(some, p.sum(axis=-1), 1.0)
    p = p / total[..., None]
    e = e + gamma(4, arithmetic.unit + OWN) * np.where(np.isfinite(distance), distance, 0.0)
    # Scores that are off by d_k move the logarithm by ln sum p_k exp(d_k); by Jensen's inequality never more downwards.
    up = np.log(np.where(some, (p * np.exp(np.minimum(e, _LOST))).sum(axis=-1), 1.0))
    moved = np.where(e.max(axis=-1, initial=0.0) > _LOST, np.inf, up)
    rest = arithmetic.normalisation(keys)
    summed = -np.log1p(-rest) if rest < 1.0 else np.inf
    value = top + np.log(total)
    error = moved + summed + gamma(_ROUNDINGS, arithmetic.unit + OWN) * (np.abs(top) + np.log(max(keys, 1)))
    factor = 1.0 / np.log(2.0) if kind == "base-2" else 1.0
    found = arithmetic.store(value * factor, error * factor, 1 if kind == "natural" else 3)
    return Bounded(found.value, np.where(some, found.error, np.inf))


def gradient(arithmetic: Arithmetic, d_lse: Array, kind: Lse) -> Bounded:
    """Return [..., Tq, 1], what each score of a row receives, times its weight, from a gradient [..., Tq] of the logarithm."""
    if kind is None:
        raise ValueError("the formula returns no log-sum-exp; a gradient of one cannot be given")
    value = d_lse[..., None] * (1.0 / np.log(2.0) if kind == "base-2" else 1.0)
    return arithmetic.store(value, np.zeros_like(value), _ROUNDINGS_BACK)


def words(kind: Lse) -> str:
    """Return what a reader is told."""
    return f"the log-sum-exp of each row is returned ({'natural logarithm' if kind == 'natural' else 'logarithm to base 2'})"
