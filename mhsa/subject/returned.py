"""What a call returns: one tensor, a tuple, list, dictionary or object of several; and weights in another order of axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

# Forms of the weights of every head that are in use besides [B, H, Tq, Tk]; "B*H" is one axis, each sample's heads in a row.
WEIGHTS_FORMS = (
    ("B*H", "Tq", "Tk"),
    ("H*B", "Tq", "Tk"),
    ("H", "B", "Tq", "Tk"),
    ("B", "Tq", "H", "Tk"),
    ("B", "Tq", "Tk", "H"),
)


def listed(result: Any) -> list[Any]:
    """Return what a call returned as a list: the members of a tuple, list or mapping, the attributes of an object."""
    if isinstance(result, Mapping):
        return list(result.values())
    if isinstance(result, (tuple, list)):
        return list(result)
    if not isinstance(result, Tensor) and any(isinstance(x, Tensor) for x in getattr(result, "__dict__", {}).values()):
        return list(vars(result).values())
    return [result]


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
