"""Modules of which one canonical call takes several of their own, because they take other numbers of queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.conventions.values import Layout, MaskShape
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.forms.token_layout import TokenLayout
from mhsa.subject.returned import listed

# Where the queries are in a mask, counted from its end; in the others they are not.
_QUERIES_OF_MASK: dict[MaskShape, int] = {
    "[B, Tq, Tk]": -2, "[B, 1, Tq, Tk]": -2, "[B, H, Tq, Tk]": -2, "[B*H, Tq, Tk]": -2, "[Tq, Tk, B]": -3, "[Tq, Tk]": -2,
    "[B, Tq]": -1,
}  # fmt: skip


class SeveralCalls(ModuleAdapter):
    """Calls a module several times and gives the output alone; ``why`` says what for, in words that follow "to"."""

    why = ""
    weights_on_request = False

    def __init__(self, base: ModuleAdapter) -> None:
        vars(self).update(vars(base))
        self.weights_on_request = False

    def once(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None = None
    ) -> Any:
        """Return the first value that a plain call returns."""
        return listed(ModuleAdapter.call(self, module, query, key, value, mask, bias=bias))[0]


class EachQueryAlone(SeveralCalls):
    """A module that takes one query for each sample, [B, d_model]; with ``row`` [B, 1, d_model]."""

    why = "give each query alone"
    row = False

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *_: Any,
        bias: Tensor | None = None, **__: Any,
    ) -> Any:  # fmt: skip
        """Return the output [B, Tq, d_model] of as many calls as there are queries; a mask is that of the keys."""
        rows = []
        for n in range(query.size(1)):
            alone = query[:, n : n + 1] if self.row else query[:, n]
            of_one = None if bias is None else bias[..., n : n + 1, :]
            rows.append(self.once(module, alone, key, value, mask, of_one))
        if any(not isinstance(row, Tensor) or row.dim() != (3 if self.row else 2) for row in rows):
            return rows
        if not rows:
            return query.new_zeros(query.shape)
        return torch.cat(rows, dim=1) if self.row else torch.stack(rows, dim=1)


class OfOneLength(SeveralCalls):
    """A module that takes as many queries as keys: others are given in groups of so many, the last one filled up.

    ``square``: it is judged with as many queries as keys alone, because the formula counts places, and those of a group of
    queries are not their own.
    """

    why = "give as many queries as keys"

    def __init__(self, base: ModuleAdapter) -> None:
        super().__init__(base)
        self.square = bool(self.contract.formula.where)

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *_: Any,
        bias: Tensor | None = None, mask_shape: MaskShape | None = None, layout: Layout | None = None, **__: Any,
    ) -> Any:  # fmt: skip
        """Return the output, of which no row depends on another query.

        ``mask_shape`` is the mask's form, ``layout`` that of the other tensors and of the output; [B, T, d_model] else.
        """
        laid = TokenLayout(layout or "BTD")
        whole = (query, key, value)
        query, key, value = (laid.take(x) for x in whole)
        queries, keys = query.size(1), key.size(1)
        if queries == keys or not queries or not keys:
            return self.once(module, *whole, mask, bias)
        groups = []
        for first in range(0, queries, keys):
            rows = list(range(first, min(first + keys, queries)))
            filled = [*rows, *[first] * (keys - len(rows))]
            given = _rows(mask, filled, _QUERIES_OF_MASK.get(mask_shape or "[B, Tq, Tk]"))
            of_group = laid.give(query[:, filled], key, value, masked=mask is not None)
            output = self.once(module, *of_group, given, _rows(bias, filled, -2))
            if not isinstance(output, Tensor) or output.dim() != whole[0].dim():
                return output
            groups.append(laid.take(output)[:, : len(rows)])
        joined = torch.cat(groups, dim=1)
        return laid.give(joined, joined, joined, masked=mask is not None)[0]


def makes_several_calls(adapter: Adapter, kind: type[SeveralCalls] = SeveralCalls) -> bool:
    """Whether an adapter, or the one that it stands before, calls the module several times in the place of one call."""
    return isinstance(getattr(adapter, "base", adapter), kind)


def is_square(adapter: Adapter) -> bool:
    """Whether an implementation is judged with as many queries as keys alone."""
    return adapter.inputs == "x" or adapter.square


def _rows(mask: Tensor | None, rows: Sequence[int], axis: int | None) -> Tensor | None:
    """Return these rows of a mask or bias; all of it where it is the same for every query."""
    if mask is None or axis is None or -axis > mask.dim() or mask.size(axis) == 1:
        return mask
    return mask.index_select(axis, torch.tensor(rows, device=mask.device))
