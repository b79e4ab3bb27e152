"""Which adapter fits a loaded object: of a class, a built module, a factory, a function, or an adapter itself."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from mhsa.introspect.calls.find_query_mask import find_query_mask
from mhsa.introspect.calls.packed_core import packed_core
from mhsa.introspect.core_of_width import core_of_width
from mhsa.introspect.declared_contract import different
from mhsa.introspect.function_values import HEADS, can_be_called, places_of_values, switches_of_weights
from mhsa.introspect.readings.formula.function_tensors import require_tensors
from mhsa.introspect.torch_attention import TorchModuleAdapter, is_called_as_torchs
from mhsa.records.contract import Contract
from mhsa.records.errors import SubjectError
from mhsa.records.names import HEAD, WIDTH, pick
from mhsa.records.request import Request
from mhsa.records.understood import Understood
from mhsa.reference.core_slot import fit_slot, slot_names
from mhsa.subject.adapters.adapter import Adapter, contract_of
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.left_out_arguments import without_mask
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.torch_adapter import TorchAdapter
from mhsa.subject.construction.argument_roles import value_of
from mhsa.subject.construction.parameters import read_parameters
from mhsa.subject.forms.heads_function import HeadsFunction
from mhsa.subject.forms.mask_conversion import MaskForm
from mhsa.subject.forms.numpy_class import uses_numpy, with_tensors
from mhsa.subject.signature import masks_among


def requested_adapter(target: Any, request: Request) -> Adapter:
    """Choose the adapter for a loaded object, and declare what the request declares.

    Raises:
        SubjectError: none fits, or it takes no such arguments.
    """
    return _declared(as_adapter(target, request.label, request.arguments, request.contract), request)


def requested_module(target: Any, request: Request, head: str | None = None) -> ModuleAdapter:
    """Return the adapter of a module as the request declares it, in which the parameter ``head`` is the number of heads."""
    return _declared(of_module(target, request.label, request.arguments, head, request.contract), request)


_Given = TypeVar("_Given", bound=Adapter)


def _declared(adapter: _Given, request: Request) -> _Given:
    if request.contract:
        adapter = copy.copy(adapter)  # it may be the user's own object
        adapter.contract = replace(adapter.contract, **request.contract)
    return adapter


def as_adapter(
    target: Any, name: str, arguments: Mapping[str, Any] | None = None, declared: Mapping[str, Any] | None = None
) -> Adapter:
    """Choose the adapter for a loaded object: a class, a built module, a factory, a function or an adapter itself.

    Args:
        target: the object.
        name: of it, for messages.
        arguments: for its constructor, in addition to those that are known by name.
        declared: fields of the contract: options that state such a feature are given what is declared.

    Raises:
        SubjectError: it is something else, or takes no such arguments.
    """
    if arguments:
        if isinstance(target, nn.Module) or not callable(target) or (inspect.isclass(target) and issubclass(target, Adapter)):
            raise SubjectError(f"{name} is not built by mhsa, so it takes no arguments; given were {', '.join(arguments)}")
        return of_module(target, name, arguments, declared=declared)
    if isinstance(target, Adapter):
        return target
    if inspect.isclass(target) and issubclass(target, Adapter):
        return target()
    if target is nn.MultiheadAttention:
        return TorchAdapter()
    if isinstance(target, nn.Module) or (inspect.isclass(target) and issubclass(target, nn.Module)):
        function = _as_function(target) or (core_of_width(target, name) if inspect.isclass(target) else None)
        if function is not None:
            return _function_adapter(function, name, contract_of(target, name), declared)
        return _of_packed(target, name, declared) or of_module(target, name, declared=declared)
    if inspect.isclass(target) or not callable(target):
        kind = f"a class {target.__name__}" if inspect.isclass(target) else f"a {type(target).__name__}"
        raise SubjectError(
            f"{name} is {kind}; must be an nn.Module class or object, a factory, a function on [B, H, T, d], or an mhsa.Adapter"
        )
    if target is torch.nn.functional.scaled_dot_product_attention:
        return FunctionAdapter(target, name, takes_mask=True, takes_dropout=True)
    try:
        parameters = dict(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        raise SubjectError(f"{name} has no readable signature; wrap it in a def with query, key, value, mask") from None
    if slot_names(parameters)[0] is not None:
        function = with_tensors(target) if uses_numpy(target) else target
        return _function_adapter(function, name, contract_of(target, name), declared)
    if (packed := _of_packed(target, name, declared)) is not None:
        return packed
    sized = pick(parameters, HEAD) and pick(parameters, WIDTH)
    if not sized and all(p.default is not p.empty for p in parameters.values()):  # a factory of one built module
        return as_adapter(target(), name, declared=declared)
    return of_module(target, name, declared=declared)  # it says what is missing


def of_module(
    target: Any, name: str, arguments: Mapping[str, Any] | None = None, head: str | None = None,
    declared: Mapping[str, Any] | None = None,
) -> ModuleAdapter:  # fmt: skip
    """Return the adapter of a module, a class or a factory: torch's own is known, whatever its name.

    ``head`` is the parameter that is taken for the number of heads, whatever its name says.
    """
    adapter = ModuleAdapter(target, name, arguments, head, declared)
    return TorchModuleAdapter(target, name, arguments, declared) if head is None and is_called_as_torchs(adapter) else adapter


def _function_adapter(
    function: Callable[..., Any], name: str, own: Contract | None, declared: Mapping[str, Any] | None
) -> FunctionAdapter:
    _, _, dropout = slot_names(dict(inspect.signature(function).parameters))
    masks = masks_among(inspect.signature(function).parameters)
    adapter = FunctionAdapter(function, name, takes_mask=bool(masks), takes_dropout=dropout is not None)
    adapter.declared = own
    adapter.contract = replace(adapter.contract, **different(own))
    adapter = without_mask(adapter) or adapter
    function, masks = adapter.function, masks if adapter.takes_mask else []
    known = copy.copy(adapter)
    known.contract = replace(adapter.contract, **(declared or {}))
    require_tensors(name, known)
    mask = masks[0] if masks else ""
    try:
        fit_slot(HeadsFunction(known.with_options(2, 8), "BHTD", MaskForm(), mask))
    except TypeError as error:
        raise SubjectError(f"{name}: {error}") from error
    for switch in switches_of_weights(function):
        other = known.returning_weights(switch)
        if can_be_called(other.with_options(*HEADS), mask):
            adapter, known = adapter.returning_weights(switch), other
    adapter.values = places_of_values(known.with_options(*HEADS), mask)
    return find_query_mask(adapter)


def _of_packed(target: Any, name: str, declared: Mapping[str, Any] | None) -> FunctionAdapter | None:
    """Return the adapter of a class or function that takes query, key and value in one tensor; None where it does not."""
    packed = packed_core(target, name) if inspect.isclass(target) or inspect.isfunction(target) else None
    if packed is None:
        return None
    adapter = _function_adapter(packed.function, name, contract_of(target, name), declared).of_one_length()
    words = f"takes query, key and value in one tensor {packed.form}, and so as many queries as keys"
    adapter.said, adapter.left_out = (*adapter.said, Understood("call", words, "fitted")), packed.left_out
    adapter.contract = adapter.contract  # what is given is read anew
    return adapter


def _as_function(target: Any) -> Callable[..., Any] | None:
    """Return a module without parameters that attends from query to key: the core alone, on [B, H, T, d].

    Its constructor may take a dropout, which is 0 here, and what means nothing to attention.
    """
    given: dict[str, Any] = {}
    if inspect.isclass(target):
        read = read_parameters(dict(inspect.signature(target).parameters))
        needed = {n: p for n, p in inspect.signature(target).parameters.items() if p.default is p.empty and p.kind in (0, 1, 3)}
        given = {n: value_of(read.roles[n], 1, 1, 0.0, "usual") for n in needed if read.roles.get(n) in _CORE_ROLES}
        if len(given) < len(needed):
            return None
    module = target(**given) if isinstance(target, type) else target
    if any(True for _ in module.parameters()):
        return None
    module.eval()
    forward: Callable[..., Any] = module.forward
    return forward if slot_names(dict(inspect.signature(forward).parameters))[0] is not None else None


_CORE_ROLES = ("dropout", "length", "layer", "on", "off")
