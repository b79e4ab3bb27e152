"""Learned sinks of a module: a parameter with a usual name and a number for each head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mhsa.records.errors import Question
from mhsa.records.names import SINKS, is_called


def named_sinks(parameters: Mapping[str, Tensor], head: int) -> str:
    """Return the path of the parameter that is called so and has ``head`` numbers; empty where there is none."""
    found = (path for path, p in parameters.items() if p.numel() == head and is_called(path.rpartition(".")[2], SINKS))
    return next(found, "")


def require_sinks(path: str, *, declared: bool) -> None:
    """Raise where a module has sinks that are not declared, or declared ones are not found.

    Raises:
        Question: with the declaration, or with what is looked for.
    """
    if path and not declared:
        raise Question(
            f"parameter {path} changes the result: a learned logit of each head that takes part in the softmax?",
            {"sinks": "learned"},
        )
    if declared and not path:
        raise Question(
            'sinks = "learned" is declared, but applies to nothing: no parameter with a number for each head is called '
            "sinks, sink_logits, attention_sink or the like. Remove it, or rename the parameter",
            unused="contract.sinks",
        )
