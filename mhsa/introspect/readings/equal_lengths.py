"""Reading of a module or function that raises where there are more or fewer keys than queries: it takes equal lengths alone."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mhsa.introspect.calls.call_returns import returns
from mhsa.introspect.calls.find_call import find_call
from mhsa.introspect.calls.find_float64 import find_float64
from mhsa.introspect.calls.find_mask_shape import forms_of_mask
from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.introspect.readings.fit import MANY, Fit
from mhsa.introspect.readings.formula.causal import ask_about_causal
from mhsa.introspect.readings.formula.features import ask_about_features
from mhsa.records.errors import Question
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import OfOneLength
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.subject import Subject

_TEXT = "takes as many queries as keys: others raise"


def declared_equal(adapter: Adapter) -> OfOneLength | FunctionAdapter | None:
    """Return the adapter that gives as many queries as keys, where that is declared; else None."""
    if adapter.contract.lengths != "equal" or adapter.inputs == "x":
        return None
    if isinstance(adapter, FunctionAdapter):
        one = adapter.of_one_length()
        one.said = (*one.said, Understood("call", "takes as many queries as keys, and is judged with no others", "declared"))
        one.contract = adapter.contract
        return one
    if not isinstance(adapter, ModuleAdapter):
        return None
    same = OfOneLength(adapter)
    others = ", and is judged with no others, as the formula counts places" if same.square else ""
    same.understood = (*adapter.understood, Understood("call", f"takes as many queries as keys{others}", "declared"))
    return same


def _of_one_length(adapter: Adapter) -> OfOneLength | FunctionAdapter | None:
    """Return the adapter that gives as many queries as keys, where nothing is declared about it and it may be so."""
    if adapter.inputs == "x" or adapter.contract.lengths is not None:
        return None
    if isinstance(adapter, FunctionAdapter):
        return adapter.of_one_length()
    return OfOneLength(adapter) if type(adapter) is ModuleAdapter else None


def equal_lengths(subject: Subject, module: nn.Module) -> Reading | None:
    """Return the reading of equal lengths; None where they are declared, or other lengths return.

    The usual answer is any lengths, so it is a question.
    """
    same = _of_one_length(subject.adapter)
    if same is None or _is_taken(subject.caller, module):
        return None
    caller = find_call(same, module)
    if not _is_taken(caller, module):
        return None
    contract = replace(caller.contract, lengths="equal")
    read = replace(subject, adapter=same, caller=replace(caller, contract=contract), contract=contract)
    fields = {"lengths": "equal"}
    return Reading(read, "call", _TEXT, certain=False, declaration=fields, pins=fields)


def masks_of_equal_lengths(subject: Subject, fit: Fit) -> Reading | None:
    """Return the reading of a mask that is taken with as many queries as keys alone; None where others are taken.

    So it is where a mask that is made once is cut, ``mask[:T, :T]``, and is meant for self-attention.
    """
    adapter = subject.adapter
    same = _of_one_length(adapter)
    if same is None:
        return None
    undeclared = replace(subject.caller, contract=replace(subject.contract, mask_shape=adapter.contract.mask_shape))
    forms = [replace(subject, contract=form.contract, caller=form) for form in forms_of_mask(undeclared)]
    if any(fit.is_taken(form, MANY) for form in forms):
        return None
    contract = replace(subject.contract, lengths="equal", mask_shape=adapter.contract.mask_shape)
    caller = replace(subject.caller, adapter=same, contract=contract, weights_from=None)  # of several calls there are none
    read = replace(subject, adapter=same, caller=caller, contract=contract)
    fields = {"lengths": "equal"}
    text = "takes a mask with as many queries as keys alone: others raise"
    return Reading(read, "call", text, certain=False, declaration=fields, pins=fields)


def ask_about_places(same: Reading, module: nn.Module, fit: Fit, masks_of: Callable[[Subject], Reading | None]) -> None:
    """Ask whether a module of equal lengths is causal, or has another feature that counts places.

    Raises:
        Question: it is exactly right with equal lengths if so; the declaration names these, too.
    """
    adapter: Any = copy.copy(same.subject.adapter)
    adapter.square = True
    caller = replace(same.subject.caller, adapter=adapter)
    contract = find_float64(replace(same.subject, adapter=adapter, caller=caller))
    caller = replace(caller, contract=contract)
    alone = replace(same.subject, adapter=adapter, caller=caller, contract=contract)
    try:
        ask_about_causal(alone, module, fit, masks_of)
        ask_about_features(alone, module, fit)
    except Question as question:
        words = f"it takes as many queries as keys, where others raise, and {str(question).removeprefix('it ')}"
        raise Question(words, {**same.declaration, **question.declaration}) from None


def _is_taken(caller: Caller, module: nn.Module) -> bool:
    """Whether more keys than queries are taken, without a mask or with one that allows everything."""
    query, key, value = generic_tensors(caller.adapter)
    everything = torch.ones(query.size(0), query.size(1), key.size(1), dtype=torch.bool)
    masked = (
        [(form, form.convert(everything, query.dtype)) for form in forms_of_mask(caller)] if caller.adapter.takes_mask else []
    )
    tried = [(caller, None), *masked]
    return any(returns(functools.partial(form, module, query, key, value, mask)) for form, mask in tried)
