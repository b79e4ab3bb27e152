"""ALiBi: a slope of the head times the distance is taken off (Press et al. 2022, arXiv 2108.12409); bound: docs/bounds.md."""

from __future__ import annotations

import numpy as np

from mhsa.oracle.bounded import OWN, Arithmetic, Array, Bounded, gamma
from mhsa.oracle.formula.bias_fields import Bias
from mhsa.oracle.formula.causal import own_places
from mhsa.oracle.formula.fields import Causal

# Of a slope 2^(-8 h / H), formed in the format itself: two roundings of the exponent, of 8 at most, each 8 ln 2 < 5.6 of them
# in the slope, and two for a power that is right to two units in the last place.
_ROUNDINGS = 14
# Slopes that are no powers of two often are a table in float32 whatever the data is: formed as above, and stored there.
_TABLE = gamma(_ROUNDINGS, 2.0**-24)


def slopes(head: int, bias: Bias = "alibi") -> Array:
    """Return the slope of each head [H]: 2^(-8 h / H) for h = 1, ..., H where H is a power of two, or in every case.

    For other H the paper's authors take the slopes of the largest power of two below, and every other one of the next larger.
    """
    below = 2 ** int(np.log2(head))
    if bias == "alibi-geometric" or below == head:
        return np.asarray(2.0 ** (-8.0 * np.arange(1, head + 1) / head))
    more = slopes(2 * below)[::2][: head - below]
    return np.concatenate([slopes(below), more])


def stage(arithmetic: Arithmetic, bias: Bias, causal: Causal, shape: tuple[int, ...]) -> Bounded:
    """Return what is added to scores [B, H, Tq, Tk]: [H, Tq, Tk], minus the slope times |j - i|, i the query's own place.

    What is the same for a whole row changes nothing, so that j or j - i may stand for the distance where attention is causal:
    the product is rounded at the size of a place, not of a distance.
    """
    head, queries, keys = shape[-3:]
    of_head = slopes(head, bias)[:, None, None]
    distance = np.abs(np.arange(keys) - own_places(causal, queries, keys)[:, None])
    value = -of_head * distance
    rounded = np.log2(of_head) % 1.0 != 0.0
    step = gamma(_ROUNDINGS, arithmetic.unit + OWN)
    error = np.where(rounded, max(step, _TABLE), step) * np.abs(value)
    places = gamma(2, arithmetic.unit + OWN) * of_head * float(max(queries, keys))
    return Bounded(value, error + places)


def words(bias: Bias) -> str:
    """Return what a reader is told."""
    which = "2^(-8 h / H) for every H" if bias == "alibi-geometric" else "of the paper, for any H"
    return f"ALiBi (the distance to the own place is taken off, times a slope of the head; slopes {which})"
