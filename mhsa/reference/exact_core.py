"""The reference's core: attention of all heads, written for being right in every dtype rather than for speed."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def self_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: Callable[[Tensor], Tensor] | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention, A = softmax(Q K^T / sqrt(d)) and Z = A V (Vaswani et al. 2017, equation 1).

    Args:
        query: [B, H, Tq, d], floating point.
        key: [B, H, Tk, d], dtype and device of ``query``.
        value: [B, H, Tk, dv], dtype and device of ``query``.
        dropout: applied to the weights, for example an ``nn.Dropout``.
        mask: broadcastable to [B, H, Tq, Tk]; where it is 0 or False the query may not attend to the key.

    Returns:
        Z [B, H, Tq, dv] and A [B, H, Tq, Tk], both in the dtype of ``query``. A is what multiplied V: after dropout.
        A row with no allowed key attends to nothing: its weights and its output are zero, and so are its gradients.

    Raises:
        ValueError: sizes that do not fit together, mixed dtypes or devices.

    Scores are formed in a type with at least twice the exponent range, so no product of finite inputs overflows;
    float64 has no wider type and is scaled by powers of two instead, which is exact. There alone, components more
    than about 2^1500 times smaller than the largest in the same batch entry and head may count as zero.
    """
    require_heads(query, key, value, mask)
    weights = attention_weights(query, key, mask)
    if dropout is not None:
        weights = dropout(weights)
    return mix(weights, value.to(weights.dtype)).to(query.dtype), weights.to(query.dtype)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(Q K^T / sqrt(d)) [B, H, Tq, Tk] before dropout; arguments as in :func:`self_attention`, not checked.

    In float32 for float16 heads, else in float64.
    """
    wide = torch.float32 if query.dtype == torch.float16 else torch.float64
    if key.size(-2) == 0:
        return query.new_zeros(*query.shape[:-1], 0, dtype=wide)
    query, query_power = tame(query.to(wide), dim=(-1,))
    key, key_power = tame(key.to(wide), dim=(-2, -1))
    scores = query @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -math.inf)
    # The maximum of a row is only a shift, which softmax ignores, so no gradient flows through it.
    top = scores.detach().amax(dim=-1, keepdim=True)
    logits = (scores - top.masked_fill(top == -math.inf, 0.0)) / math.sqrt(query.size(-1))
    for power in (query_power, key_power):
        if power is not None:  # one factor after the other: their product may not be representable
            logits = torch.ldexp(logits, power)
    exponentials = torch.exp(logits)
    total = exponentials.sum(dim=-1, keepdim=True)
    return exponentials / total.masked_fill(total == 0.0, 1.0)


def tame(x: Tensor, dim: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
    """Divide float64 ``x`` by powers of two, one per slice over ``dim``, so that products of two such stay finite.

    Returns the quotient and the exponents; exponents are 0, and the division exact, for anything below 2^500.
    """
    if x.dtype != torch.float64:
        return x, None
    # What is not finite is none of this function's business: it must neither be hidden nor spoil the others.
    largest = x.detach().abs().nan_to_num(0.0, posinf=0.0).amax(dim=dim, keepdim=True)
    power = (torch.frexp(largest).exponent - 500).clamp(min=0)  # two factors of 2^500 and 2^23 terms fit in 2^1023
    return torch.ldexp(x, -power), power


def mix(weights: Tensor, value: Tensor) -> Tensor:
    """Return weights @ value; in float64 also where rounding the largest numbers up would make them infinite."""
    if value.dtype != torch.float64:
        return weights @ value
    half = weights @ (value / 2)
    limit = torch.finfo(half.dtype).max / 2
    too_much = (half - half.clamp(-limit, limit)).detach()  # zero, but for such a rounding; gradients pass by
    return 2 * (half - too_much)


def require_heads(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, grouped: bool = False) -> None:
    """Raise ValueError unless these fit together: query [B, H, Tq, d], key [B, H, Tk, d], value [B, H, Tk, dv].

    ``grouped`` heads of keys and values may be fewer, a divisor of those of queries.
    """
    tensors = {"query": query, "key": key, "value": value}
    shapes = ", ".join(f"{name} {list(t.shape)}" for name, t in tensors.items())
    if any(t.dim() != 4 for t in tensors.values()):
        raise ValueError(f"got {shapes}; each must be [B, H, T, d]")
    if grouped and key.size(1) and query.size(1) % key.size(1) == 0:
        shared = query.size(0) == key.size(0)
    else:
        shared = query.shape[:2] == key.shape[:2]
    if not shared or key.shape[:3] != value.shape[:3] or query.size(-1) != key.size(-1):
        raise ValueError(f"got {shapes}; must be [B, H, Tq, d], [B, H, Tk, d], [B, H, Tk, dv] with equal B, H, Tk, d")
    require_alike(tensors)
    if mask is not None:
        target = [*query.shape[:-1], key.size(-2)]
        sizes = list(mask.shape)
        fits = len(sizes) <= 4 and all(m in (1, t) for m, t in zip(reversed(sizes), reversed(target), strict=False))
        if not fits:
            raise ValueError(f"mask has shape {sizes}; must be broadcastable to [B, H, Tq, Tk] = {target}")


def require_alike(tensors: dict[str, Tensor]) -> None:
    """Raise ValueError unless all have one dtype and one device."""
    for what in ("dtype", "device"):
        found = {name: str(getattr(t, what)) for name, t in tensors.items()}
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{name} {given}" for name, given in found.items())
            raise ValueError(f"mixed {what}s: {listed}; all must have the same {what}, convert with .to(...)")
