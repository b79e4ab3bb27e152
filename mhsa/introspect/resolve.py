"""From what the user typed to a subject: which adapter fits, and what has to be found out before it can be judged."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from mhsa.introspect.declared_contract import different, require_use
from mhsa.introspect.failing_calls import require_a_call
from mhsa.introspect.find_mask_form import SIZES, find_call, find_float64, find_fully_masked_row
from mhsa.introspect.find_projections import bind_projections, unregistered
from mhsa.introspect.late_parameters import require_no_growth, require_same_maps
from mhsa.introspect.load import target_of
from mhsa.introspect.reading import read
from mhsa.introspect.source_constants import constants, literals
from mhsa.introspect.torch_attention import TorchModuleAdapter, is_called_as_torchs
from mhsa.introspect.torch_wrappers import ask_about_wrapper
from mhsa.introspect.unjudged_outputs import find_unread
from mhsa.records.contract import Contract
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.errors import SubjectError, describe
from mhsa.records.names import HEAD, WIDTH, pick
from mhsa.records.request import Request
from mhsa.records.understood import Understood, notes_of
from mhsa.reference.core_slot import fit_slot, slot_names
from mhsa.subject import check
from mhsa.subject.adapter import (
    Adapter,
    FunctionAdapter,
    ModuleAdapter,
    TorchAdapter,
    constructor_arguments,
    contract_of,
    has_own_head_width,
)
from mhsa.subject.caller import Caller
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projections import Projections
from mhsa.subject.subject import Subject


def understand(
    given: str | Request, dtypes: Sequence[str] = DEFAULT_DTYPES, device: str = "cpu", target: Any = None
) -> Subject:
    """Load what is asked for, a name or a whole request, and find out how to build, call and read it.

    ``target`` is the object itself, where it is there already and need not be loaded.

    Raises:
        SubjectError: it cannot be judged, with the reason.
    """
    request = Request(given, given, dtypes=tuple(dtypes), device=device) if isinstance(given, str) else given
    name = request.label
    try:
        target = target_of(request) if target is None else target
        adapter = as_adapter(target, name, request.arguments)
        if request.contract:
            adapter = copy.copy(adapter)  # it may be the user's own object
            adapter.contract = replace(adapter.contract, **request.contract)
        return _understand(adapter, target, replace(request, dtypes=request.dtypes or DEFAULT_DTYPES))
    except (SubjectError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise SubjectError(f"{name} cannot be understood: {describe(error)}") from error


def _understand(adapter: Adapter, target: Any, request: Request) -> Subject:
    name, dtypes, device = request.label, request.dtypes, request.device
    head, d_model = adapter.sizes or (SIZES.head, SIZES.d_model)
    sizes = Sizes(head, d_model // head)
    try:
        module = adapter.build(head, d_model)
    except SubjectError:
        raise
    except Exception as error:
        raise SubjectError(f"{name} cannot be built with head={head}, d_model={d_model}: {describe(error)}") from error
    if not isinstance(module, nn.Module):
        raise SubjectError(f"{name} builds a {type(module).__name__}; must build an nn.Module")
    module = _randomised(module, name)
    there = {path for path, _ in module.named_parameters()}
    caller = find_call(adapter, module, d_model, lambda: require_a_call(adapter, module, request, target))
    require_use(name, target, adapter, request.contract, caller.contract)
    require_no_growth(module, there, request, target)

    def forward(module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output: Tensor = caller(module, query, key, value, None)[0]
        return output

    lost = unregistered(module)
    if lost:
        return _unregistered(name, adapter, caller, dtypes, device, lost)
    bind, found = bind_projections(adapter, module, sizes, forward)
    require_same_maps(adapter, bind)
    subject = Subject(
        name=name, adapter=adapter, contract=caller.contract, dtypes=dtypes, device=device,
        bind=bind, caller=caller, refuses=_refusal(target, adapter), literals=literals(target, module),
        constants=constants(target, module), place=_place(adapter, module),
    )  # fmt: skip
    on_cpu = replace(subject, device="cpu")
    on_cpu = replace(on_cpu, contract=find_float64(on_cpu, sizes))
    ask_about_wrapper(on_cpu, module, request, target)
    subject = replace(subject, contract=replace(on_cpu.contract, fully_masked_row=find_fully_masked_row(on_cpu, sizes)))
    unread = find_unread(caller, module, sizes)
    left = (*(f"argument {n}" for n in adapter.not_given), *(x.words for x in unread))
    wrong = next((x.wrong for x in unread if x.wrong), "")
    understood = read(subject, request.contract, found)
    return replace(subject, understood=understood, notes=notes_of(understood), not_judged=left, no_weights=wrong)


def _place(adapter: Adapter, module: nn.Module) -> tuple[str, int] | None:
    """Return file and line of the subject's own code: its function, or its module's forward."""
    owner: Any = adapter.function if isinstance(adapter, FunctionAdapter) else type(module).forward
    try:
        owner = inspect.unwrap(owner)
        return inspect.getsourcefile(owner) or "", inspect.getsourcelines(owner)[1]
    except (TypeError, OSError):
        return None


def _unregistered(name: str, adapter: Adapter, caller: Caller, dtypes: tuple[str, ...], device: str, lost: str) -> Subject:
    """Return a subject of which only its construction can be judged, and is wrong."""

    def bind(module: nn.Module, sizes: Sizes) -> Projections:
        check.inapplicable(f"cannot be asked: {lost}")

    understood = (Understood("call", adapter.describe()), Understood("parameters", lost))
    return Subject(
        name=name, adapter=adapter, contract=caller.contract, dtypes=dtypes, device=device, bind=bind, caller=caller,
        unregistered=lost, understood=understood, notes=notes_of(understood),
    )  # fmt: skip


def _randomised(module: nn.Module, name: str) -> nn.Module:
    """Fill with generic numbers: parameters that start at zero would hide what they do."""
    if any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters()):
        raise SubjectError(f"{name} has lazy parameters without sizes; name a factory that calls it once before returning it")
    module = module.to(device="cpu", dtype=torch.float64).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            size = parameter.size(-1) ** 0.5 if parameter.dim() > 1 else 1.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / size)
    return module.requires_grad_(True)


def as_adapter(target: Any, name: str, arguments: Mapping[str, Any] | None = None) -> Adapter:
    """Choose the adapter for a loaded object: a class, a built module, a factory, a function or an adapter itself.

    Args:
        target: the object.
        name: of it, for messages.
        arguments: for its constructor, beside those that are known by name.

    Raises:
        SubjectError: it is none of these, or takes no such arguments.
    """
    if arguments:
        if isinstance(target, nn.Module) or not callable(target) or (inspect.isclass(target) and issubclass(target, Adapter)):
            raise SubjectError(f"{name} is not built by mhsa, so it takes no arguments; given were {', '.join(arguments)}")
        return _of_module(target, name, arguments)
    if isinstance(target, Adapter):
        return target
    if inspect.isclass(target) and issubclass(target, Adapter):
        return target()
    if target is nn.MultiheadAttention:
        return TorchAdapter()
    if isinstance(target, nn.Module) or (inspect.isclass(target) and issubclass(target, nn.Module)):
        function = _as_function(target)
        if function is None:
            return _of_module(target, name)
        return _function_adapter(function, name, contract_of(target, name))
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
        return _function_adapter(target, name, contract_of(target, name))
    sized = pick(parameters, HEAD) and pick(parameters, WIDTH)
    if not sized and all(p.default is not p.empty for p in parameters.values()):  # a factory of one built module
        return as_adapter(target(), name)
    constructor_arguments(target, name)  # says what is missing
    return _of_module(target, name)


def _of_module(target: Any, name: str, arguments: Mapping[str, Any] | None = None) -> ModuleAdapter:
    """Return the adapter of a module, a class or a factory: torch's own is known, whatever its name."""
    adapter = ModuleAdapter(target, name, arguments)
    return TorchModuleAdapter(target, name, arguments) if is_called_as_torchs(adapter) else adapter


