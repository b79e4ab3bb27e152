"""Reading of what raises where its inputs are not contiguous: ``x.view(-1, d)`` takes a transposed tensor for none."""

from __future__ import annotations

import functools
from dataclasses import replace

from torch import nn

from mhsa.introspect.calls.call_returns import returns
from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.memory_layout import lay_out
from mhsa.subject.subject import Subject

_STRIDED = ("transposed", "columns")  # what takes tokens apart, and features apart, takes every other layout
_TEXT = "takes contiguous tensors only (others raise)"


def contiguous_alone(subject: Subject, module: nn.Module) -> Reading | None:
    """Return the reading of contiguous inputs; None where their strides are declared, or every layout in memory returns.

    The usual answer is any strides, so it is a question. That a call raises is loud: whoever meets it adds ``contiguous()``.

    Args:
        subject: as it is called.
        module: of generic sizes, float64 and in eval mode.
    """
    if subject.adapter.contract.strides is not None:
        return None
    if all(_is_taken(subject, module, layout) for layout in _STRIDED) or not _is_taken(subject, module, "contiguous"):
        return None
    fields = {"strides": "contiguous"}
    read = subject.under(replace(subject.contract, strides="contiguous"))
    return Reading(read, "call", _TEXT, certain=False, declaration=fields, pins=fields)


def _is_taken(subject: Subject, module: nn.Module, layout: str) -> bool:
    tensors = generic_tensors(subject.adapter)
    laid = {id(x): lay_out(x, layout) for x in tensors}
    query, key, value = (laid[id(x)] for x in tensors)
    return returns(functools.partial(subject.caller, module, query, key, value, None))
