"""What a call returns: one tensor, a tuple, list, dictionary or object of several; and weights in another order of axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mhsa.records.conventions.values import FullyMaskedRow

# Forms of the weights of every head that are in use besides [B, H, Tq, Tk]; "B*H" is one axis, each sample's heads in a row.
WEIGHTS_FORMS = (
    ("B*H", "Tq", "Tk"),
    ("H*B", "Tq", "Tk"),
    ("H", "B", "Tq", "Tk"),
    ("B", "Tq", "H", "Tk"),
    ("B", "Tq", "Tk", "H"),
)
# And of the log-sum-exp of each row; "1" is an axis of that size.
LSE_FORMS = (("B", "H", "Tq"), ("B", "H", "Tq", "1"), ("B", "Tq", "H"), ("B*H", "Tq"), ("B*H", "Tq", "1"), ("H", "B", "Tq"))


def listed(result: Any) -> list[Any]:
    """Return what a call returned as a list: the members of a tuple, list or mapping, the attributes of an object.

    A list or mapping of tensors [B, Tq, Tk] next to a tensor has one for each head, and becomes [B, H, Tq, Tk].
    """
    if isinstance(result, Mapping):
        return list(result.values())
    if isinstance(result, (tuple, list)):
        apart = any(isinstance(x, Tensor) for x in result)
        return [_of_all_heads(x) if apart else x for x in result]
    if not isinstance(result, Tensor) and any(isinstance(x, Tensor) for x in getattr(result, "__dict__", {}).values()):
        return list(vars(result).values())
    return [result]


def _of_all_heads(result: Any) -> Any:
    """Return a list or mapping of floating tensors of one shape and three axes as one tensor; anything else as it is."""
    members = list(result.values()) if isinstance(result, Mapping) else result
    if not isinstance(members, list) or not members:  # a tuple is of keys and values: a cache
        return result
    alike = all(isinstance(x, Tensor) and x.dim() == 3 and x.is_floating_point() for x in members)
    return torch.stack(list(members), 1) if alike and len({x.shape for x in members}) == 1 else result


def in_usual_order(weights: Any, form: tuple[str, ...], batch: int) -> Any:
    """Return weights of one of :data:`WEIGHTS_FORMS` as a view [B, H, Tq, Tk]; anything of another number of axes as it is."""
    if not isinstance(weights, Tensor) or weights.dim() != len(form):
        return weights
    if form[0] in ("B*H", "H*B"):
        if batch == 0 or weights.size(0) % batch:
            return weights
        sizes = (batch, -1) if form[0] == "B*H" else (-1, batch)
        weights, form = weights.reshape(*sizes, *weights.shape[1:]), (*form[0].split("*"), *form[1:])
    return weights.permute([form.index(axis) for axis in ("B", "H", "Tq", "Tk")])


def softmax_of_scores(scores: Any, fully_masked_row: FullyMaskedRow | None) -> Any:
    """Return the weights of scores [B, H, Tq, Tk]; anything that is no such tensor as it is.

    Of a row in which nothing is allowed the scores say nothing: they are all -inf, and its weights those that are declared.
    """
    if not isinstance(scores, Tensor) or not scores.is_floating_point() or scores.dim() == 0:
        return scores
    weights = scores.softmax(-1)
    if fully_masked_row not in ("zeros", "uniform") or scores.size(-1) == 0:
        return weights
    nothing = scores.isneginf().all(-1, keepdim=True)
    return weights.masked_fill(nothing, 0.0 if fully_masked_row == "zeros" else 1 / scores.size(-1))


def lse_in_usual_order(lse: Any, form: tuple[str, ...], batch: int) -> Any:
    """Return a log-sum-exp of one of :data:`LSE_FORMS` as [B, H, Tq]; anything of another number of axes as it is."""
    if not isinstance(lse, Tensor) or lse.dim() != len(form):
        return lse
    if form[-1] == "1":
        if lse.size(-1) != 1:
            return lse
        lse, form = lse.squeeze(-1), form[:-1]
    if form[0] == "B*H":
        return lse if batch == 0 or lse.size(0) % batch else lse.reshape(batch, -1, lse.size(-1))
    return lse.permute([form.index(axis) for axis in ("B", "H", "Tq")])
