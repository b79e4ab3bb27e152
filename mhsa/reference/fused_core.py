"""The fast core for the reference's slot: torch's fused kernels, with extra memory that grows linearly with the length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from mhsa.reference.exact_core import attention_weights, require_heads

# Queries of a block, where attention goes block by block. A mask of a block has ROWS x Tk elements per sample: linear in
# Tk. The kernels for the CPU themselves work on 256 queries at a time at most, so smaller blocks would only start them
# more often.
ROWS = 256
# Elements of the weights of a block that drops: 8 MiB in float32, so that a block and its mask stay in a last-level cache.
_ELEMENTS = 2**21
# torch's kernels but for cuDNN's, which torch prefers on a Hopper GPU in half precision: in torch 2.11 a row without any key
# sees all of them there, and with 64 keys beyond a multiple of 128 gradients of queries may be NaN (docs/gpu.md).
_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: float = 0.0,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
) -> tuple[Tensor, Callable[[], Tensor | None]]:
    """Scaled dot-product attention as :func:`mhsa.self_attention` defines it, without keeping the weights.

    Args:
        query: [B, H, Tq, d], floating point.
        key: [B, H, Tk, d], dtype and device of ``query``.
        value: [B, H, Tk, dv], dtype and device of ``query``.
        dropout: probability in [0, 1] of dropping a weight.
        mask: broadcastable to [B, H, Tq, Tk]; where it is 0 or False the query may not attend to the key.
        causal: query i may attend to the keys 0 to i only (also where Tq != Tk). No mask is made for that.

    Returns:
        Z [B, H, Tq, dv] in the dtype of ``query``, and a function that computes A [B, H, Tq, Tk] when it is called: the
        weights that multiplied V, dropout included, as the reference gives them. It keeps query, key and mask alive.
        Under ``torch.compile`` with dropout it gives None: what the compiled kernel dropped is not known.

    Raises:
        ValueError: sizes that do not fit together, mixed dtypes or devices, or no probability.

    Beyond inputs and outputs it takes memory proportional to Tq + Tk, in training too. The exceptions are heads that no
    fused kernel of torch takes; and scores must be representable in the dtype, as for every fused kernel.
    """
    require_heads(query, key, value, mask)
    if not 0.0 <= dropout <= 1.0:
        raise ValueError(f"dropout={dropout!r}; must be a probability in [0, 1]")
    return fuse(query, key, value, dropout, None if mask is None else mask != 0, causal)


def fuse(
    query: Tensor, key: Tensor, value: Tensor, dropout: float, mask: Tensor | None, causal: bool
) -> tuple[Tensor, Callable[[], Tensor | None]]:
    """:func:`fused_attention` of arguments that are known to fit; ``mask`` is bool."""
    seed = -1
    if mask is not None:  # the kernels want it whole
        mask = mask[(None,) * (4 - mask.dim())]
    if mask is None and not dropout:
        z = _at_once(query, key, value, None, causal, 0.0)
    elif dropout and not torch.compiler.is_compiling():
        # One number drawn here stands for all that is dropped: a block can be dropped again in the backward pass, and for
        # the weights, without any of it being kept.
        seed = int(torch.randint(2**62, ()))
        z = _in_blocks(query, key, value, mask, causal, dropout, seed)
    elif mask is not None and causal and not dropout:
        z = _in_blocks(query, key, value, mask, causal, 0.0, seed)
    elif mask is not None and causal:
        z = _at_once(query, key, value, mask & causal_mask(query, key), False, dropout)
    else:
        z = _at_once(query, key, value, mask, causal, dropout)
    grad = torch.is_grad_enabled()

    def weights() -> Tensor | None:
        if dropout and seed < 0:
            return None
        with torch.set_grad_enabled(grad):
            allowed = _allowed(query, key, mask, causal, 0, query.size(-2)) if causal else mask
            found = attention_weights(query, key, allowed)
            if dropout:
                kept = [_kept(query, key, dropout, seed, a, b) for a, b in _blocks(query, key, dropout)]
                found = found * torch.cat(kept, dim=-2)
            return found.to(query.dtype)

    return z, weights


def _at_once(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float) -> Tensor:
    if not q.is_cuda:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal)
    with sdpa_kernel(_KERNELS):
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal)


def _in_blocks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float, seed: int) -> Tensor:
    """Attend block of queries by block of queries; what a block makes for itself is made again in the backward pass."""

    def block(q: Tensor, k: Tensor, v: Tensor, a: int, b: int) -> Tensor:
        allowed = _allowed(q, k, mask, causal, a, b)
        rows = q[..., a:b, :]
        if not dropout:
            return _at_once(rows, k, v, allowed, False, 0.0)
        return _mix_dropped(rows, k, v, allowed, _kept(q, k, dropout, seed, a, b))

    again = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    parts = []
    for a, b in _blocks(q, k, dropout):
        # Without anything to draw, no state of a random generator need be kept for the second time.
        parts.append(
            checkpoint(block, q, k, v, a, b, use_reentrant=False, preserve_rng_state=False) if again else block(q, k, v, a, b)
        )
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


def _blocks(q: Tensor, k: Tensor, dropout: float) -> Iterator[tuple[int, int]]:
    """Yield the first and the last query but one of each block; at least one block, if an empty one."""
    length = q.size(-2)
    rows = max(1, min(ROWS, _ELEMENTS // max(q.size(0) * q.size(1) * k.size(-2), 1))) if dropout else ROWS
    for a in range(0, max(length, 1), rows):
        yield a, min(a + rows, length)


def _allowed(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, a: int, b: int) -> Tensor | None:
    """Return the mask of queries a to b, causal or not: bool, broadcastable to [B, H, b - a, Tk]; None if all is allowed."""
    part = mask if mask is None or mask.size(-2) == 1 else mask[..., a:b, :]
    if not causal:
        return part
    before = causal_mask(q, k, a, b)
    return before if part is None else part & before


def causal_mask(query: Tensor, key: Tensor, first: int = 0, last: int | None = None) -> Tensor:
    """Return the mask bool [last - first, Tk] of these queries of [..., Tq, d]: each may attend up to its own place."""
    rows = torch.arange(first, query.size(-2) if last is None else last, device=query.device)
    return torch.arange(key.size(-2), device=query.device) <= rows.unsqueeze(-1)


def _kept(q: Tensor, k: Tensor, dropout: float, seed: int, a: int, b: int) -> Tensor:
    """Return what dropout multiplies the weights of queries a to b by: 0, or 1 / (1 - dropout); [B, H, b - a, Tk]."""
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    kept = torch.empty((q.size(0), q.size(1), b - a, k.size(-2)), dtype=wide, device=q.device)
    if dropout == 1.0 or q.is_meta:
        return kept.zero_()
    generator = torch.Generator(q.device).manual_seed(seed + a)
    return kept.bernoulli_(1.0 - dropout, generator=generator).div_(1.0 - dropout)


def _mix_dropped(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, kept: Tensor) -> Tensor:
    """Return (softmax(Q K^T / sqrt(d)) * kept) V, written out: no fused kernel tells what it has dropped."""
    if k.size(-2) == 0:
        return q.new_zeros(*q.shape[:-1], v.size(-1))
    wide = kept.dtype
    # Scaled on both sides by the fourth root of d, as torch does: the products then do not outgrow the scores.
    root = math.sqrt(math.sqrt(q.size(-1)))
    scores = (q.to(wide) / root) @ (k.to(wide) / root).transpose(-2, -1)
    if allowed is not None:
        empty = ~allowed.any(dim=-1, keepdim=True)
        # A row without any key is let see all of them, and its weights are taken away again: no NaN, and no gradient.
        weights = torch.softmax(scores.masked_fill(~(allowed | empty), -math.inf), dim=-1).masked_fill(empty, 0.0)
    else:
        weights = torch.softmax(scores, dim=-1)
    return ((weights * kept) @ v.to(wide)).to(q.dtype)
