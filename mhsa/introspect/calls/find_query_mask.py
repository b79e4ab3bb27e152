"""A mask of the queries that must be given wherever one of the keys is: it allows every query."""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.introspect.calls.call_returns import returns
from mhsa.introspect.calls.find_mask_shape import forms_of_mask
from mhsa.records.names import KEY, QUERY, QUERY_MASK, VALUE, pick
from mhsa.records.understood import Understood
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller, heads_of

_SIZE = 4  # of every axis: which is which is not known yet


def with_query_mask(caller: Caller, module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Caller:
    """Return the call with a mask of the queries next to that of the keys, where none of the keys alone is taken."""
    adapter = caller.adapter
    if not isinstance(adapter, ModuleAdapter) or not (name := pick(adapter.signature.other_masks, QUERY_MASK)):
        return caller
    both = copy.copy(adapter)
    both.query_mask = name
    both.understood = (*adapter.understood, _said(name, str(adapter.signature.mask)))
    everything = torch.ones(query.size(0), query.size(1), key.size(1), dtype=torch.bool)

    def is_taken(form: Caller) -> bool:
        heads = heads_of(module, adapter.sizes)
        return returns(lambda: form(module, query, key, value, form.convert(everything, query.dtype, heads)))

    forms = forms_of_mask(caller)
    needed = not any(map(is_taken, forms)) and any(is_taken(replace(form, adapter=both)) for form in forms)
    return replace(caller, adapter=both) if needed else caller


def with_each_other_mask(caller: Caller) -> Iterator[Caller]:
    """Yield the call with each other mask taken for one of the queries, whatever its name: that counts with an exact fit."""
    adapter = caller.adapter
    if not isinstance(adapter, ModuleAdapter) or adapter.signature.mask is None:
        return
    signature, first, others = adapter.signature, adapter.signature.mask, adapter.signature.other_masks
    pairs = [*((first, name) for name in others), *((name, first) for name in others)]
    for axis, (mask, name) in itertools.product((False, True), pairs):
        shape = "[B, Tq, 1]" if axis else "[B, Tq]"
        asks = (
            f"forward needs {mask} and {name}, and mhsa does not know what to give: with a {name} {shape} that allows every "
            "query it is not exactly attention. Describe the call in an mhsa.Adapter (docs/adapters.md)"
        )
        left = tuple(n for n in (first, *others) if n != mask)
        more = {n: x for n, x in signature.more.items() if n not in (mask, name)}
        never = tuple(dict.fromkeys(n for n in (*signature.not_given, *left) if n != mask))
        own = replace(signature, mask=mask, other_masks=left, more=more, not_given=never, asks=asks)
        both = adapter.with_signature(own)
        both.query_mask, both.query_mask_axis = name, axis
        both.understood = (*adapter.understood, _said(name, mask))
        yield replace(caller, adapter=both)


def find_query_mask(adapter: FunctionAdapter) -> FunctionAdapter:
    """Return the adapter of a function with the name of the mask of queries that it needs next to its mask."""
    parameters = inspect.signature(adapter.function).parameters
    name = pick([n for n in parameters if n != adapter.mask_name], QUERY_MASK)
    heads = [pick(parameters, names) for names in (QUERY, KEY, VALUE)]
    if not name or not adapter.mask_name or None in heads:
        return adapter
    tensors: dict[str, Any] = {str(n): torch.ones(_SIZE, _SIZE, _SIZE, _SIZE) for n in heads}
    alone = [{adapter.mask_name: mask} for mask in _masks()]
    if any(returns(functools.partial(adapter.function, **tensors, **given)) for given in alone):
        return adapter
    both = (given | {name: mask} for given in alone for mask in _masks())
    if any(returns(functools.partial(adapter.function, **tensors, **given)) for given in both):
        adapter = copy.copy(adapter)
        adapter.query_mask = name
        adapter.said = (*adapter.said, _said(name, adapter.mask_name))
        adapter.contract = adapter.contract  # what is said is put together with it
    return adapter


def _masks() -> Iterator[Tensor]:
    for shape in ((_SIZE, _SIZE), (_SIZE, 1, 1, _SIZE), (_SIZE, 1, _SIZE, _SIZE)):
        yield torch.ones(shape, dtype=torch.bool)
        yield torch.ones(shape)


def _said(name: str, mask: str) -> Understood:
    return Understood("call", f"{name} allows every query: {mask} cannot be given without it", "fitted")
