"""What the reference module is given: sizes that fit, and masks in each of their forms."""

from __future__ import annotations

from typing import NoReturn

from torch import Tensor


def refuse_sizes(query: Tensor, key: Tensor, value: Tensor, d_model: int) -> NoReturn:
    """Raise ValueError: the three do not fit together, or are not d_model wide."""
    tensors = {"query": query, "key": key, "value": value}
    shapes = ", ".join(f"{name} {list(t.shape)}" for name, t in tensors.items())
    for name, t in tensors.items():
        if t.dim() != 3:
            raise ValueError(f"{name} has {t.dim()} dimensions; must have 3, [B, T, d_model] (got {shapes})")
        if t.size(-1) != d_model:
            raise ValueError(f"{name} is {t.size(-1)} wide; must be d_model={d_model} wide (got {shapes})")
        if t.size(0) != query.size(0):
            raise ValueError(f"{name} has batch {t.size(0)}; must be query's {query.size(0)} (got {shapes})")
    raise ValueError(f"key has {key.size(1)} positions and value {value.size(1)}; must be equal (got {shapes})")


def as_allowed(mask: Tensor, query: Tensor, key: Tensor, head: int) -> Tensor:
    """Bool mask with its head axis; True may attend."""
    mask = with_head_axis(mask, query, key, head)
    if mask.is_floating_point() and not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(
            "a floating mask must hold only 0 (may not attend) and 1 (may attend); this one has other values. "
            "If it is an additive mask of 0 and -inf, give mask == 0 instead"
        )
    return mask != 0


def with_head_axis(mask: Tensor, query: Tensor, key: Tensor, head: int) -> Tensor:
    """Mask of a shape that is allowed, with its head axis."""
    batch, tq, tk = query.size(0), query.size(1), key.size(1)
    shape = tuple(mask.shape)
    four = {(batch, h, t, tk) for h in (1, head) for t in (1, tq)}
    if shape not in {(tq, tk), (batch, tq, tk), (batch, 1, tk)} | four:
        raise ValueError(
            f"mask has shape {list(shape)}; must be [Tq, Tk] = {[tq, tk]}, [B, Tq, Tk] = {[batch, tq, tk]}, "
            f"[B, 1, Tk] = {[batch, 1, tk]} or [B, 1|head, Tq|1, Tk] with B={batch}, head={head}, Tq={tq}, "
            f"Tk={tk}"
        )
    if mask.device != query.device:
        raise ValueError(f"mask is on {mask.device}; must be on query's device {query.device}")
    return mask.unsqueeze(1) if mask.dim() == 3 else mask


def split_mask(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a floating mask allows, and what it adds to the scores there: -inf hides, any other number is added."""
    allowed = mask > float("-inf")
    return allowed, mask.masked_fill(~allowed, 0.0)
