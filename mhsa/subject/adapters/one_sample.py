"""Modules that have no axis of samples: they take the tokens of one sample, [T, d_model]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.understood import Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import SeveralCalls


class OneSample(SeveralCalls):
    """A module that takes query, key and value [T, d_model]: it is called once for each sample."""

    why = "give each sample alone"

    def __init__(self, base: ModuleAdapter) -> None:
        super().__init__(base)
        text = f"takes one sample without an axis for it, {base.signature.query} [T, d_model]: each is given alone"
        self.understood = (*base.understood, Understood("layout", text, "fitted"))

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *_: Any,
        bias: Tensor | None = None, **__: Any,
    ) -> Any:  # fmt: skip
        """Return the outputs [B, Tq, d_model] of as many calls as there are samples; of a mask each is given its own part."""
        outputs = []
        for n in range(query.size(0)):
            q = query[n]
            k = q if key is query else key[n]
            v = q if value is query else k if value is key else value[n]
            of_one = mask[n] if mask is not None and mask.size(0) == query.size(0) and mask.dim() > 1 else mask
            outputs.append(self.once(module, q, k, v, of_one, bias))
        if any(not isinstance(x, Tensor) or x.shape != query.shape[1:] for x in outputs):
            return outputs
        return torch.stack(outputs) if outputs else query.new_zeros(query.shape)
