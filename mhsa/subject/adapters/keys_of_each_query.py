"""Modules in which each query has keys of its own, [B, Tq, Tk, d_model], as a node has its neighbours."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mhsa.records.understood import Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import SeveralCalls


class KeysOfEachQuery(SeveralCalls):
    """A module that takes queries [B, N, d_model] and keys [B, N, Tk, d_model].

    A canonical call [B, Tq, d_model] is given with its samples in the second axis, where each has keys of its own, and its
    queries in the first: what looks at the keys of another query is then seen.
    """

    why = "give each query keys of its own"

    def __init__(self, base: ModuleAdapter) -> None:
        super().__init__(base)
        shape = f"{base.signature.key} [B, Tq, Tk, d_model]"
        self.understood = (*base.understood, Understood("layout", f"keys of each query, {shape}", "fitted"))

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *_: Any,
        bias: Tensor | None = None, **__: Any,
    ) -> Any:  # fmt: skip
        """Return the output [B, Tq, d_model] of one call; a mask is [B, Tq, Tk], or the same for every query."""

        def repeated(x: Tensor) -> Tensor:
            return x.expand(query.size(1), *x.shape).contiguous()

        turned = query.transpose(0, 1).contiguous()
        keys = repeated(key)
        values = keys if value is key else repeated(value)
        if mask is not None:
            mask = repeated(mask) if mask.dim() == 2 else mask.transpose(0, 1).contiguous()
        output = self.once(module, turned, keys, values, mask, bias)
        fits = isinstance(output, Tensor) and output.shape == turned.shape
        return output.transpose(0, 1) if fits else output
