"""A bias [B or 1, H or 1, Tq, Tk] that the caller gives and that is added to the scaled scores; bound: docs/bounds.md."""

from __future__ import annotations

from mhsa.oracle.bounded import OWN, Arithmetic, Bounded, gamma

# A bias may be divided by the scale, to be added before it, or multiplied by log2(e), for a base-2 exponential.
_ROUNDINGS = 2


def added(arithmetic: Arithmetic, scores: Bounded, bias: Bounded) -> Bounded:
    """Return the scores [B, H, Tq, Tk] with a bias: one that is given is exact in the tested format, others carry an error."""
    error = bias.error + gamma(_ROUNDINGS, arithmetic.unit + OWN) * bias.magnitude
    return arithmetic.store(scores.value + bias.value, scores.error + error)


def gradient(arithmetic: Arithmetic, d: Bounded, shape: tuple[int, ...]) -> Bounded:
    """Return the gradient of a bias of this shape: that of the biased scores, summed over the axes that are broadcast."""
    axes = tuple(n for n in range(len(shape)) if shape[n] == 1 and d.value.shape[n] > 1)
    if not axes:
        return d
    terms = 1
    for axis in axes:
        terms *= d.value.shape[axis]
    total = arithmetic.total(d, axes, terms)
    # A loop over samples or heads stores the sum each time.
    return arithmetic.store(total.value, total.error, roundings=terms)


WORDS = "a given bias is added to the scores"
