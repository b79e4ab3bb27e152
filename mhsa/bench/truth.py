"""No time without truth: before a contender is timed, what it computes at that shape, dtype and device is compared."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from mhsa import backward, check, oracle
from mhsa.bench.contender import Built
from mhsa.bench.measurement import Pass
from mhsa.bounded import Array, Bounded
from mhsa.check import Violation
from mhsa.placing import is_tensor, numbers

# Scores that are compared with the oracle: a second of its time. A longer sequence is compared at as many of its queries
# as that allows, first and last among them and spread evenly, so that every block of a kernel is met.
SCORES = 2**21
_LEAST = 16  # queries, however long the sequence is
_STREAM = 20  # of the random numbers of the gradient that the backward pass begins with


class Oracle:
    """What contenders must compute at one shape; evaluated once for all that have the same numbers and precision."""

    def __init__(self) -> None:
        self._forward: dict[bytes, oracle.MultiHead] = {}
        self._backward: dict[bytes, tuple[Bounded, dict[str, Bounded]]] = {}

    def forward(self, built: Built, rows: Array) -> oracle.MultiHead:
        """Return output [B, rows, D] with its bound."""
        key, trial = _key(built), built.trial
        if key not in self._forward:
            x = trial.query
            self._forward[key] = oracle.multi_head(x[:, rows], x, x, trial.projections, built.shape.head, None, trial.precision)
        return self._forward[key]

    def backward(self, built: Built, rows: Array, start: Array) -> tuple[Bounded, dict[str, Bounded]]:
        """Return the gradients of x [B, T, D] and of the parameters, for ``start`` [B, rows, D] at the rows and 0 elsewhere."""
        key, trial = _key(built), built.trial
        if key not in self._backward:
            found = backward.gradients(self.forward(built, rows), trial.precision, start)
            of_query = Bounded(np.zeros_like(trial.query), np.zeros_like(trial.query))
            of_query.value[:, rows], of_query.error[:, rows] = found.query.value, found.query.error
            self._backward[key] = backward.tied(trial.precision, [of_query, found.key, found.value]), found.parameters
        return self._backward[key]


def rows_of(built: Built) -> Array:
    """Return the queries that are compared."""
    shape = built.shape
    count = min(shape.length, max(_LEAST, SCORES // (shape.batch * shape.head * shape.length)))
    rows: Array = np.unique(np.linspace(0, shape.length - 1, count).round().astype(int))
    return rows


def untruth(built: Built, passes: Pass, known: Oracle) -> str:
    """Return what is wrong with the result of a pass, in words; empty if it is within the oracle's bounds.

    The output is compared at :func:`rows_of` and must be finite everywhere. The gradients are compared in full, of a loss
    that looks at those rows: a dense one would need every score of the oracle.

    Raises whatever the contender raises where it cannot do this at all.
    """
    rows = rows_of(built)
    with check.recording():
        try:
            if passes == "forward":
                with torch.no_grad():
                    _compare_output(built, built.bind(built.x)(), rows, known)
                    _compare_weights(built, rows, known)
            else:
                _compare_gradients(built, rows, known)
        except Violation as violation:
            return str(violation)
    return ""


def _compare_output(built: Built, output: Tensor, rows: Array, known: Oracle) -> None:
    shape = [built.shape.batch, built.shape.length, built.shape.d_model]
    if not is_tensor(output) or list(output.shape) != shape or output.dtype != built.x.dtype:
        words = f"{output.dtype} {list(output.shape)}" if is_tensor(output) else type(output).__name__
        check.fail(f"output is {words}, but must be {built.x.dtype} {shape}", what="output")
    found = numbers(output)
    check.finite("output", found)
    check.within("output", found[:, rows], known.forward(built, rows).output)


def _compare_weights(built: Built, rows: Array, known: Oracle) -> None:
    """Compare the weights where the contender is timed with them."""
    if built.contender.need_weights:
        trial, x = built.trial, built.x
        weights = trial.subject.caller(trial.module, x, x, x, None, True)[1]
        if not is_tensor(weights):
            check.fail(f"weights are a {type(weights).__name__}, but were asked for", what="weights")
        check.within("weights", numbers(weights)[:, :, rows], known.forward(built, rows).weights)


def _compare_gradients(built: Built, rows: Array, known: Oracle) -> None:
    trial = built.trial
    start = trial.cotangent(_STREAM, (built.shape.batch, len(rows), built.shape.d_model))
    dense = np.zeros_like(trial.query)
    dense[:, rows] = start
    leaf = built.x.detach().clone().requires_grad_(True)
    output = built.bind(leaf)()
    _compare_output(built, output, rows, known)
    if not output.requires_grad:
        check.fail("output does not require a gradient, but must: its input does", what="gradients")
    leaves = (leaf, *built.leaves)
    found = torch.autograd.grad(output, leaves, trial.place(dense), allow_unused=True)
    of_tensors = {leaf: gradient for leaf, gradient in zip(leaves, found, strict=True) if gradient is not None}
    of_x, of_parameters = known.backward(built, rows, start)
    check.within("gradient of x", numbers(of_tensors.get(leaf, torch.zeros_like(leaf))), of_x)
    for name, view in trial.views.views():
        check.within(f"gradient of {name}", numbers(view.gradient(of_tensors)[0]), of_parameters[name])


def _key(built: Built) -> bytes:
    """Return what tells two sets of numbers, and of conditions, apart."""
    trial, digest = built.trial, hashlib.sha256(repr((built.trial.precision, built.shape)).encode())
    p = trial.projections
    for array in (trial.query, *(x for m in (p.query, p.key, p.value, p.out) for x in (m.weight, m.bias) if x is not None)):
        digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.digest()
