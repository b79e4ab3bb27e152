"""Arrays that carry their error: plain formulas, evaluated on (value, error) pairs, give a bound for every element.

``error`` bounds how far any evaluation with the stated precision may be from ``value``, whatever order it sums in.
The rules are those of running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter
3); the one for softmax is derived in docs/bounds.md. The values are themselves rounded to float64, and every rule
adds what that costs, so the bound holds for the computed values and not only for exact ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.precision import Precision

Array: TypeAlias = NDArray[np.float64]

OWN = 2.0**-53  # unit roundoff of this module's own float64 arithmetic
_LOST = 300.0  # exp(2 * 300) is still finite; where scores are off by more, any weight between 0 and 1 is possible
_VANISHED = 1e-290  # weights below this may have underflowed here, so their relative error says nothing


@cache  # a case asks for dozens, and those of a run are few
def gamma(terms: int, unit: float) -> float:
    """Relative error of a sum of ``terms`` products, in any order: n u / (1 - n u) (Higham 2002, lemma 3.1)."""
    return terms * unit / (1.0 - terms * unit) if terms * unit < 1.0 else float("inf")


@dataclass(frozen=True)
class Bounded:
    """``value`` and ``error``, two arrays of one shape."""

    value: Array
    error: Array

    @classmethod
    def exact(cls, value: Any) -> Bounded:
        """Wrap numbers that the implementation is given exactly as they are here."""
        array = np.asarray(value, dtype=np.float64)
        return cls(array, np.zeros_like(array))

    def __getitem__(self, index: Any) -> Bounded:
        return Bounded(self.value[index], self.error[index])

    def reshape(self, *shape: int) -> Bounded:
        """Both arrays, reshaped."""
        return Bounded(self.value.reshape(shape), self.error.reshape(shape))

    def transpose(self, *axes: int) -> Bounded:
        """Both arrays, with permuted axes."""
        return Bounded(self.value.transpose(axes), self.error.transpose(axes))

    @property
    def mT(self) -> Bounded:
        """Both arrays, with the last two axes exchanged."""
        return Bounded(self.value.swapaxes(-1, -2), self.error.swapaxes(-1, -2))

    @cached_property
    def magnitude(self) -> Array:
        """Largest size that the evaluated number may have."""
        size: Array = np.abs(self.value) + self.error
        return size


class Arithmetic:
    """The rules, for one precision."""

    def __init__(self, precision: Precision) -> None:
        self.unit = precision.unit
        self.accumulation = precision.accumulation
        self.tiny = precision.tiny

    def store(self, value: Array, error: Array, roundings: int = 1) -> Bounded:
        """Round to the stored format ``roundings`` times."""
        step = gamma(roundings, self.unit) + gamma(roundings, OWN)
        return Bounded(value, error + step * (np.abs(value) + error) + self.tiny)

    def add(self, a: Bounded, b: Bounded) -> Bounded:
        """Return a + b."""
        return self.store(a.value + b.value, a.error + b.error)

    def multiply(self, a: Bounded, b: Bounded) -> Bounded:
        """Return a * b, element by element."""
        error = np.abs(a.value) * b.error + a.error * b.magnitude
        return self.store(a.value * b.value, error)

    def total(self, a: Bounded, axis: int | tuple[int, ...], terms: int) -> Bounded:
        """Return the sum over ``axis``, kept with size 1, of ``terms`` numbers in any order."""
        step = gamma(terms, self.accumulation) + gamma(terms, OWN)
        error = (a.error + step * a.magnitude).sum(axis=axis, keepdims=True)
        return self.store(a.value.sum(axis=axis, keepdims=True), error)

    def matmul(self, a: Bounded, b: Bounded, *, times: int = 1, roundings: int = 1) -> Bounded:
        """Return a @ b, accumulated in any order with up to ``times`` as many terms beside it, and stored."""
        return self.store(a.value @ b.value, self._matmul_error(a, b, times), roundings)

    def linear(self, x: Bounded, weight: Array, bias: Array | None) -> Bounded:
        """Return x @ weight^T + bias, the bias added at the end or summed up with the products."""
        # As matmul of Bounded.exact(weight.T) does, without the zeros that are its error.
        step = self._step(weight.shape[-1])
        y = self.store(x.value @ weight.T, (x.error + step * x.magnitude) @ np.abs(weight.T))
        if bias is None:
            return y
        step = gamma(weight.shape[-1] + 2, self.accumulation)
        return self.add(y, Bounded(bias, step * np.abs(bias)))

    def _matmul_error(self, a: Bounded, b: Bounded, times: int = 1, more: float = 0.0) -> Array:
        step = self._step(a.value.shape[-1], times) + more
        # |a| b.error + a.error b.magnitude + step a.magnitude b.magnitude, with the last two in one product.
        error: Array = (a.error + step * a.magnitude) @ b.magnitude
        # Most factors are numbers as they were given: their errors are zeros, and a third product would be, too.
        return error + np.abs(a.value) @ b.error if b.error.any() else error

    def _step(self, width: int, times: int = 1) -> float:
        """Relative error of a sum of ``width`` products with up to ``times`` as many terms beside them."""
        terms = times * width + 2  # an implementation may start from a bias, and this error is itself evaluated with rounding
        return gamma(terms, self.accumulation) + gamma(terms, OWN)

    def scores(self, query: Bounded, key_transposed: Bounded, scale: float) -> Bounded:
        """Return scale * (query @ key_transposed), with the scale applied before, after, or half to each factor."""
        product = scale * (query.value @ key_transposed.value)
        # Scaling the factors rounds each of their elements: up to two roundings on either side (torch's plain path
        # multiplies both by the square root of the scale, itself rounded), and two more for scaling the product.
        error = scale * self._matmul_error(query, key_transposed, more=gamma(6, self.unit))
        return self.store(product, error)

    def softmax(self, scores: Bounded, allowed: NDArray[np.bool_] | None) -> Bounded:
        """Return the softmax over the last axis of the allowed scores; rows without one come out as zeros."""
        s, e = scores.value, scores.error
        if allowed is not None:
            s = np.where(allowed, s, -np.inf)
            e = np.where(allowed, e, 0.0)
        keys = s.shape[-1]
        if keys == 0:
            return Bounded(np.zeros_like(s), np.zeros_like(s))
        top = s.max(axis=-1, keepdims=True)
        top = np.where(np.isfinite(top), top, 0.0)
        distance = np.where(np.isfinite(s), top - s, 0.0)
        weights = np.where(np.isfinite(s), np.exp(-distance), 0.0)
        total = weights.sum(axis=-1, keepdims=True)
        weights = weights / np.where(total == 0.0, 1.0, total)
        # Forming s - max, or rescaling by exp(old max - new max) block after block, rounds distances that add up to
        # the whole one; base-2 exponentials round it once more. Four roundings of it cover both.
        e = e + gamma(4, self.unit + OWN) * distance
        # With scores off by d_k, |d_k| <= e_k, weight j becomes p_j / (p_j + sum over k != j of p_k exp(d_k - d_j)).
        lower, upper = (self._shifted(weights, np.expm1(sign * np.minimum(e, _LOST))) for sign in (1.0, -1.0))
        rest = self.normalisation(keys)
        # exp(s - log-sum-exp), the form without division, rounds the log-sum-exp, which no normalisation takes back.
        rest = rest + gamma(2, self.unit + OWN) * (np.abs(top) + np.log(keys))
        upward = (1.0 + rest) / np.maximum(1.0 + upper, _VANISHED) - 1.0
        relative = np.maximum(upward, 1.0 - (1.0 - rest) / (1.0 + lower))
        # Whatever its scores, a computed weight lies between 0 and 1 but for the last roundings.
        furthest = np.maximum(weights, 1.0 + rest - weights)
        largest = e.max(axis=-1, keepdims=True)
        small = weights < _VANISHED if allowed is None else (weights < _VANISHED) & allowed
        # Few are, and exponentials cost most here.
        vanished = np.exp(np.minimum(2.0 * largest - distance, 0.0), out=np.zeros_like(weights), where=small)
        error = np.where(largest > _LOST, furthest, np.minimum(weights * relative + vanished, furthest)) + self.tiny
        if allowed is not None:
            error = np.where(allowed, error, 0.0)
        stored = self.store(weights, error)
        return stored if allowed is None else Bounded(weights, np.where(allowed, stored.error, 0.0))

    def normalisation(self, keys: int) -> float:
        """Relative error of exponentials over their sum, beside that of the scores."""
        # Per block of keys an online softmax multiplies and adds, and exponentiates twice. It is taken to have at most
        # 16 blocks, or blocks of at least 16 keys. These roundings are at the accumulation's precision; at the stored
        # one there are four for the exponential and the division, and four more per block.
        blocks = max(min(keys, 16), -(-keys // 16))
        stored_blocks = -(-keys // 16)
        return gamma(keys + 4 * blocks + 8, self.accumulation + OWN) + gamma(4 + 4 * stored_blocks, self.unit + OWN)

    @staticmethod
    def _shifted(weights: Array, m: Array) -> Array:
        """Return sum over k != j of p_k (exp(x_k + x_j) - 1), given m = exp(x) - 1, without cancellation."""
        others = np.maximum(1.0 - weights, 0.0)
        mean = (weights * m).sum(axis=-1, keepdims=True) - weights * m
        shifted: Array = mean * (1.0 + m) + others * m
        return shifted
