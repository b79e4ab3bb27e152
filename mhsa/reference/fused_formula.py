"""A formula by torch's fused kernels where they can do it, else exactly, block by block: in memory linear in the length."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mhsa.oracle.formula.formula import Formula
from mhsa.reference.blocks import at_once, blocks, in_blocks, kept
from mhsa.reference.formula_core import formula_weights
from mhsa.reference.positions import alibi, distances, rotated, seen


def fuse_formula(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    formula: Formula,
    dropout: float = 0.0,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Callable[[], Tensor]]:
    """Attend as :func:`mhsa.reference.formula_core.formula_attention` does, without keeping the weights.

    The arguments are those of that function, ``dropout`` the probability. Returns Z and a function that computes A.
    """
    query, key = _turned(formula, query, key)
    formula = replace(formula, rotary=None)
    mask, bias = (None if x is None else x[(None,) * (4 - x.dim())] for x in (mask, bias))
    seed = int(torch.randint(2**62, ())) if dropout else -1  # as in the plain core: it stands for all that is dropped
    inputs = (query, key, value, bias, sinks)
    more: dict[str, Any] = {"scale": formula.factor(query.size(-1)), "enable_gqa": key.size(1) != query.size(1)}

    def weights_of(q: Tensor, k: Tensor, bias: Tensor | None, sinks: Tensor | None, a: int, b: int) -> Tensor:
        found = formula_weights(q, k, formula, _rows(mask, a, b), _rows(bias, a, b), sinks, (a, b))
        if not dropout:
            return found
        parts = [kept(q, k, dropout, seed, x, y) for x, y in blocks(q, k, small=True) if a <= x and y <= b]
        return found * torch.cat(parts, dim=-2).to(found.dtype)

    def exactly(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, sinks: Tensor | None, a: int, b: int) -> Tensor:
        weights = weights_of(q, k, bias, sinks, a, b)
        return (weights @ v.repeat_interleave(q.size(1) // v.size(1), dim=1).to(weights.dtype)).to(q.dtype)

    def by_kernel(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, sinks: Tensor | None, a: int, b: int) -> Tensor:
        return at_once(
            q[..., a:b, :], k, v, _as_mask(formula, q, k, _rows(mask, a, b), _rows(bias, a, b), a, b), False, 0.0, **more
        )

    causal, whole = _at_once_as(formula, query, key, mask, bias)
    # No kernel of torch has a soft cap or sinks, or says what it drops.
    if dropout or formula.softcap is not None or formula.sinks is not None:
        z = in_blocks(exactly, inputs, small=True)
    elif whole:
        z = at_once(query, key, value, mask if bias is None else bias, causal, 0.0, **more)
    else:
        z = in_blocks(by_kernel, inputs, small=False)
    grad = torch.is_grad_enabled()

    def weights() -> Tensor:
        with torch.set_grad_enabled(grad):
            return weights_of(query, key, bias, sinks, 0, query.size(-2)).to(query.dtype)

    return z, weights


def _at_once_as(formula: Formula, query: Tensor, key: Tensor, mask: Tensor | None, bias: Tensor | None) -> tuple[bool, bool]:
    """Return whether one call of a kernel is given its switch of causality, and whether one call can do all of it."""
    if formula.distant or (mask is not None and bias is not None):
        return False, False
    if not formula.positional:
        return False, bias is None or not bias.requires_grad  # no fused kernel for the CPU differentiates a bias
    aligned = formula.causal == "top-left" or (formula.causal == "bottom-right" and query.size(-2) == key.size(-2))
    causal = aligned and formula.window is None
    return causal, causal and mask is None and bias is None


def _as_mask(formula: Formula, q: Tensor, k: Tensor, mask: Tensor | None, bias: Tensor | None, a: int, b: int) -> Tensor | None:
    """Return the mask of a kernel for queries a to b: bool, or what is added to the scores, -inf where a key is hidden."""
    distance = distances(formula, q.size(-2), k.size(-2), q.device, a, b)
    allowed = seen(formula, distance, mask)
    term = alibi(formula, q.size(1), distance, q.dtype).unsqueeze(0) if formula.distant else bias
    if term is None or allowed is None:
        return allowed if term is None else term
    return torch.where(allowed, term.to(q.dtype), -math.inf)


def _rows(x: Tensor | None, a: int, b: int) -> Tensor | None:
    """Return the part for queries a to b of [..., Tq or 1, Tk]."""
    return x if x is None or x.size(-2) == 1 else x[..., a:b, :]


def _turned(formula: Formula, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Return rotated queries and keys in their dtype; the rotation itself is done in float32 at least."""
    wide = torch.promote_types(query.dtype, torch.float32)
    q, k = rotated(formula, query.to(wide), key.to(wide))
    return q.to(query.dtype), k.to(key.dtype)