def _function_adapter(function: Callable[..., Any], name: str, declared: Contract | None) -> FunctionAdapter:
    _, mask, dropout = slot_names(dict(inspect.signature(function).parameters))
    try:
        attend = fit_slot(function)
    except TypeError as error:
        raise SubjectError(f"{name}: {error}") from error
    # Sizes that differ tell (Z, A) from (A, Z).
    q, k, v = torch.zeros(2, 4, 3, 7), torch.zeros(2, 4, 11, 7), torch.zeros(2, 4, 11, 7)
    shapes = []
    with contextlib.suppress(Exception):  # the properties will meet it again and report it
        shapes = [x.shape if isinstance(x, Tensor) else None for x in attend(q, k, v, nn.Dropout(0.0), None)]
    if len(shapes) == 2 and shapes == [(2, 4, 3, 11), q.shape]:
        raise SubjectError(f"{name} returns the weights first; must return Z or (Z, A). Wrap it in a def")
    adapter = FunctionAdapter(function, name, takes_mask=mask is not None, takes_dropout=dropout is not None)
    adapter.declared = declared
    adapter.contract = replace(adapter.contract, **different(declared))
    return adapter


def _as_function(target: Any) -> Callable[..., Any] | None:
    """Return a module without parameters that attends from query to key: the core alone, on [B, H, T, d]."""
    if inspect.isclass(target):
        required = [
            p for p in list(inspect.signature(target).parameters.values()) if p.default is p.empty and p.kind in (0, 1, 3)
        ]
        if required:
            return None
    module = target() if isinstance(target, type) else target
    if any(True for _ in module.parameters()):
        return None
    module.eval()
    forward: Callable[..., Any] = module.forward
    return forward if slot_names(dict(inspect.signature(forward).parameters))[0] is not None else None


def _refusal(target: Any, adapter: Adapter) -> Callable[[int, int], Any] | None:
    """Return the constructor that must refuse d_model % head != 0, if the subject has one of its own."""
    if adapter.sizes is not None or isinstance(adapter, FunctionAdapter) or adapter.contract.indivisible == "any":
        return None
    return None if has_own_head_width(target) else adapter.build
