"""Whether two tensors are the same, whatever operations they were made in."""

from __future__ import annotations

from torch import Tensor

# "The same tensor, in other operations or in another order?": half the digits of float64, far above rounding.
_SAME = 2.0**-26


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same numbers, up to the order of operations; without numbers nothing shows it."""
    return a.shape == b.shape and bool(a.numel()) and bool((a - b).abs().max() <= _SAME * b.abs().max())
