"""The gradient of the output, as a backward pass is given it: autograd may give the same tensor to other functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mhsa.judge.single_heads import split_heads
from mhsa.oracle.bounded import Array
from mhsa.subject import check
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.autograd import backward_pass
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import numbers
from mhsa.subject.trial import Trial


class IncomingGradient:
    """dL/dO in some layout, which is looked at again after the backward pass.

    Attributes:
        lay_out: how it lies in memory.
    """

    def __init__(self, lay_out: Callable[[Tensor], Tensor] = lambda g: g) -> None:
        self.lay_out = lay_out
        self._given: list[tuple[Tensor, Array]] = []

    def __call__(self, g: Tensor) -> Tensor:
        """Return ``g`` [B, Tq, D] as it is given to the backward pass."""
        given = self.lay_out(g)
        self._given.append((given, numbers(given)))
        return given

    def require_unchanged(self) -> None:
        """Fail if a backward pass has written into it."""
        for given, before in self._given:
            check.unchanged("dL/dO after the backward pass", numbers(given), before)


def require_unchanged_by_function(trial: Trial) -> None:
    """Fail if the backward pass of a function of heads writes into its gradient, which an out projection makes anew."""
    adapter = trial.subject.adapter
    if not isinstance(adapter, FunctionAdapter):
        return
    query, key, value = (split_heads(trial, x).detach().requires_grad_() for x in (trial.query, trial.key, trial.value))
    mask = None if trial.mask is None else trial.convert(trial.mask)
    with torch.enable_grad():
        output, _ = guard("the function", lambda: adapter.attend(trial.module, query, key, value, mask))
    if not output.requires_grad:
        return
    incoming = IncomingGradient()
    start = (output, incoming(trial.tensor(trial.cotangent(22, tuple(output.shape)))))
    guard("the backward pass of the function", lambda: backward_pass([start], [query, key, value]))
    incoming.require_unchanged()
