"""Inputs at the timed shape, and what the oracle says must come out of them."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle import gradients as backward
from mhsa.oracle.attention import MultiHead, multi_head
from mhsa.oracle.bounded import Array, Bounded
from mhsa.records.shape import Shape
from mhsa.subject.trial import Trial

# Scores that are compared with the oracle: a second of its time. A longer sequence is compared at as many of its queries
# as that allows, first and last among them and spread evenly, so that every block of a kernel is met.
SCORES = 2**21
_LEAST = 16  # queries, however long the sequence is
STREAM = 20  # of the random numbers of the gradient that the backward pass begins with


class Oracle:
    """What contenders must compute at one shape; evaluated once for all that have the same numbers and precision."""

    def __init__(self) -> None:
        self._forward: dict[bytes, MultiHead] = {}
        self._backward: dict[bytes, tuple[Bounded, dict[str, Bounded]]] = {}

    def forward(self, inputs: Inputs) -> MultiHead:
        """Return output [B, rows, D] with its bound."""
        key, x = inputs.key, inputs.x
        if key not in self._forward:
            self._forward[key] = multi_head(
                x[:, inputs.rows], x, x, inputs.trial.projections, inputs.trial.case.head, None, inputs.trial.precision,
                exact_heads=inputs.exact,
            )  # fmt: skip
        return self._forward[key]

    def backward(self, inputs: Inputs) -> tuple[Bounded, dict[str, Bounded]]:
        """Return the gradients of x [B, T, D] and of the parameters."""
        key = inputs.key
        if key not in self._backward:
            found = backward.gradients(self.forward(inputs), inputs.trial.precision, inputs.start)
            of_query = Bounded(np.zeros_like(inputs.x), np.zeros_like(inputs.x))
            of_query.value[:, inputs.rows], of_query.error[:, inputs.rows] = found.query.value, found.query.error
            tied = backward.tied(inputs.trial.precision, [of_query, found.key, found.value])
            self._backward[key] = tied, found.parameters
        return self._backward[key]


@dataclass(frozen=True)
class Inputs:
    """One input: tokens x [B, T, D], the queries ``rows`` that are compared, and whether Q, K and V are exact."""

    trial: Trial
    x: Array
    rows: NDArray[np.int_]
    exact: bool = False

    @functools.cached_property
    def start(self) -> Array:
        """The gradient [B, rows, D] that the backward pass begins with; it is 0 for all other queries.

        In two clusters it is what the token itself would give, so that what all queries do to a key has one sign.
        """
        if self.exact:
            return self.x[:, self.rows] @ self.trial.projections.value.weight.T @ self.trial.projections.out.weight.T
        return self.trial.cotangent(STREAM, (self.x.shape[0], len(self.rows), self.x.shape[2]))

    @functools.cached_property
    def key(self) -> bytes:
        """What tells two sets of numbers, and of conditions, apart."""
        p = self.trial.projections
        digest = hashlib.sha256(repr((self.trial.precision, self.rows.tolist(), self.exact)).encode())
        maps = (x for m in (p.query, p.key, p.value, p.out) for x in (m.weight, m.bias) if x is not None)
        for array in (self.x, *maps):
            digest.update(repr(array.shape).encode() + array.tobytes())
        return digest.digest()


def rows_of(shape: Shape) -> NDArray[np.int_]:
    """Return the queries that are compared."""
    count = min(shape.length, max(_LEAST, SCORES // (shape.batch * shape.head * shape.length)))
    return np.unique(np.linspace(0, shape.length - 1, count).round().astype(int))
