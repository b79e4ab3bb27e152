"""Normalised queries and keys: by the root of the mean square, after the mean, or by the length; bound: docs/bounds.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.bounded import OWN, Arithmetic, Array, Bounded, gamma
from mhsa.oracle.formula.fields import QkNorm

_USUAL = {"rms": 1e-6, "layer": 1e-5, "l2": 1e-12}  # as in most models, in torch.nn.LayerNorm, in torch.nn.functional.normalize
# Of a root's inverse: two for a root or its inverse that are right to two units each, two for sqrt(d) in its place.
_ROOT = 6
# Of the backward pass, relative to its terms: the inverse cubed, the products, the quotient by d, the sum of three terms.
_BACK = 16


@dataclass(frozen=True)
class Normalised:
    """What the derivatives need of one normalisation, in the shape in which it is formed.

    Attributes:
        norm: its kind.
        units: the normalised features, before the gain: [B, heads, T, d], or [B, 1, T, heads * d] where it goes over all.
        inverse: what the features were multiplied with, [..., 1].
        gain: broadcast to the features; None where there is none.
        short: where a length is below the least one, so that it does not matter, [..., 1].
        heads: their number.
        stored: how many numbers the gain has; 0 where there is none.
        shifts: whether there is a bias, too.
    """

    norm: QkNorm
    units: Bounded
    inverse: Bounded
    gain: Bounded | None
    short: NDArray[np.bool_]
    heads: int
    stored: int = 0
    shifts: bool = False


def epsilon(norm: QkNorm, arithmetic: Arithmetic) -> float:
    """Return what is added to the mean square, or the least length."""
    if norm.eps == "dtype":
        return 2.0 * arithmetic.accumulation
    return _USUAL[norm.kind] if norm.eps is None else float(norm.eps)


def stage(
    arithmetic: Arithmetic, norm: QkNorm, x: Bounded, gain: Array | None, shift: Array | None
) -> tuple[Bounded, Normalised]:
    """Return queries or keys [B, heads, T, d], normalised, times a gain [d] or [heads * d] and shifted by as many numbers."""
    heads = x.value.shape[1]
    wide = _wide(norm, x)
    n = wide.value.shape[-1]
    centred, rough = wide, 0.0 * wide.value[..., :1]
    if norm.kind == "layer":
        mean = _mean(arithmetic, wide)
        centred = arithmetic.add(wide, Bounded(-mean.value, mean.error))
        # A variance that is formed in one pass loses by the mean what its root is smaller than the root mean square.
        square = (wide.magnitude**2).mean(axis=-1, keepdims=True)
        rough = gamma(2 * n + 4, arithmetic.accumulation + OWN) * np.sqrt(
            square * (centred.magnitude**2).mean(-1, keepdims=True)
        )
    squares = arithmetic.multiply(centred, centred)
    total = arithmetic.total(squares, -1, n) if norm.kind == "l2" else _mean(arithmetic, squares)
    inverse, short = _inverse(arithmetic, norm, Bounded(total.value, total.error + rough))
    with np.errstate(invalid="ignore"):
        units = arithmetic.multiply(centred, inverse)
    # Whatever it is formed from, what is divided by its own root mean square is no larger than sqrt(d).
    largest = (1.0 if norm.kind == "l2" else np.sqrt(n)) * (1.0 + gamma(2 * n + _BACK, arithmetic.unit + OWN))
    error = np.nan_to_num(units.error, nan=np.inf)
    units = Bounded(units.value, np.where(short, error, np.minimum(error, largest + np.abs(units.value))))
    factor = None if gain is None else _factor(arithmetic, norm, _spread(gain, heads, n))
    y = units if factor is None else arithmetic.multiply(units, factor)
    if shift is not None:
        y = arithmetic.add(y, Bounded.exact(np.broadcast_to(_spread(shift, heads, n), y.value.shape)))
    normed = Normalised(norm, units, inverse, factor, short, heads, 0 if gain is None else gain.size, shift is not None)
    return _narrow(norm, y, heads), normed


def chain(arithmetic: Arithmetic, normed: Normalised, d: Bounded, *, back: bool) -> Bounded:
    """Return how the features move, of how they moved before the normalisation; ``back``: the gradient before, of that after.

    The Jacobian of the normalisation alone is symmetric; the gain comes after it, and before it on the way back.
    """
    norm, x, n = normed.norm, normed.units, normed.units.value.shape[-1]
    d = _wide(norm, d)
    if back and normed.gain is not None:
        d = arithmetic.multiply(d, normed.gain)
    along = arithmetic.multiply(d, x)
    along = arithmetic.total(along, -1, n) if norm.kind == "l2" else _mean(arithmetic, along)
    along = Bounded(np.where(normed.short, 0.0, along.value), np.where(normed.short, 0.0, along.error))
    inner = arithmetic.add(d, arithmetic.multiply(Bounded(-x.value, x.error), along))
    parts = d.magnitude * x.magnitude
    size = d.magnitude + x.magnitude * (parts.sum(-1, keepdims=True) if norm.kind == "l2" else parts.mean(-1, keepdims=True))
    if norm.kind == "layer":
        mean = _mean(arithmetic, d)
        inner = arithmetic.add(inner, Bounded(-mean.value, mean.error))
        size = size + size.mean(axis=-1, keepdims=True)  # what is left of the mean that was taken off
    d = arithmetic.multiply(inner, normed.inverse)
    error = d.error + gamma(_BACK, arithmetic.unit + OWN) * size * normed.inverse.magnitude
    d = Bounded(d.value, error)
    if not back and normed.gain is not None:
        d = arithmetic.multiply(d, normed.gain)
    return _narrow(norm, d, normed.heads)


def gradients(arithmetic: Arithmetic, normed: Normalised, d: Bounded, roundings: int) -> dict[str, Bounded]:
    """Return the gradients of gain and shift, as they are stored: those of all features that they are for, summed."""
    d = _wide(normed.norm, d)
    found = {}
    if normed.stored:
        found["weight"] = _gathered(arithmetic, arithmetic.multiply(d, normed.units), normed.stored, roundings)
    if normed.shifts:
        found["bias"] = _gathered(arithmetic, d, normed.stored, roundings)
    return found


def words(norm: QkNorm) -> str:
    """Return what a reader is told."""
    how = {"rms": "by their root mean square", "layer": "by mean and variance", "l2": "by their length"}[norm.kind]
    over = "each head" if norm.over == "head" else "all heads together"
    parts = [f"queries and keys are normalised ({how}, {over}"]
    if norm.eps is not None:
        parts.append("eps of the dtype" if norm.eps == "dtype" else f"eps {norm.eps:g}")
    if norm.gain != "weight":
        parts.append("times 1 + weight")
    if norm.place != "before-rotary":
        parts.append("after the rotation")
    return ", ".join(parts) + ")"


def _inverse(arithmetic: Arithmetic, norm: QkNorm, square: Bounded) -> tuple[Bounded, NDArray[np.bool_]]:
    """Return the inverse of a root [..., 1] with its error, and where a least length stands in its place."""
    eps = epsilon(norm, arithmetic)
    rounded = gamma(_ROOT, arithmetic.unit + OWN)
    if norm.kind == "l2":
        length = np.sqrt(square.value)
        short = length < eps
        value = 1.0 / np.maximum(np.maximum(length, eps), 1e-300)
        least = np.maximum(np.sqrt(np.maximum(square.value - square.error, 0.0)), eps)
        with np.errstate(divide="ignore"):
            most = np.where(least > 0.0, 1.0 / least, np.inf)
        fewest = 1.0 / np.maximum(np.maximum(np.sqrt(square.value + square.error), eps), 1e-300)
        moved = np.maximum(most - value, value - fewest)
        return Bounded(value, moved + rounded * (value + moved)), short
    shifted = arithmetic.add(
        square, Bounded(np.full_like(square.value, eps), np.full_like(square.value, arithmetic.unit * eps))
    )
    value = 1.0 / np.sqrt(np.maximum(shifted.value, 1e-300))
    share = np.minimum(shifted.error / np.maximum(shifted.value, 1e-300), 1.0)
    with np.errstate(divide="ignore"):
        moved = value * np.expm1(-0.5 * np.log1p(-share))
    return Bounded(value, moved + rounded * (value + moved)), np.zeros(value.shape, dtype=bool)


def _mean(arithmetic: Arithmetic, x: Bounded) -> Bounded:
    n = x.value.shape[-1]
    total = arithmetic.total(x, -1, n)
    return arithmetic.store(total.value / n, total.error / n)


def _factor(arithmetic: Arithmetic, norm: QkNorm, gain: Array) -> Bounded:
    return (
        Bounded.exact(gain) if norm.gain == "weight" else arithmetic.add(Bounded.exact(np.ones_like(gain)), Bounded.exact(gain))
    )


def _spread(numbers: Array, heads: int, n: int) -> Array:
    """Return [n], or [heads, 1, n], of as many numbers."""
    return numbers.reshape(n) if numbers.size == n else numbers.reshape(heads, 1, n)


def _gathered(arithmetic: Arithmetic, d: Bounded, stored: int, roundings: int) -> Bounded:
    """Return the sum over samples and tokens, and over heads that share the numbers."""
    batch, heads, length, n = d.value.shape
    axes = (0, 1, 2) if stored == n else (0, 2)
    terms = batch * length * (heads if stored == n else 1)
    total = arithmetic.total(d, axes, terms)
    return arithmetic.store(total.value, total.error, roundings * (heads if stored == n else 1)).reshape(stored)


def _wide(norm: QkNorm, x: Bounded) -> Bounded:
    """Return [B, heads, T, d] as [B, 1, T, heads * d] where all heads are normalised together."""
    if norm.over == "head":
        return x
    batch, heads, length, d = x.value.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, 1, length, heads * d)


def _narrow(norm: QkNorm, x: Bounded, heads: int) -> Bounded:
    if norm.over == "head":
        return x
    batch, _, length, width = x.value.shape
    return x.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)
