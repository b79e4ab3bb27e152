"""One backward pass, started from tensors that lie in memory as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def backward_pass(starts: Iterable[tuple[Tensor, Tensor]], leaves: Iterable[Tensor]) -> dict[Tensor, Tensor]:
    """Differentiate the sum of <output, gradient> over ``starts``.

    Returns:
        The gradients of those leaves that require one and that autograd knows an output to depend on.
    """
    trained = [leaf for leaf in leaves if leaf.requires_grad]
    numbers = [_Start.apply(output, gradient) for output, gradient in starts]  # type: ignore[no-untyped-call]
    gradients = torch.autograd.grad(numbers, trained, allow_unused=True)
    return {leaf: gradient for leaf, gradient in zip(trained, gradients, strict=True) if gradient is not None}


class _Start(torch.autograd.Function):
    """A number whose gradient is a given tensor as it lies in memory.

    (``torch.autograd.grad(..., grad_outputs)`` would do, but imports half a second of symbolic shapes to check theirs.)
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, gradient: Tensor) -> Tensor:
        """Return some number."""
        ctx.gradient = gradient
        return output.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, None]:
        """Return the given gradient."""
        return ctx.gradient, None
