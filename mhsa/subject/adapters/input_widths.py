"""Constructors that name the widths of their inputs: what these are where inputs and d_model differ in width."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from mhsa.records.names import is_called
from mhsa.subject.construction.argument_roles import role_of

MORE = 2  # features that an input has in addition to d_model; they are zero, so that the maps of the others say everything
_OF_QUERIES = {"input_dim", "in_dim", "dim_in", "d_in", "input_size", "in_features", "in_size", "d_input", "query_dim", "qdim",
               "query_size", "query_in_dim", "q_in_dim"}  # fmt: skip
_OF_KEYS = {"kdim", "key_in_dim", "k_in_dim", "key_input_dim"}
_OF_VALUES = {"vdim", "value_in_dim", "v_in_dim", "value_input_dim"}
_OF_BOTH = {"context_dim", "cross_dim", "kv_dim", "cross_attention_dim", "memory_dim", "encoder_dim", "crossattention_dim",
            "d_context"}  # fmt: skip
_OF_OUTPUTS = {
    "out_dim",
    "dim_out",
    "d_out",
    "output_dim",
    "out_features",
    "out_channels",
    "output_size",
    "out_size",
    "d_output",
}
_INPUTS = {"query": _OF_QUERIES, "key": _OF_KEYS | _OF_BOTH, "value": _OF_VALUES | _OF_BOTH}


Inputs = Mapping[str, Sequence[str]]  # by input, "query" say, the arguments of the constructor that are its width


def inputs_named(constructor: Callable[..., Any], inputs: str) -> Inputs:
    """Return which arguments are widths of which inputs; none where the width of the module is not another argument.

    ``inputs`` is "qkv", "q,kv" or "x", as in :class:`mhsa.Adapter`.
    """
    try:
        parameters = inspect.signature(constructor).parameters
    except (TypeError, ValueError):
        return {}
    named = {role: [n for n in parameters if is_called(n, names)] for role, names in _INPUTS.items()}
    known = {n for names in named.values() for n in names}
    if not any(role_of(n) in ("d_model", "other width") for n in parameters if n not in known):
        return {}
    if inputs == "x":  # queries, keys and values are one tensor
        named = {"query": named["query"]}
    if inputs == "q,kv":
        named = {"query": named["query"], "key": [*named["key"], *named["value"]]}
    return {role: tuple(names) for role, names in named.items() if names}


def one_width_of_all_inputs(constructor: Callable[..., Any], inputs: str) -> list[Inputs]:
    """Return arguments that may be the width of every input: one that names inputs, or d_model next to a width of the output.

    ``inputs`` is that of :func:`inputs_named`.
    """
    try:
        parameters = inspect.signature(constructor).parameters
    except (TypeError, ValueError):
        return []
    roles = {"x": ("query",), "q,kv": ("query", "key")}.get(inputs, ("query", "key", "value"))
    named = [n for n in parameters if is_called(n, _OF_QUERIES)]
    widths = [n for n in parameters if role_of(n) == "d_model" and n not in named]
    outputs = [n for n in parameters if is_called(n, _OF_OUTPUTS)]
    if not named and outputs:
        named = widths
    elif not widths and not outputs:  # it is the width of the module
        named = []
    return [dict.fromkeys(roles, (name,)) for name in named[:1]]


def widths_of(inputs: Inputs, d_model: int) -> dict[str, int]:
    """Return the arguments that are widths of inputs, with what they are given."""
    return {name: d_model + MORE for names in inputs.values() for name in names}


def widened(inputs: Inputs, arity: str, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return query, key and value [B, T, D], those of other widths with more features; what is one tensor stays one.

    ``arity`` is that of :func:`inputs_named`.
    """
    if not inputs:
        return query, key, value
    wider = {(id(x), more): functional.pad(x, (0, MORE)) if more else x for x in (query, key, value) for more in (False, True)}
    q, k, v = (wider[id(x), role in inputs] for role, x in (("query", query), ("key", key), ("value", value)))
    return (q, q, q) if arity == "x" else (q, k, k) if arity == "q,kv" else (q, k, v)
