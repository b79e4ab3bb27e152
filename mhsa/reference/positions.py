"""Everything that depends on where a token stands: its place, what it sees, ALiBi's distances and rotary positions."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.oracle.formula.fields import Rotary
from mhsa.oracle.formula.formula import Formula


def distances(
    formula: Formula, queries: int, keys: int, device: torch.device, first: int = 0, last: int | None = None
) -> Tensor:
    """Return how far each key is from the own place of queries ``first`` to ``last``: int [last - first, Tk], 0 at the place.

    Query i is at key i; where attention is causal "bottom-right", the last query is at the last key, as with a cache of
    earlier keys.
    """
    own = torch.arange(first, queries if last is None else last, device=device)
    own = own + (keys - queries if formula.causal == "bottom-right" else 0)
    return torch.arange(keys, device=device) - own.unsqueeze(-1)


def seen(formula: Formula, distance: Tensor, mask: Tensor | None = None) -> Tensor | None:
    """Return what a query sees, bool: given AND causal AND window; None where that is every key.

    ``distance`` [Tq, Tk] is that of :func:`distances`, ``mask`` broadcastable to [B, H, Tq, Tk].
    """
    allowed = mask
    left, right = formula.window or (-1, -1)
    if formula.causal != "no":
        right = 0
    for near, is_bounded in ((distance >= -left, left >= 0), (distance <= right, right >= 0)):
        if is_bounded:
            allowed = near if allowed is None else allowed & near
    return allowed


def alibi(formula: Formula, head: int, distance: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what ALiBi adds to the scores, [H, ..., Tk]: minus a slope of the head times the distance."""
    slopes = torch.tensor(_slopes(head, every=formula.bias == "alibi-geometric"), dtype=dtype, device=distance.device)
    return -slopes.view(-1, 1, 1) * distance.abs().to(dtype)


def _slopes(head: int, *, every: bool) -> list[float]:
    """Return a slope of each head: 2^(-8 h / H), h = 1, ..., H, where H is a power of two, or for ``every`` H.

    For another H there are those of the largest power of two below, and then every other one of twice as many heads.
    """
    below = 1 << (head.bit_length() - 1)
    if every or below == head:
        return [2.0 ** (-8.0 * (h + 1) / head) for h in range(head)]
    return _slopes(below, every=False) + _slopes(2 * below, every=False)[::2][: head - below]


def rotated(formula: Formula, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and keys [B, H, T, d], each pair of features turned by an angle that grows with the token's place."""
    if formula.rotary is None:
        return query, key
    of_keys = torch.arange(key.size(-2), device=key.device)
    of_queries = torch.arange(query.size(-2), device=query.device)
    if formula.causal == "bottom-right":
        of_queries = of_queries + key.size(-2) - query.size(-2)
    return _turned(query, of_queries, formula.rotary), _turned(key, of_keys, formula.rotary)


def _turned(x: Tensor, places: Tensor, rotary: Rotary) -> Tensor:
    """Return x [B, H, T, d] with its first ``fraction`` of features rotated in pairs (a, b)."""
    width = rotary.width(x.size(-1))
    # Angles in float64: at place 100,000 the unit of float32 already is a hundredth of a turn, and that of bfloat16 of no use.
    frequencies = rotary.base ** -(torch.arange(0, width, 2, dtype=torch.float64, device=x.device) / max(width, 1))
    angles = (places + rotary.offset).to(torch.float64).unsqueeze(-1) * frequencies
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    part, rest = x[..., :width], x[..., width:]
    if rotary.layout == "half":
        a, b = part.chunk(2, dim=-1)
        turned = torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
    else:
        a, b = part[..., ::2], part[..., 1::2]
        turned = torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)
    return torch.cat([turned, rest], dim=-1)
