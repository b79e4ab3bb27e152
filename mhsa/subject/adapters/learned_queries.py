"""Modules whose queries are a parameter, as those of a resampler: it is given anew for each sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.understood import Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import SeveralCalls
from mhsa.subject.returned import listed


class LearnedQueries(SeveralCalls):
    """A module that takes keys alone, and attends to them with a parameter [..., n, d_model]."""

    why = "give the queries that are a parameter"

    def __init__(self, base: ModuleAdapter, path: str) -> None:
        super().__init__(base)
        self.path = path
        self.inputs = "q,kv"
        text = (
            f"queries are the parameter {path}, which each sample is given its own of; {base.signature.query} is key and value"
        )
        self.understood = (*base.understood, Understood("call", text, "fitted"))

    def build(self, head: int, d_model: int) -> nn.Module:
        """Build it; the queries are no parameter any more, as they are those of a case."""
        return self._with_own_queries(super().build(head, d_model))

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Build the same with this dropout."""
        module = super().build_dropping(head, d_model, rate)
        return None if module is None else self._with_own_queries(module)

    def _with_own_queries(self, module: nn.Module) -> nn.Module:
        owner, _, name = self.path.rpartition(".")
        held = module.get_submodule(owner)
        if name in held._parameters:
            queries = held._parameters.pop(name)
            held.register_buffer(name, None if queries is None else queries.detach())
        return module

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *more: Any, **named: Any
    ) -> Any:  # fmt: skip
        """Return the output [B, Tq, d_model] of as many calls as there are samples."""
        owner, _, held = self.path.rpartition(".")
        axes = (1,) * (getattr(module.get_submodule(owner), held).dim() - 2)
        outputs = []
        for n in range(query.size(0)):
            own = mask[n : n + 1] if mask is not None and mask.size(0) == query.size(0) else mask
            x = key[n : n + 1]
            given = {**self.signature.bind(x, x, x, own, need_weights=False), **self.also}
            queries = {self.path: query[n].reshape(*axes, *query.shape[1:])}
            outputs.append(listed(torch.func.functional_call(module, queries, kwargs=given))[0])
        if any(not isinstance(output, Tensor) or output.dim() != 3 for output in outputs):
            return outputs
        return torch.cat(outputs) if outputs else query.new_zeros(query.shape)

    def describe(self) -> str:
        """Return the call."""
        return f"{ModuleAdapter.describe(self).replace('=query', '=key')}, with {self.path} as query"


def learned_queries(adapter: ModuleAdapter, module: nn.Module, output: Any) -> LearnedQueries | None:
    """Return the adapter where the output [B, n, d_model] is as long as one parameter [..., n, d_model]; else None."""
    if type(adapter) is not ModuleAdapter or adapter.inputs != "x" or not isinstance(output, Tensor) or output.dim() != 3:
        return None
    n, width = output.shape[1:]
    held = [path for path, p in module.named_parameters() if p.shape[-2:] == (n, width) and p.numel() == n * width]
    return LearnedQueries(adapter, held[0]) if len(held) == 1 else None
