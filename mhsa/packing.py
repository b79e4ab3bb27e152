"""Linear layers whose parameters lie side by side in memory, so that one matrix product can do the work of several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def pack(linears: Sequence[nn.Linear]) -> None:
    """Move the parameters of layers with equal inputs into one stretch of memory each, weights and biases.

    They stay parameters of their own, with their values. What is no plain dense parameter is left where it is.
    """
    for name in ("weight", "bias"):
        parts = _parameters(linears, name)
        if parts is None or len({(p.dtype, p.device, p.shape) for p in parts}) > 1:
            return
        if any(p.is_meta or p.layout != torch.strided for p in parts) or _side_by_side(parts):
            continue
        together = torch.stack([p.data for p in parts])
        for p, place in zip(parts, together, strict=True):
            p.data = place


def packed(linears: Sequence[nn.Module]) -> tuple[Tensor, Tensor] | None:
    """Return the weight [n * D, D] and bias [n * D] of layers that lie side by side, as views; None where they do not.

    They do not after parameters were replaced, or moved by something else than :meth:`torch.nn.Module.to`; and a layer that
    somebody has put hooks or another class in the place of must be called, not read. Autograd does not see such views.
    """
    for linear in linears:
        if type(linear) is not nn.Linear or linear._forward_hooks or linear._forward_pre_hooks:
            return None
    weights, biases = _parameters(linears, "weight"), _parameters(linears, "bias")
    if weights is None or biases is None or not (_side_by_side(weights) and _side_by_side(biases)):
        return None
    rows, columns = len(weights) * weights[0].size(0), weights[0].size(1)
    return weights[0].as_strided((rows, columns), (columns, 1)), biases[0].as_strided((rows,), (1,))


def _parameters(linears: Sequence[nn.Module], name: str) -> list[nn.Parameter] | None:
    """Return a parameter of each layer; None where one has none, or one of a class of its own (quantised, sharded, ...)."""
    found = [linear._parameters.get(name) for linear in linears]
    plain = [p for p in found if type(p) is nn.Parameter]
    return plain if len(plain) == len(found) else None


def _side_by_side(parts: Sequence[nn.Parameter]) -> bool:
    """Whether these follow one another in the same memory."""
    first = parts[0]
    size = first.numel() * first.element_size()
    start, memory = first.data_ptr(), first.untyped_storage()
    if start + len(parts) * size > memory.data_ptr() + memory.nbytes():
        return False
    return all(
        p.data_ptr() == start + n * size and p.shape == first.shape and p.dtype == first.dtype and p.is_contiguous()
        for n, p in enumerate(parts)
    )
