"""Rotary positions: pairs of features of queries and keys are rotated by angles that grow with the place (docs/bounds.md)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.bounded import OWN, Arithmetic, Array, Bounded
from mhsa.oracle.formula.causal import own_places
from mhsa.oracle.formula.fields import Causal, Rotary

_SINGLE = 2.0**-24
_ROUNDINGS = 8  # of an angle: quotient of the exponent, four for a power right to two units, reciprocal, place, product
_EVALUATED = 4  # units roundoff of a cosine or sine that is right to two units in the last place; its size is 1 at most

Tables = tuple[Bounded, Bounded]  # cosines and sines [T, pairs]


def places(rotary: Rotary, causal: Causal, queries: int, keys: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the places of queries and of keys; queries are aligned with the keys as causality has it."""
    return rotary.offset + own_places(causal, queries, keys), rotary.offset + np.arange(keys)


def tables(arithmetic: Arithmetic, rotary: Rotary, at: NDArray[np.int_], d_k: int) -> Tables:
    """Return cosines and sines [T, pairs] with their errors, as the declared precision of the tables gives them."""
    width = rotary.width(d_k)
    exponents = np.arange(0, width, 2) / max(width, 1)
    frequencies = rotary.base**-exponents
    angles: Array = at[:, None] * frequencies
    unit = arithmetic.unit if rotary.tables == "dtype" else _SINGLE
    # The exponent is off by three roundings (of ln base, of the product, of the quotient), times ln base in the power.
    roundings = np.ceil(3.0 * math.log(rotary.base) * exponents) + _ROUNDINGS
    error = roundings * (unit + OWN) / (1.0 - roundings * (unit + OWN)) * np.abs(angles)
    error = np.minimum(error, 2.0) + _EVALUATED * (unit + OWN)
    cos, sin = (arithmetic.store(table, error) for table in (np.cos(angles), np.sin(angles)))
    return cos, sin


def turn(arithmetic: Arithmetic, rotary: Rotary, x: Bounded, of: Tables, *, back: bool = False) -> Bounded:
    """Return x [..., T, d_k] rotated: (a, b) becomes (a cos - b sin, b cos + a sin); ``back``: by the negative angle.

    Back is also the transpose, which gradients need.
    """
    cos, sin = of
    sin = Bounded(-sin.value, sin.error) if back else sin
    width = rotary.width(x.value.shape[-1])
    first, second = (
        (slice(0, width // 2), slice(width // 2, width))
        if rotary.layout == "half"
        else (slice(0, width, 2), slice(1, width, 2))
    )
    a, b = x[..., first], x[..., second]
    minus = Bounded(-sin.value, sin.error)
    value, error = x.value.copy(), x.error.copy()
    for part, (p, q, s) in ((first, (a, b, minus)), (second, (b, a, sin))):
        turned = arithmetic.add(arithmetic.multiply(p, cos), arithmetic.multiply(q, s))
        value[..., part], error[..., part] = turned.value, turned.error
    return Bounded(value, error)


def words(rotary: Rotary) -> str:
    """Return what a reader is told."""
    parts = [f"rotary positions (base {rotary.base:g}, {rotary.layout} layout"]
    if rotary.fraction != 1.0:
        parts.append(f"the first {rotary.fraction:g} of the features")
    if rotary.offset:
        parts.append(f"places from {rotary.offset}")
    parts.append(f"tables in {'the dtype of the data' if rotary.tables == 'dtype' else 'float32'})")
    return ", ".join(parts)
