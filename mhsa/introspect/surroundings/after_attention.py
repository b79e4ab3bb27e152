"""How a module's output is made of what its attention gives: a residual, a norm, a gate, in the numbers of one call."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from mhsa.introspect.layers.same import same
from mhsa.introspect.projections.search.layers import is_norm
from mhsa.introspect.surroundings.gates import ACTIVATION_FUNCTIONS, gated
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


def is_usual_block(inner: Tensor, final: Tensor, residuals: Sequence[Tensor], after: Sequence[PartCall]) -> bool:
    """Whether the output is a residual around the attention and one around a feed-forward, with norms in any usual place.

    Args:
        inner: what the attention gives.
        final: the output.
        residuals: the inputs, and norms of them in front of the attention.
        after: the calls of parts that come after the attention.
    """
    fitting = [c for c in after if c.path and c.output is not None and c.output.shape == final.shape]
    norms = [c for c in fitting if is_norm(c.part) and c.given]
    normed = [inner, *(c.output for c in norms if c.output is not None and same(c.given[0], inner))]
    sums = [x + y for y in normed for x in residuals if x.shape == y.shape]
    for norm in norms:  # each after the one before
        if norm.output is not None and any(same(norm.given[0], s) for s in sums):
            sums.append(norm.output)
    outputs = [final, *(c.given[0] for c in norms if c.output is not None and same(c.output, final))]
    fed = [c.output for c in fitting if c.output is not None]
    fed += [activate(f) for f in fed for activate in ACTIVATION_FUNCTIONS.values()]
    return any(same(out, s + f) for out in outputs if out.shape == final.shape for s in sums for f in fed if f is not final)
