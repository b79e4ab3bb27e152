"""A context that is one vector for each sample: its only key has a weight of 1, so that nothing of attention can be judged."""

from __future__ import annotations

from torch import Tensor, nn

from mhsa.introspect.calls.call_returns import returns
from mhsa.records.errors import Question
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.forms.token_layout import TokenLayout
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.returned import listed


def ask_about_one_vector(adapter: Adapter, module: nn.Module) -> None:
    """Ask for a sequence where a picture, or tokens, can be called with one vector for each sample alone.

    Args:
        adapter: no call of which returns.
        module: of generic sizes, float64 and in eval mode.

    Raises:
        Question: it is called so, and gives what is as large as its queries.
    """
    if type(adapter) is not ModuleAdapter or adapter.inputs != "q,kv":
        return
    query, key, _ = generic_tensors(adapter)
    vector = key[:, 0].contiguous()
    for laid in (TokenLayout("BCHW").give(query, query, query)[0], query):

        def call(laid: Tensor = laid) -> None:
            gave = listed(adapter.call(module, laid, vector, vector, None))
            assert any(isinstance(x, Tensor) and x.shape == laid.shape for x in gave)

        if returns(call):
            shape = "a picture [B, C, H, W]" if laid.dim() == 4 else "tokens [B, T, D]"
            raise Question(
                f"{adapter.signature.key} is one vector for each sample, [B, D], next to {shape}: the weight of a single key "
                "is 1, whatever queries, keys and their scale are, so nothing of attention can be judged"
            )
