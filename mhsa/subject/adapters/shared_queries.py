"""Modules whose queries have no axis of samples, [Tq, d_model], as those of a table: every sample has the same ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.understood import Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import SeveralCalls


class SharedQueries(SeveralCalls):
    """A module that takes queries [Tq, d_model] and keys [B, Tk, d_model]: it is called with the queries of each sample."""

    why = "give the queries of each sample alone"

    def __init__(self, base: ModuleAdapter) -> None:
        super().__init__(base)
        shape = f"{base.signature.query} [Tq, d_model]"
        text = f"queries that every sample shares, {shape}: it is called for each sample's own, with the keys of all"
        self.understood = (*base.understood, Understood("layout", text, "fitted"))

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *_: Any,
        bias: Tensor | None = None, **__: Any,
    ) -> Any:  # fmt: skip
        """Return the output [B, Tq, d_model] of as many calls as there are samples.

        Each call has the keys of all samples, so that what mixes samples is seen; the sample's own output is taken.
        """
        outputs = [self.once(module, query[n], key, value, mask, bias) for n in range(query.size(0))]
        if any(not isinstance(x, Tensor) or x.shape != query.shape for x in outputs):
            return outputs
        return torch.stack([x[n] for n, x in enumerate(outputs)]) if outputs else query.new_zeros(query.shape)
