"""Reading of the heads: which features belong to one, neighbours or every H-th."""

from __future__ import annotations

from dataclasses import replace

from mhsa.introspect.projections.head_order import interleaved
from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.subject import Subject


def interleaved_heads(subject: Subject) -> Reading | None:
    """Return the reading of a module that takes every H-th feature for one head; None where it is declared, or has no heads.

    The usual answer is neighbours, so this one is a question: weights that were trained in the usual order do not fit.
    """
    if subject.adapter.contract.heads is not None or isinstance(subject.adapter, FunctionAdapter):
        return None
    fields = {"heads": "interleaved"}
    read = replace(subject, bind=interleaved(subject.bind), contract=replace(subject.contract, heads="interleaved"))
    text = "takes every H-th feature for one head, H being the number of heads, and not neighbours"
    return Reading(read, "parameters", text, certain=False, declaration=fields, pins=fields)
