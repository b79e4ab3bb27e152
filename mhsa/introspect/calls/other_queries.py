"""How queries are given where they are not [B, Tq, D]: one for each sample, or the same ones for every sample."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from mhsa.introspect.calls.call_returns import giving_tokens
from mhsa.introspect.calls.find_mask_shape import forms_of_mask
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.keys_of_each_query import KeysOfEachQuery
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.one_sample import OneSample
from mhsa.subject.adapters.several_calls import EachQueryAlone
from mhsa.subject.adapters.shared_queries import SharedQueries
from mhsa.subject.caller import Caller


def query_by_query(
    caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor], rows: tuple[bool, ...] = (False, True)
) -> Caller | None:
    """Return the call in which a sample has one query, without an axis of queries or with one; None where it is not taken so.

    One with such an axis is read so only where more queries raise: a module that gives one row for several is wrong. So is one
    that takes as many queries as keys, and raises for others.
    """
    adapter = caller.adapter
    _, key, value = given
    if type(adapter) is not ModuleAdapter or adapter.inputs == "x" or giving_tokens(caller, module, (key, key, value)):
        return None
    for row in rows:
        alone = EachQueryAlone(adapter)
        alone.row = row
        shape = "[B, 1, d_model]" if row else "[B, d_model]"
        text = f"one query for each sample, {adapter.signature.query} {shape}: each query is given alone"
        alone.understood = (*adapter.understood, Understood("layout", text, "fitted"))
        if (found := giving_tokens(replace(caller, adapter=alone), module, given)) is not None:
            return found
    return None


def query_by_query_with_a_mask(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call in which a sample has one query, and keys a mask that allows everything; None where it is not taken."""
    if not may_need_mask(caller.adapter) or not isinstance(caller.adapter, ModuleAdapter):
        return None
    forms = forms_of_mask(replace(caller, fills_mask=True))
    return next((found for form in forms if (found := query_by_query(form, module, given)) is not None), None)


def queries_of_no_sample(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call with queries [Tq, d_model], which every sample shares; None where it is not taken so."""
    adapter = caller.adapter
    if type(adapter) is not ModuleAdapter or adapter.inputs == "x" or caller.contract.layout not in (None, "BTD"):
        return None
    return _called_so(caller, SharedQueries(adapter), module, given)


def keys_of_each_query(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call with keys [B, Tq, Tk, d_model], of each query its own; None where it is not taken so."""
    adapter = caller.adapter
    if type(adapter) is not ModuleAdapter or adapter.inputs == "x" or caller.contract.layout not in (None, "BTD"):
        return None
    return _called_so(caller, KeysOfEachQuery(adapter), module, given)


def one_sample(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call with the tokens of one sample, [T, d_model]; None where it is not taken so."""
    adapter = caller.adapter
    if type(adapter) is not ModuleAdapter or caller.contract.layout not in (None, "BTD"):
        return None
    return _called_so(caller, OneSample(adapter), module, given)


def _called_so(
    caller: Caller, adapter: ModuleAdapter, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]
) -> Caller | None:  # fmt: skip
    """Return the call by another adapter, with a mask that allows everything where it needs one; None where none returns."""
    called = replace(caller, adapter=adapter)
    if (found := giving_tokens(called, module, given)) is not None or not may_need_mask(adapter):
        return found
    forms = forms_of_mask(replace(called, fills_mask=True))
    return next((found for form in forms if (found := giving_tokens(form, module, given)) is not None), None)


def may_need_mask(adapter: Adapter) -> bool:
    """Whether a call without a mask is not promised: it has no default, or one of None, which may be there for other masks."""
    if isinstance(adapter, FunctionAdapter):
        return adapter.mask_required
    return isinstance(adapter, ModuleAdapter) and adapter.signature.mask is not None and not adapter.signature.mask_omitted
