"""The fast core for the reference's slot: torch's fused kernels, with extra memory that grows linearly with the length."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mhsa.reference.blocks import at_once, blocks, causal_mask, in_blocks, kept
from mhsa.reference.declared_formula import contract_of
from mhsa.reference.exact_core import attention_weights, require_heads
from mhsa.reference.fused_formula import fuse_formula


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: float = 0.0,
    mask: Tensor | None = None,
    *,
    causal: bool | str = False,
    window: tuple[int, int] | None = None,
    scale: float | str | None = None,
    softcap: float | None = None,
    bias: Tensor | str | None = None,
    sinks: Tensor | float | None = None,
) -> tuple[Tensor, Callable[[], Tensor | None]]:
    """Scaled dot-product attention as :func:`mhsa.self_attention` defines it, without keeping the weights.

    Args:
        query: [B, H, Tq, d], floating point.
        key: [B, H, Tk, d], dtype and device of ``query``; there may be fewer heads, a divisor of H, of keys and values.
        value: [B, H, Tk, dv], dtype and device of ``query``.
        dropout: probability in [0, 1] of dropping a weight.
        mask: broadcastable to [B, H, Tq, Tk]; where it is 0 or False the query may not attend to the key.
        causal: query i may attend to the keys 0 to i only (also where Tq != Tk). No mask is made for that. With "bottom-right"
            the last query may attend to all keys, each earlier one to one less.
        window: (left, right), keys before and after the own place that are seen, -1 for all.
        scale: factor of the scores, a number or "1/d_k"; None is 1 / sqrt(d).
        softcap: c of c * tanh(scores / c), before the bias.
        bias: finite numbers, broadcastable to [B, H, Tq, Tk], added to the scaled scores; or "alibi", "alibi-geometric".
        sinks: a logit of each head [H], or a number, that takes part in the softmax and has no value.

    Returns:
        Z [B, H, Tq, dv] in the dtype of ``query``, and a function that computes A [B, H, Tq, Tk] when it is called: the
        weights that multiplied V, dropout included, as the reference gives them. It keeps query, key and mask alive.
        Under ``torch.compile`` with dropout it gives None: what the compiled kernel dropped is not known.

    Raises:
        ValueError: sizes that do not fit together, mixed dtypes or devices, no probability, or a field that cannot be.

    Beyond inputs and outputs it takes memory proportional to Tq + Tk, in training too. A soft cap and sinks, which no kernel of
    torch has, are computed exactly, block of queries by block of queries. The exceptions are heads that no
    fused kernel of torch takes; and scores must be representable in the dtype, as for every fused kernel.
    """
    require_heads(query, key, value, mask, grouped=True)
    if not 0.0 <= dropout <= 1.0:
        raise ValueError(f"dropout={dropout!r}; must be a probability in [0, 1]")
    others = (window, scale, softcap, bias, sinks)
    if isinstance(causal, str) or key.size(1) != query.size(1) or any(other is not None for other in others):
        given, learned = (x if isinstance(x, Tensor) else None for x in (bias, sinks))
        formula = contract_of(
            "fused_attention", causal=causal, window=window, scale=scale, softcap=softcap,
            bias=bias if given is None else "given", sinks=sinks if learned is None else "learned",
        ).formula  # fmt: skip
        return fuse_formula(query, key, value, formula, dropout, None if mask is None else mask != 0, given, learned)
    return fuse(query, key, value, dropout, None if mask is None else mask != 0, causal)


def fuse(
    query: Tensor, key: Tensor, value: Tensor, dropout: float, mask: Tensor | None, causal: bool
) -> tuple[Tensor, Callable[[], Tensor | None]]:
    """:func:`fused_attention` of arguments that are known to fit; ``mask`` is bool."""
    seed = -1
    if mask is not None:  # the kernels want it whole
        mask = mask[(None,) * (4 - mask.dim())]
    if mask is None and not dropout:
        z = at_once(query, key, value, None, causal, 0.0)
    elif dropout and not torch.compiler.is_compiling():
        # One number drawn here stands for all that is dropped: a block can be dropped again in the backward pass, and for
        # the weights, without any of it being kept.
        seed = int(torch.randint(2**62, ()))
        z = _in_blocks(query, key, value, mask, causal, dropout, seed)
    elif mask is not None and causal and not dropout:
        z = _in_blocks(query, key, value, mask, causal, 0.0, seed)
    elif mask is not None and causal:
        z = at_once(query, key, value, mask & causal_mask(query, key), False, dropout)
    else:
        z = at_once(query, key, value, mask, causal, dropout)
    grad = torch.is_grad_enabled()

    def weights() -> Tensor | None:
        if dropout and seed < 0:
            return None
        with torch.set_grad_enabled(grad):
            allowed = _allowed(query, key, mask, causal, 0, query.size(-2)) if causal else mask
            found = attention_weights(query, key, allowed)
            if dropout:
                parts = [kept(query, key, dropout, seed, a, b) for a, b in blocks(query, key, small=True)]
                found = found * torch.cat(parts, dim=-2)
            return found.to(query.dtype)

    return z, weights


def _in_blocks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float, seed: int) -> Tensor:
    """Attend block of queries by block of queries; what a block makes for itself is made again in the backward pass."""

    def block(q: Tensor, k: Tensor, v: Tensor, a: int, b: int) -> Tensor:
        allowed = _allowed(q, k, mask, causal, a, b)
        rows = q[..., a:b, :]
        if not dropout:
            return at_once(rows, k, v, allowed, False, 0.0)
        return _mix_dropped(rows, k, v, allowed, kept(q, k, dropout, seed, a, b))

    return in_blocks(block, (q, k, v), small=bool(dropout))


def _allowed(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, a: int, b: int) -> Tensor | None:
    """Return the mask of queries a to b, causal or not: bool, broadcastable to [B, H, b - a, Tk]; None if all is allowed."""
    part = mask if mask is None or mask.size(-2) == 1 else mask[..., a:b, :]
    if not causal:
        return part
    before = causal_mask(q, k, a, b)
    return before if part is None else part & before


def _mix_dropped(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, keep: Tensor) -> Tensor:
    """Return (softmax(Q K^T / sqrt(d)) * keep) V, written out: no fused kernel tells what it has dropped."""
    if k.size(-2) == 0:
        return q.new_zeros(*q.shape[:-1], v.size(-1))
    wide = keep.dtype
    # Scaled on both sides by the fourth root of d, as torch does: the products then do not outgrow the scores.
    root = math.sqrt(math.sqrt(q.size(-1)))
    scores = (q.to(wide) / root) @ (k.to(wide) / root).transpose(-2, -1)
    if allowed is not None:
        empty = ~allowed.any(dim=-1, keepdim=True)
        # A row without any key is let see all of them, and its weights are taken away again: no NaN, and no gradient.
        weights = torch.softmax(scores.masked_fill(~(allowed | empty), -math.inf), dim=-1).masked_fill(empty, 0.0)
    else:
        weights = torch.softmax(scores, dim=-1)
    return ((weights * keep) @ v.to(wide)).to(q.dtype)
