"""Reference attention in torch: written for being right and readable, in every dtype, rather than for speed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.slot import fit_slot


class IndivisibleError(ValueError, AssertionError):
    """``d_model % head != 0``. An AssertionError as in the textbook, yet raised under ``python -O`` too."""


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
    _check_core(query, key, value, mask)
    dtype = query.dtype
    wide = torch.float32 if dtype == torch.float16 else torch.float64
    if key.size(-2) == 0:
        weights = query.new_zeros(*query.shape[:-1], 0)
        return query.new_zeros(*query.shape[:-1], value.size(-1)), weights

    query, query_power = _tame(query.to(wide), dim=(-1,))
    key, key_power = _tame(key.to(wide), dim=(-2, -1))
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
    weights = exponentials / total.masked_fill(total == 0.0, 1.0)
    if dropout is not None:
        weights = dropout(weights)
    return _mix(weights, value.to(wide)).to(dtype), weights.to(dtype)


def _tame(x: Tensor, dim: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
    """Divide float64 ``x`` by powers of two, one per slice over ``dim``, so that products of two such stay finite.

    Returns the quotient and the exponents; exponents are 0, and the division exact, for anything below 2^500.
    """
    if x.dtype != torch.float64:
        return x, None
    size = x.detach().abs()
    # What is not finite is none of this function's business: it must neither be hidden nor spoil the others.
    largest = size.masked_fill(~size.isfinite(), 0.0).amax(dim=dim, keepdim=True)
    power = (torch.frexp(largest).exponent - 500).clamp(min=0)  # two factors of 2^500 and 2^23 terms fit in 2^1023
    return torch.ldexp(x, -power), power


def _mix(weights: Tensor, value: Tensor) -> Tensor:
    """Return weights @ value; in float64 also where rounding the largest numbers up would make them infinite."""
    if value.dtype != torch.float64:
        return weights @ value
    half = weights @ (value / 2)
    limit = torch.finfo(half.dtype).max / 2
    too_much = (half - half.clamp(-limit, limit)).detach()  # zero, but for such a rounding; gradients pass by
    return 2 * (half - too_much)


def _check_core(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    tensors = {"query": query, "key": key, "value": value}
    shapes = ", ".join(f"{name} {list(t.shape)}" for name, t in tensors.items())
    if any(t.dim() != 4 for t in tensors.values()):
        raise ValueError(f"got {shapes}; each must be [B, H, T, d]")
    if query.shape[:2] != key.shape[:2] or key.shape[:3] != value.shape[:3] or query.size(-1) != key.size(-1):
        raise ValueError(f"got {shapes}; must be [B, H, Tq, d], [B, H, Tk, d], [B, H, Tk, dv] with equal B, H, Tk, d")
    _check_alike(tensors)
    if mask is not None:
        target = [*query.shape[:-1], key.size(-2)]
        sizes = list(mask.shape)
        fits = len(sizes) <= 4 and all(m in (1, t) for m, t in zip(reversed(sizes), reversed(target), strict=False))
        if not fits:
            raise ValueError(f"mask has shape {sizes}; must be broadcastable to [B, H, Tq, Tk] = {target}")


def _check_alike(tensors: dict[str, Tensor]) -> None:
    for what in ("dtype", "device"):
        found = {name: str(getattr(t, what)) for name, t in tensors.items()}
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{name} {given}" for name, given in found.items())
            raise ValueError(f"mixed {what}s: {listed}; all must have the same {what}, convert with .to(...)")


class MultiHeadAttention(nn.Module):
    """Multi-head attention: head h attends with its own d_k = d_model / head features, and W_O mixes the heads.

    Args:
        head: number of heads, at least 1.
        d_model: width of query, key, value and output; a multiple of ``head``.
        dropout: probability in [0, 1] of dropping a weight, in training only.
        attention: the one slot: any function on [B, H, T, d] called like :func:`self_attention` or like
            ``torch.nn.functional.scaled_dot_product_attention``, returning Z or (Z, A).

    Attributes:
        linear_query, linear_key, linear_value, linear_out: ``nn.Linear(d_model, d_model)``; head h owns the
            contiguous slice ``h * d_k : (h + 1) * d_k`` of the first three's outputs and the last one's inputs.
        attn: weights [B, H, Tq, Tk] of the last call; None before it, or where the slot's function returns none.

    Raises:
        IndivisibleError: ``d_model % head != 0`` (a ValueError and an AssertionError).
        ValueError: any other bad number.
        TypeError: an ``attention`` that cannot be called as said above.
    """

    def __init__(
        self, head: int, d_model: int, dropout: float = 0.1, *, attention: Callable[..., Any] = self_attention
    ) -> None:
        super().__init__()
        for name, number in (("head", head), ("d_model", d_model)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(f"{name}={number!r}; must be an integer of at least 1")
        if d_model % head != 0:
            raise IndivisibleError(
                f"d_model={d_model} is not a multiple of head={head}: each head gets d_model / head features, "
                f"and {d_model} % {head} = {d_model % head}, but must be 0"
            )
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"dropout={dropout!r}; must be a probability in [0, 1]")
        self.d_k = d_model // head
        self.head = head
        self.d_model = d_model
        self.linear_query = nn.Linear(d_model, d_model)
        self.linear_key = nn.Linear(d_model, d_model)
        self.linear_value = nn.Linear(d_model, d_model)
        self.linear_out = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(p=dropout)
        self.attn: Tensor | None = None
        self._attend = fit_slot(attention, dropout=dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from each query to the keys its mask allows.

        Args:
            query: [B, Tq, d_model].
            key: [B, Tk, d_model].
            value: [B, Tk, d_model].
            mask: True or non-zero where the query may attend: [B, Tq, Tk] or [B, 1, Tk] (the head axis is added
                here), [Tq, Tk], or [B, 1 | head, Tq | 1, Tk]. Any dtype; a floating mask must hold only 0 and 1.

        Returns:
            [B, Tq, d_model].

        Raises:
            ValueError: wrong rank, width, batch, length or mask shape; mixed dtypes or devices.
        """
        self._check(query, key, value)
        if mask is not None:
            mask = self._as_allowed(mask, query, key)
        heads = [
            linear(x).view(x.size(0), x.size(1), self.head, self.d_k).transpose(1, 2)
            for linear, x in ((self.linear_query, query), (self.linear_key, key), (self.linear_value, value))
        ]
        q, k, v = heads
        z, self.attn = self._attend(q, k, v, self.dropout, mask)
        if z.shape != q.shape:
            raise ValueError(f"the attention function returned {list(z.shape)}; must be {list(q.shape)}")
        merged = z.transpose(1, 2).reshape(query.size(0), query.size(1), self.d_model)
        out: Tensor = self.linear_out(merged)
        return out

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        tensors = {"query": query, "key": key, "value": value}
        shapes = ", ".join(f"{name} {list(t.shape)}" for name, t in tensors.items())
        for name, t in tensors.items():
            if t.dim() != 3:
                raise ValueError(f"{name} has {t.dim()} dimensions; must have 3, [B, T, d_model] (got {shapes})")
            if t.size(-1) != self.d_model:
                raise ValueError(f"{name} is {t.size(-1)} wide; must be d_model={self.d_model} wide (got {shapes})")
            if t.size(0) != query.size(0):
                raise ValueError(f"{name} has batch {t.size(0)}; must be query's {query.size(0)} (got {shapes})")
        if key.size(1) != value.size(1):
            raise ValueError(f"key has {key.size(1)} positions and value {value.size(1)}; must be equal (got {shapes})")
        if query.is_meta or not torch.is_autocast_enabled(query.device.type):  # autocast exists to mix dtypes
            tensors["linear_query.weight"] = self.linear_query.weight
            _check_alike(tensors)

    def _as_allowed(self, mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Bool mask with its head axis; True may attend."""
        batch, tq, tk = query.size(0), query.size(1), key.size(1)
        shape = tuple(mask.shape)
        four = {(batch, h, t, tk) for h in (1, self.head) for t in (1, tq)}
        if shape not in {(tq, tk), (batch, tq, tk), (batch, 1, tk)} | four:
            raise ValueError(
                f"mask has shape {list(shape)}; must be [Tq, Tk] = {[tq, tk]}, [B, Tq, Tk] = {[batch, tq, tk]}, "
                f"[B, 1, Tk] = {[batch, 1, tk]} or [B, 1|head, Tq|1, Tk] with B={batch}, head={self.head}, Tq={tq}, "
                f"Tk={tk}"
            )
        if mask.device != query.device:
            raise ValueError(f"mask is on {mask.device}; must be on query's device {query.device}")
        if mask.is_floating_point() and not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError(
                "a floating mask must hold only 0 (may not attend) and 1 (may attend); this one has other values. "
                "If it is an additive mask of 0 and -inf, give mask == 0 instead"
            )
        return (mask != 0).unsqueeze(1) if mask.dim() == 3 else mask != 0

    def __getstate__(self) -> dict[str, Any]:
        # The weights of the last call belong to its autograd graph, which can be neither copied nor pickled.
        return {**self.__dict__, "attn": None}

    def extra_repr(self) -> str:
        """Show the sizes that the linear layers alone do not."""
        return f"head={self.head}, d_model={self.d_model}, d_k={self.d_k}"
