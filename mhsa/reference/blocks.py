"""Attention block of queries by block of queries, so that what a block makes for itself grows with the number of keys alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

# Queries of a block, where attention goes block by block. A mask of a block has ROWS x Tk elements per sample: linear in
# Tk. The kernels for the CPU themselves work on 256 queries at a time at most, so smaller blocks would only start them
# more often.
ROWS = 256
# Elements of the weights of a block that forms them, to drop some say: 8 MiB in float32, so that a block and its mask stay in a
# last-level cache.
_ELEMENTS = 2**21
# torch's kernels but for cuDNN's, which torch prefers on a Hopper GPU in half precision: in torch 2.11 a row without any key
# sees all of them there, and with 64 keys beyond a multiple of 128 gradients of queries may be NaN (docs/gpu.md).
_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def at_once(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float, **more: Any) -> Tensor:
    """Call torch's function; ``more`` are further arguments of it. Names would cost it a tenth of a small call."""
    if not q.is_cuda:
        return functional.scaled_dot_product_attention(q, k, v, mask, dropout, causal, **more)
    with sdpa_kernel(_KERNELS):
        return functional.scaled_dot_product_attention(q, k, v, mask, dropout, causal, **more)


def in_blocks(block: Callable[..., Tensor], inputs: tuple[Tensor | None, ...], *, small: bool) -> Tensor:
    """Return ``block(*inputs, first, last)`` of all queries, the first input's; a backward pass makes each block again."""
    q, k = inputs[:2]
    assert q is not None
    assert k is not None
    again = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    parts = []
    for a, b in blocks(q, k, small=small):
        # Without anything to draw, no state of a random generator need be kept for the second time.
        parts.append(
            checkpoint(block, *inputs, a, b, use_reentrant=False, preserve_rng_state=False) if again else block(*inputs, a, b)
        )
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


def blocks(q: Tensor, k: Tensor, *, small: bool) -> Iterator[tuple[int, int]]:
    """Yield the first and the last query but one of each block; at least one block, if an empty one.

    ``small`` blocks are for those that form their weights.
    """
    length = q.size(-2)
    rows = max(1, min(ROWS, _ELEMENTS // max(q.size(0) * q.size(1) * k.size(-2), 1))) if small else ROWS
    for a in range(0, max(length, 1), rows):
        yield a, min(a + rows, length)


def causal_mask(query: Tensor, key: Tensor, first: int = 0, last: int | None = None) -> Tensor:
    """Return the mask bool [last - first, Tk] of these queries of [..., Tq, d]: each may attend up to its own place."""
    rows = torch.arange(first, query.size(-2) if last is None else last, device=query.device)
    return torch.arange(key.size(-2), device=query.device) <= rows.unsqueeze(-1)


def kept(q: Tensor, k: Tensor, dropout: float, seed: int, a: int, b: int) -> Tensor:
    """Return what dropout multiplies the weights of queries a to b by: 0, or 1 / (1 - dropout); [B, H, b - a, Tk]."""
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    drawn = torch.empty((q.size(0), q.size(1), b - a, k.size(-2)), dtype=wide, device=q.device)
    if dropout == 1.0 or q.is_meta:
        return drawn.zero_()
    generator = torch.Generator(q.device).manual_seed(seed + a)
    return drawn.bernoulli_(1.0 - dropout, generator=generator).div_(1.0 - dropout)
