"""How a module's output is made of what its attention gives: a residual, a norm, a gate, in the numbers of one call."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from mhsa.introspect.layers.same import same
from mhsa.introspect.surroundings.gates import gated
from mhsa.introspect.surroundings.watched_call import PartCall


def after_attention(
    inner: Tensor, final: Tensor, residuals: Sequence[Tensor], norms: Sequence[PartCall]
) -> tuple[str, tuple[str, ...]]:  # fmt: skip
    """Return how the module's output is made of the attention's, in words; empty if it is the same or is not explained."""
    if same(final, inner):
        return "", ()
    if any(same(final, inner + x) for x in residuals):
        return "the residual that is added to it", ("residual",)
    if any(same(final, (inner + x) / 2**0.5) for x in residuals):
        return "the residual that is added to it, over the root of 2", ("residual",)
    for norm in norms:
        kind = type(norm.part).__name__
        given, gave = (x if x is None else _in_axes_of(final, x) for x in (norm.given[0], norm.output))
        if given is None or gave is None:
            continue
        if same(gave, final) and same(given, inner):
            return f"{kind} after the attention", (kind,)
        if same(gave, final) and any(same(given, inner + x) for x in residuals):
            return f"the residual that is added to it and {kind} after that", ("residual", kind)
        if same(given, inner) and any(same(final, gave + x) for x in residuals):
            return f"{kind} after the attention and the residual that is added to it", (kind, "residual")
    return "", ()


def behind_a_gate(
    module: nn.Module, calls: Sequence[PartCall], inner: Tensor, final: Tensor, residuals: Sequence[Tensor],
    norms: Sequence[PartCall],
) -> tuple[str, tuple[str, ...]]:  # fmt: skip
    """Return how a gate makes the output, or what a norm makes it of, of what the attention gives; empty if none does."""
    text, parts = gated(module, calls, inner, [final], residuals)
    for norm in () if text else norms:
        given, gave = (x if x is None else _in_axes_of(final, x) for x in (norm.given[0], norm.output))
        if given is not None and gave is not None and same(gave, final):
            text, parts = gated(module, calls, inner, [given], residuals)
            if text:
                return f"{text} and {type(norm.part).__name__} after that", (*parts, type(norm.part).__name__)
    return text, parts


def _in_axes_of(final: Tensor, x: Tensor) -> Tensor | None:
    """Return a tensor with its axes in the order of the output's, whose sizes all differ: BatchNorm1d takes [B, D, T]."""
    if x.shape == final.shape:
        return x
    orders = itertools.permutations(range(x.dim())) if x.dim() == final.dim() == 3 else iter(())
    return next((x.permute(order) for order in orders if x.permute(order).shape == final.shape), None)
