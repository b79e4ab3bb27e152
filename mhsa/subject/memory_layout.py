"""Tensors as callers have them: numbers put in memory in many ways, and read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor

from mhsa.oracle.bounded import Array
from mhsa.records.case import LAYOUTS

T = TypeVar("T")

ALL_LAYOUTS = (*LAYOUTS, "columns")  # "columns": the last axis is not the one whose elements are next to each other
_FILLER = 7.0  # surrounds the numbers in memory; no data of a case is 7


def is_tensor(x: Any) -> TypeGuard[Tensor]:
    """Whether something is a tensor, by its type alone: an object can claim any ``__class__``."""
    return issubclass(type(x), Tensor)


def plain(x: Any) -> Any:
    """Return a tensor without what a subclass of it makes of torch's functions; other things as they are."""
    if not is_tensor(x) or type(x) in (Tensor, torch.nn.Parameter):
        return x
    with torch._C.DisableTorchFunctionSubclass():
        return x.as_subclass(Tensor)


def numbers(tensor: Tensor) -> Array:
    """Return a tensor's numbers in float64."""
    # A copy: a subject may write into what it has returned.
    own = tensor.detach()
    if own.dtype is torch.float64 and own.device.type == "cpu":  # in half the time of what does the same for all
        own = own.clone()
    else:
        own = own.to(device="cpu", dtype=torch.float64, copy=True)
    result: Array = own.numpy()
    return result


def tied(change: Callable[[Array], T], *arrays: Array) -> list[T]:
    """Return each array, changed; arrays that are one object become one result."""
    made: dict[int, T] = {}
    for x in arrays:
        if id(x) not in made:
            made[id(x)] = change(x)
    return [made[id(x)] for x in arrays]


def to_tensor(x: Array, dtype: torch.dtype, device: str, layout: str) -> Tensor:
    """Return a new tensor with these numbers, laid out as one of :data:`ALL_LAYOUTS` says.

    "expanded" needs numbers that are the same for every sample; others stay contiguous.
    """
    # torch.tensor copies: what the subject writes into its arguments must not reach the oracle.
    # It keeps strides, and what was permuted on the way here has some that "contiguous" has not.
    tensor = torch.tensor(x, dtype=dtype, device=device).contiguous()
    return lay_out(tensor, layout)


def lay_out(tensor: Tensor, layout: str) -> Tensor:
    """Return a tensor [B, T, D] (or any other with two axes or more) with the same numbers in another layout."""
    if layout not in ALL_LAYOUTS:
        raise ValueError(f"layout {layout!r}; must be one of {', '.join(ALL_LAYOUTS)}")
    if layout == "columns":
        return tensor.mT.contiguous().mT
    if layout == "transposed":
        return tensor.transpose(0, 1).contiguous().transpose(0, 1)
    if layout == "sliced":  # between other features, as when query, key and value are slices of one projection
        width = tensor.size(-1)
        wide = torch.full((*tensor.shape[:-1], 3 * width), _FILLER, device=tensor.device).to(tensor.dtype)
        wide[..., width : 2 * width] = tensor
        return wide[..., width : 2 * width]
    if layout == "offset":
        longer = torch.full((tensor.size(0) + 1, *tensor.shape[1:]), _FILLER, device=tensor.device).to(tensor.dtype)
        longer[1:] = tensor
        return longer[1:]
    if layout == "expanded" and tensor.size(0) and bool((tensor == tensor[:1]).all()):
        return tensor[:1].expand(tensor.shape)
    return tensor
