"""Modules that take query, key and value of one length alone, as their docstrings say: they are judged in self-attention."""

from __future__ import annotations

import copy
import functools
import re

import torch
from torch import nn

from mhsa.introspect.calls.call_returns import returns
from mhsa.records.understood import Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.docstrings.passages import about
from mhsa.subject.generic_inputs import generic_tensors

_SHAPE = re.compile(r"[\[(][^\[\]()]*[\])]")


def of_one_length(caller: Caller, module: nn.Module) -> ModuleAdapter | None:
    """Return the adapter for self-attention where docstrings say one shape of query and key, and no other is taken.

    None where they do not say it, or keys of another length are taken, or none of this length are.

    Args:
        caller: of a module that takes keys of their own.
        module: of generic sizes, float64 and in eval mode.
    """
    adapter = caller.adapter
    if not isinstance(adapter, ModuleAdapter) or adapter.inputs == "x" or _shape_of(adapter, adapter.signature.query) is None:
        return None
    if adapter.signature.as_list or adapter.signature.key is None:
        return None
    names = [name for name in (adapter.signature.key, adapter.signature.value) if name is not None]
    if {_shape_of(adapter, name) for name in (adapter.signature.query, *names)} != {_shape_of(adapter, names[0])}:
        return None
    query, key, _ = generic_tensors(adapter)
    if _is_taken(caller, module, query, key) or not _is_taken(caller, module, query, query):
        return None
    alone = copy.copy(adapter)
    alone.inputs = "x"
    shape, given = _shape_of(adapter, names[0]), " and ".join((adapter.signature.query, *names))
    text = f"self-attention alone: {given} are documented as {shape}, and other lengths of keys raise"
    alone.understood = (*adapter.understood, Understood("roles", text, "documented"))
    return alone


def _shape_of(adapter: ModuleAdapter, name: str) -> str | None:
    """Return the shape that a docstring gives an argument, with a word for each axis."""
    found = (_SHAPE.search(text) for text in about(adapter, name))
    return next((match.group() for match in found if match is not None), None)


def _is_taken(caller: Caller, module: nn.Module, query: torch.Tensor, key: torch.Tensor) -> bool:
    """Whether a call returns, without a mask or with one of zeros: [B, 1, Tq, Tk] and [B, Tq, Tk], floating and bool."""
    masks: list[torch.Tensor | None] = [None]
    if caller.adapter.takes_mask:
        zeros = torch.zeros(query.size(0), 1, query.size(1), key.size(1), dtype=query.dtype)
        masks += [form for mask in (zeros, zeros[:, 0]) for form in (mask, mask.bool())]
    return any(returns(functools.partial(caller, module, query, key, key, mask)) for mask in masks)
