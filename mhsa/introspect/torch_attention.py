"""torch's own ``nn.MultiheadAttention`` where it is more than the bare class: an object, a subclass, a factory, a part."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mhsa.introspect.adapter_sketch import question_text
from mhsa.records.errors import Question
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.torch_adapter import TorchAdapter
from mhsa.subject.signature import call_of


class TorchModuleAdapter(ModuleAdapter):
    """Any ``nn.MultiheadAttention``, batch first or not, called as torch documents it."""

    contract = TorchAdapter.contract

    def __init__(
        self, target: Any, name: str, more: Mapping[str, Any] | None = None, declared: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(target, name, more, declared=declared)
        self.not_given = TorchAdapter.not_given

    def build(self, head: int, d_model: int) -> nn.Module:
        """Construct it, or copy it.

        Raises:
            Question: it was built with a feature that is not part of plain multi-head attention.
        """
        module = super().build(head, d_model)
        assert isinstance(module, nn.MultiheadAttention)
        features = {
            "add_bias_kv=True": module.bias_k is not None,
            "add_zero_attn=True": module.add_zero_attn,
            f"kdim={module.kdim}, vdim={module.vdim}": (module.kdim, module.vdim) != (module.embed_dim,) * 2,
        }
        if any(features.values()):
            built = " and ".join(words for words, there in features.items() if there)
            said = (
                f"{self.name} is an nn.MultiheadAttention with {built}, which no contract can declare yet. "
                "Without it, it can be judged: build it so for mhsa"
            )
            raise Question(question_text(said))
        return module

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool = True,
        bias: Tensor | None = None, of_queries: Tensor | None = None,
    ) -> Any:  # fmt: skip
        """Call it as ``TorchAdapter`` does; time comes first where the module wants it so."""
        assert isinstance(module, nn.MultiheadAttention)
        # Tied tensors stay one object: torch takes another way for self-attention.
        turned = {id(x): x if module.batch_first else x.transpose(0, 1) for x in (query, key, value)}
        query, key, value = turned[id(query)], turned[id(key)], turned[id(value)]
        output, weights = TorchAdapter.call(self, module, query, key, value, mask, need_weights, bias)  # type: ignore[arg-type]
        return output if module.batch_first else output.transpose(0, 1), weights

    def describe(self) -> str:
        """Return the call."""
        return "forward(query, key, value, attn_mask [B * head, Tq, Tk], average_attn_weights=False) of nn.MultiheadAttention"


def is_called_as_torchs(adapter: ModuleAdapter) -> bool:
    """Whether what an adapter builds is an ``nn.MultiheadAttention`` with the forward that torch documents."""
    if not issubclass(adapter.owner, nn.MultiheadAttention):
        return False
    taken = inspect.signature(call_of(adapter.owner)).parameters
    return {"query", "key", "value", "attn_mask", "need_weights", "average_attn_weights"} <= set(taken)


def within(module: nn.Module) -> nn.MultiheadAttention | None:
    """Return the one ``nn.MultiheadAttention`` that a module is or has, if it has no other parameters."""
    found = [part for part in module.modules() if isinstance(part, nn.MultiheadAttention)]
    if len(found) != 1 or {id(p) for p in module.parameters()} != {id(p) for p in found[0].parameters()}:
        return None
    return found[0]
