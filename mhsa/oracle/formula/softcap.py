"""The soft cap c * tanh(s / c) of the scaled scores, before the mask; the bound is derived in docs/bounds.md."""

from __future__ import annotations

import numpy as np

from mhsa.oracle.bounded import OWN, Arithmetic, Bounded, gamma

# Of c * tanh(s / c), relative: the cap as the format holds it, twice, where it divides and where it multiplies; its inverse and
# the quotient; four for a tanh that is right to two units in the last place, as those of CPUs and GPUs are; the product.
_ROUNDINGS = 9
_STEEPEST = 0.7699  # of the derivative 1 - tanh(x)^2: its own slope is 4 / (3 sqrt(3)) at most, rounded up


def stage(arithmetic: Arithmetic, scores: Bounded, cap: float) -> Bounded:
    """Return the capped scores."""
    value = cap * np.tanh(scores.value / cap)
    # The derivative is largest where the score is nearest to zero.
    nearest = np.maximum(np.abs(scores.value) - scores.error, 0.0) / cap
    moved = scores.error * (1.0 - np.tanh(nearest) ** 2)
    moved = np.minimum(moved + gamma(8, OWN) * scores.error, 2.0 * cap)
    rounded = gamma(_ROUNDINGS, arithmetic.unit + OWN) * (np.abs(value) + moved)
    return arithmetic.store(value, moved + rounded + cap * arithmetic.tiny)


def slope(arithmetic: Arithmetic, scores: Bounded, cap: float) -> Bounded:
    """Return the derivative of the cap at the scores that go into it, 1 - tanh(s / c)^2, as a backward pass forms it."""
    t = np.tanh(scores.value / cap)
    moved = np.minimum(_STEEPEST * scores.error / cap, 1.0)
    # t is rounded where it is formed and squared, and the difference is measured by its larger term, which is 1.
    rounded = (2.0 * gamma(_ROUNDINGS, arithmetic.unit + OWN) + gamma(3, arithmetic.unit + OWN)) * np.ones_like(t)
    return Bounded(1.0 - t**2, moved + rounded)


def chain(arithmetic: Arithmetic, d: Bounded, through: Bounded) -> Bounded:
    """Return d times the slope: what the scores before the cap receive, or how the capped ones move."""
    error = np.abs(d.value) * through.error + d.error * through.magnitude
    return arithmetic.store(d.value * through.value, error, roundings=4)  # times c, times the slope, by c, and the slope's own


def words(cap: float) -> str:
    """Return what a reader is told."""
    return f"soft cap {cap:g} * tanh(scores / {cap:g})"
