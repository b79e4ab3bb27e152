"""The reference around a function that is judged: what the function itself must do with declared features is left to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.reference.inputs import as_allowed
from mhsa.reference.multi_head import MultiHeadAttention


class FunctionSlot(MultiHeadAttention):
    """Multi-head attention whose keys and values may have fewer heads, and whose values another width, than its queries.

    Args:
        head, d_model, dropout, attention: as of the reference.
        kv_heads: heads of keys and values.
        d_v: width of a head's values.
        learned_sinks: whether there is a parameter ``sinks`` [head].
    """

    def __init__(
        self, head: int, d_model: int, dropout: float, attention: Callable[..., Any], kv_heads: int, d_v: int,
        *, learned_sinks: bool,
    ) -> None:  # fmt: skip
        super().__init__(head, d_model, dropout, attention=attention)
        self.kv_heads, self.d_v = kv_heads, d_v
        if kv_heads != head or d_v != self.d_k:
            self.linear_key = nn.Linear(d_model, kv_heads * self.d_k)
            self.linear_value = nn.Linear(d_model, kv_heads * d_v)
            self.linear_out = nn.Linear(head * d_v, d_model)
        if learned_sinks:
            self.sinks = nn.Parameter(torch.zeros(head))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Call the function on its own heads; arguments, result and errors are those of the reference."""
        if self.d_v == self.d_k:
            return super().forward(query, key, value, mask)
        self._check(query, key, value)
        mask = None if mask is None else as_allowed(mask, query, key, self.head)
        q, k, v = self._heads(query, key, value)
        z, weights = self._attend(q, k, v, self.dropout, mask)
        object.__setattr__(self, "_weights", weights)
        must = [*q.shape[:3], self.d_v]
        if list(z.shape) != must:
            raise ValueError(f"the attention function returned {list(z.shape)}; must be {must}")
        out: Tensor = self.linear_out(z.transpose(1, 2).flatten(2))
        return out

    def _heads(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.d_v == self.d_k:
            return super()._heads(query, key, value)
        q, k, v = (
            linear(x).view(x.size(0), x.size(1), heads, width).transpose(1, 2)
            for linear, x, heads, width in (
                (self.linear_query, query, self.head, self.d_k),
                (self.linear_key, key, self.kv_heads, self.d_k),
                (self.linear_value, value, self.kv_heads, self.d_v),
            )
        )
        return q, k, v
