"""The result of one call, with the oracle's: output, weights and gradients, observed and expected."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mhsa.oracle import gradients
from mhsa.oracle.attention import MultiHead
from mhsa.oracle.bounded import Array, Bounded
from mhsa.oracle.precision import Precision
from mhsa.subject import check

Mask = NDArray[np.bool_]
_MOST = 64  # numbers that are worth a picture


@dataclass(frozen=True)
class Answer:
    """One call.

    Attributes:
        output: [B, Tq, d_model], as float64 numbers.
        weights: [B, head, Tq, Tk] or None.
        lse: log-sum-exp [B, H, Tq], where it is judged.
        mask: bool [B, Tq, Tk] or None: the mask of the call AND what the formula lets a query see.
        tensors: what was returned, as the call returned it: output, and weights and log-sum-exp or None.
        expected: the oracle's answer with its bounds, evaluated on first use.
    """

    output: Array
    weights: Array | None
    mask: Mask | None
    tensors: tuple[Tensor, Tensor | None, Tensor | None]
    fully_masked_row: str | None
    evaluate_oracle: Callable[[], MultiHead]
    lse: Array | None = None

    @functools.cached_property
    def expected(self) -> MultiHead:
        """The oracle's result, evaluated once."""
        return self.evaluate_oracle()

    @functools.cached_property
    def judged(self) -> Mask:
        """Rows [B, Tq, 1] whose value is settled: rows with a key, and empty ones if the contract gives their weights."""
        batch, tq, _ = self.output.shape
        if self.mask is None or self.fully_masked_row in ("zeros", "uniform"):
            return np.ones((batch, tq, 1), dtype=bool)
        return np.asarray(self.mask.any(axis=-1, keepdims=True))

    @property
    def attended(self) -> Mask:
        """Rows [B, Tq, 1] with an allowed key."""
        batch, tq, _ = self.output.shape
        return np.ones((batch, tq, 1), dtype=bool) if self.mask is None else np.asarray(self.mask.any(axis=-1, keepdims=True))

    def drawn(self) -> dict[str, Any] | None:
        """Return output and weights as lists, observed and required: what a report draws. None where there are too many."""
        if self.output.size > _MOST:
            return None
        output, weights = self.expected.output, self.expected.weights
        return {
            "output": _pictured(self.output, output.value, output.error),
            "weights": _pictured(self.weights, weights.value, weights.error),
        }

    @property
    def output_and_bound(self) -> tuple[Array, Array]:
        """The pair that :func:`mhsa.subject.check.agree` compares."""
        return self.output, self.expected.output.error


def _pictured(observed: Array | None, required: Array, bound: Array) -> dict[str, Any]:
    parts = {"observed": observed, "required": required, "bound": np.broadcast_to(bound, required.shape)}
    return {name: None if x is None else check.listed(x, _MOST) for name, x in parts.items()}


class ObservedGradients(dict[str, Array]):
    """Gradients by name; a property that wants that of a map which is not a parameter is not applicable."""

    def __init__(self, gradients: Mapping[str, Array], fixed: Mapping[str, str]) -> None:
        super().__init__(gradients)
        self.fixed = dict(fixed)

    def __missing__(self, name: str) -> Array:
        """End the property where ``name`` has no gradient because it is not a parameter."""
        if name in self.fixed:
            check.inapplicable(f"needs the gradient of {name}: {self.fixed[name]}")
        raise KeyError(name)


@dataclass(frozen=True)
class Differentiated:
    """One call and the gradients of <output, d_output> + <weights, d_weights> + <log-sum-exp, d_lse>.

    Attributes:
        answer: the call.
        observed: gradients by name: ``query``, ``key``, ``value`` and parameters as ``query.weight``. Tied tensors have
            one, under the first of their names. Where autograd knows of no dependence it is zero.
        missing: the names of those for which autograd knew of no dependence at all.
        expected: the oracle's gradients under the same names, evaluated on first use.
    """

    answer: Answer
    observed: ObservedGradients
    missing: frozenset[str]
    evaluate_oracle: Callable[[], dict[str, Bounded]]

    @functools.cached_property
    def expected(self) -> dict[str, Bounded]:
        """The oracle's result, evaluated once."""
        return self.evaluate_oracle()


def expected_gradients(
    answer: Answer,
    ties: dict[str, list[str]],
    d_output: Array | None,
    d_weights: Array | None,
    d_lse: Array | None,
    precision: Precision,
) -> dict[str, Bounded]:
    """Return the oracle's gradients; ``ties`` says which roles each tensor plays, by the name it is reported under."""
    of_output = np.zeros_like(answer.output) if d_output is None else d_output
    if answer.fully_masked_row == "zero-output":  # which depends on nothing
        of_output = np.where(answer.attended, of_output, 0.0)
    expected = gradients.gradients(answer.expected, precision, of_output, d_weights, d_lse)
    parts = {"query": expected.query, "key": expected.key, "value": expected.value}
    inputs = {
        name: parts[name] if len(roles) == 1 else gradients.tied(precision, [parts[r] for r in roles])
        for name, roles in ties.items()
    }
    return inputs | expected.parameters | ({} if expected.bias is None else {"bias": expected.bias})
