"""Tensors [H] that a function of heads takes in addition: learned sinks and the slopes of ALiBi, if they are declared."""

from __future__ import annotations

from mhsa.records.errors import Question
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.given_options import ALIBI, is_required, sinks_argument, slopes_argument


def require_tensors(name: str, adapter: FunctionAdapter) -> None:
    """Raise unless what the function needs is declared, and what is declared can be given to it.

    Raises:
        Question: with the declaration, or with the arguments that are looked for.
    """
    sinks, slopes = sinks_argument(adapter.function), slopes_argument(adapter.function)
    contract = adapter.contract
    if sinks and contract.sinks is None and is_required(adapter.function, sinks):
        raise Question(
            f"{name} needs {sinks}: a logit of each head [H] that takes part in the softmax and has no value?",
            {"sinks": "learned"},
        )
    if slopes and contract.bias not in ALIBI and is_required(adapter.function, slopes):
        raise Question(f"{name} needs {slopes}: the slope of each head [H], of ALiBi?", {"bias": "alibi"})
    if adapter.bias_required and contract.bias is None and adapter.bias_name not in adapter.options(1).names:
        raise Question(f"{name} needs {adapter.bias_name}: a floating bias that is added to the scores?", {"bias": "given"})
    if contract.sinks == "learned" and not sinks:
        raise Question(
            f'{name}: sinks = "learned" is declared, but applies to nothing: no argument for a tensor with a number for each '
            "head is called sinks, sink_logits, learnable_sink, s_aux or the like. Remove it, or rename the argument",
            unused="contract.sinks",
        )
