"""Heads whose features are not neighbours: feature c belongs to head c mod H, where a split as [d_k, H] takes them from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from mhsa.records.conventions.values import Heads
from mhsa.subject.computed_views import ComputedView
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projection_views import Projections, Role, View

Bind = Callable[[nn.Module, Sizes], Projections]


# The maps whose features are interleaved under each declaration.
_INTERLEAVED: dict[Heads | None, tuple[str, ...]] = {
    "interleaved": ("query", "key", "value", "out"),
    "interleaved-where-split": ("query", "key", "value"),
    "interleaved-queries": ("query",),
    "interleaved-keys": ("key",),
    "interleaved-queries-and-keys": ("query", "key"),
    "interleaved-values": ("value", "out"),
}


def in_order(bind: Bind, heads: Heads | None) -> Bind:
    """Return ``bind`` for a module whose heads are ordered as a contract says: its views have a head's features side by side.

    A map that is not a parameter is left as it is: an identity in another order would not be one any more.
    """
    roles = _INTERLEAVED.get(heads, ())
    if not roles:
        return bind

    def sorted_by_head(module: nn.Module, sizes: Sizes) -> Projections:
        found = bind(module, sizes)
        moved: dict[str, Any] = {role: _role(getattr(found, role), sizes, 1 if role == "out" else 0) for role in roles}
        return replace(found, **moved)

    return sorted_by_head


def _role(role: Role, sizes: Sizes, dim: int) -> Role:
    """Return a map with the features of each head side by side: rows and numbers of the bias, or columns of the out map."""
    bias = None if role.bias is None else role.bias if dim else _sorted(role.bias, sizes.head, 0)
    return Role(_sorted(role.weight, sizes.head, dim), bias)


def _sorted(view: View, head: int, dim: int) -> View:
    if isinstance(view, ComputedView) or view.shape[dim] % head:
        return view
    if len(view.pieces) == 1:
        (whole,) = view.pieces
        return View(tuple(_every(whole, h, head, dim) for h in range(head)), dim)
    single = [piece.narrow(dim, n, 1) for piece in view.pieces for n in range(piece.size(dim))]
    return View(tuple(single[n] for h in range(head) for n in range(h, len(single), head)), dim)


def _every(whole: Tensor, first: int, step: int, dim: int) -> Tensor:
    """Return every ``step``-th row, or column, from the ``first`` one: a view."""
    return whole[first::step] if dim == 0 else whole[:, first::step]
