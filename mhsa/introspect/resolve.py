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

from mhsa.introspect.choose_subject import Choice
from mhsa.introspect.declared_contract import different, require_use
from mhsa.introspect.failing_builds import failed_build
from mhsa.introspect.failing_calls import require_a_call
from mhsa.introspect.find_mask_form import find_call, find_float64, find_fully_masked_row
from mhsa.introspect.find_weights_form import find_weights_form
from mhsa.introspect.function_values import places_of_values
from mhsa.introspect.late_parameters import require_no_growth, require_same_maps
from mhsa.introspect.limited_lengths import require_lengths
from mhsa.introspect.load import chosen
from mhsa.introspect.projections.bind import bind_projections
from mhsa.introspect.projections.unregistered import unregistered
from mhsa.introspect.reading import understood_of
from mhsa.introspect.readings.biases import bias_argument, find_bias_form, require_bias
from mhsa.introspect.readings.constructors import read_constructor
from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.readings.guessed_arguments import require_fit_of_guesses
from mhsa.introspect.readings.read import read_call
from mhsa.introspect.readings.rotary import candidates, seems_rotary
from mhsa.introspect.readings.switches import read_switches
from mhsa.introspect.source_constants import constants, literals
from mhsa.introspect.surroundings.inner_attention import Surroundings
from mhsa.introspect.surroundings.leave_out import ask_about_residual, inner_attention, is_certain
from mhsa.introspect.torch_attention import TorchModuleAdapter, is_called_as_torchs
from mhsa.introspect.unjudged_outputs import find_unread
from mhsa.oracle.formula.fields import Rotary, as_declared
from mhsa.records.contract import Contract
from mhsa.records.declarations import in_words
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.errors import Question, SubjectError, describe
from mhsa.records.names import HEAD, WIDTH, pick
from mhsa.records.request import Request
from mhsa.records.understood import Known, Understood, notes_of
from mhsa.reference.core_slot import fit_slot, slot_names
from mhsa.reference.multi_head import MultiHeadAttention
from mhsa.subject import check
from mhsa.subject.adapter import (
    Adapter,
    FunctionAdapter,
    ModuleAdapter,
    TorchAdapter,
    contract_of,
    has_own_head_width,
)
from mhsa.subject.caller import Caller
from mhsa.subject.construction.parameters import read_parameters
from mhsa.subject.construction.roles import value_of
from mhsa.subject.forms.heads_function import HeadsFunction
from mhsa.subject.forms.mask_form import MaskForm
from mhsa.subject.forms.rotary_tables import usual_layout
from mhsa.subject.generic_inputs import first_sizes, generic_tensors
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projections import Projections
from mhsa.subject.signature import masks_among
from mhsa.subject.subject import Subject


def understand(
    given: str | Request, dtypes: Sequence[str] = DEFAULT_DTYPES, device: str = "cpu", target: Any = None
) -> Subject:
    """Load a subject, given by its spec or a whole request, and find out how to build, call and read it.

    ``target`` is the object itself, where it is there already and need not be loaded.

    Raises:
        SubjectError: it cannot be judged, with the reason.
    """
    request = Request.of(given, dtypes=tuple(dtypes), device=device) if isinstance(given, str) else given
    name = request.label
    try:
        choice = chosen(request) if target is None else Choice(target)
        target = choice.target
        asked = replace(request, dtypes=request.dtypes or DEFAULT_DTYPES)
        adapter = _declared(as_adapter(target, name, request.arguments, request.contract), request)
        read = _perhaps_rotary if seems_rotary(adapter) else _understand
        subject = read_constructor(
            adapter,
            lambda adapter: read(adapter, target, asked),
            lambda parameter: _declared(_of_module(target, name, request.arguments, parameter, request.contract), request),
        )
        return replace(subject, understood=(*choice.understood, *subject.understood))
    except (SubjectError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise SubjectError(f"{name} cannot be understood: {describe(error)}") from error


def _declared(adapter: Adapter, request: Request) -> Adapter:
    """Return the adapter with what the request declares."""
    if request.contract:
        adapter = copy.copy(adapter)  # it may be the user's own object
        adapter.contract = replace(adapter.contract, **request.contract)
    return adapter


def _perhaps_rotary(adapter: Adapter, target: Any, request: Request) -> Subject:
    """Understand a subject whose source speaks of a rotation, which is not declared.

    Raises:
        Question: it is not right as it stands, and exactly right if queries and keys are rotated.
        SubjectError: it cannot be judged, with or without a rotation.
    """
    try:
        subject = _understand(adapter, target, request)
        if Fit().without_mask(subject):
            return subject
        said: SubjectError | None = None
    except SubjectError as error:
        said = error
        if isinstance(error, Question) and error.declaration:
            raise
    for rotary in candidates(_built(adapter)):
        turned = copy.copy(adapter)
        turned.contract = replace(adapter.contract, rotary=rotary)
        found = {"rotary": rotary.layout if rotary == Rotary(layout=rotary.layout) else as_declared(rotary)}
        try:
            if not Fit().without_mask(_understand(turned, target, request)):
                continue
        except Question as question:
            if not question.declaration:
                continue
            found |= question.declaration
        except Exception:  # it cannot be read so
            continue
        raise Question(f"it is exactly right if it is declared what it seems to do: {in_words(found)}", found)
    if said is not None:
        raise said
    return subject


def _built(adapter: Adapter) -> nn.Module | None:
    """Return a module in whatever size it can be built, None where it cannot."""
    for head, d_model in (adapter.sizes,) if adapter.sizes else ((4, 24), (4, 64)):
        with contextlib.suppress(Exception):
            return adapter.build(head, d_model)
    return None


def _understand(adapter: Adapter, target: Any, request: Request) -> Subject:
    name, dtypes, device = request.label, request.dtypes, request.device
    require_bias(name, adapter)
    if isinstance(adapter, ModuleAdapter) and adapter.signature.rotary and adapter.contract.rotary is None:
        names = adapter.signature.rotary
        raise Question(
            f"{name}: forward needs {', '.join(names)}: it seems to rotate queries and keys by their places",
            {"rotary": usual_layout(names)},
        )
    sizes = first_sizes(adapter)
    head, d_model = adapter.sizes or (sizes.head, sizes.d_model)
    try:
        module = adapter.build(head, d_model)
    except SubjectError:
        raise
    except Exception as error:
        raise failed_build(name, adapter, (head, d_model), error) from error
    if not isinstance(module, nn.Module):
        raise SubjectError(f"{name} builds a {type(module).__name__}; must build an nn.Module")
    module = _randomised(module, name)
    there = {path for path, _ in module.named_parameters()}
    returning: list[str] = []  # the dtype of a call that returns, where the plainest one does not
    caller = find_call(adapter, module, lambda: returning.append(require_a_call(adapter, module, request, target)))
    if returning == ["float32"] and isinstance(adapter, ModuleAdapter):
        adapter.in_float32 = True
        caller = find_call(adapter, module)
    if caller.adapter is not adapter:  # a function that is called in another layout
        adapter = caller.adapter
        module = _randomised(adapter.build(head, d_model), name)
    require_use(name, target, adapter, request.contract, caller.contract)
    require_no_growth(module, there, request, target)
    require_lengths(module, d_model, lambda x: caller(module, x, x, x, None))

    def forward(module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output: Tensor = caller(module, query, key, value, None)[0]
        return output

    around: Surroundings | None = None
    inner = inner_attention(adapter, module, lambda: forward(module, *generic_tensors(adapter)))
    if inner is not None:
        alone = _randomised(inner.build(head, d_model), name)
        of_inner = replace(caller, adapter=inner).locate(alone, *generic_tensors(adapter))
        if not is_certain(inner) and _fits_alone(name, inner, alone, of_inner, sizes):
            raise ask_about_residual(inner.around)
        if is_certain(inner):
            adapter, module, caller, around = inner, alone, of_inner, inner.around
    lost = unregistered(module)
    if lost:
        return _unregistered(name, adapter, caller, dtypes, device, lost)
    bind, found, recipe = bind_projections(adapter, module, sizes, forward)
    require_same_maps(adapter, bind)
    subject = Subject(
        name=name, adapter=adapter, contract=caller.contract, dtypes=dtypes, device=device,
        bind=bind, caller=caller, refuses=_refusal(target, adapter), literals=literals(target, module),
        constants=constants(target, module), place=_place(adapter, module), understood=adapter.understood,
    )  # fmt: skip

    def called_by(adapter: Adapter, caller: Caller) -> Subject:
        bind, _, _ = bind_projections(adapter, module, sizes, lambda module, q, k, v: caller(module, q, k, v, None)[0])
        return replace(subject, adapter=adapter, caller=caller, bind=bind, device="cpu")

    read = read_call(replace(subject, device="cpu"), module, request, called_by)
    contract = replace(read.contract, fully_masked_row=find_fully_masked_row(read))
    read = replace(read, contract=contract, caller=replace(read.caller, contract=contract))
    require_fit_of_guesses(read, recipe.unsure if recipe else "")
    read = find_bias_form(replace(read, caller=find_weights_form(read)))
    subject = replace(read, device=device)
    switches, turned, about_switches = read_switches(replace(subject, device="cpu"))
    subject = replace(subject, switches=switches, understood=(*subject.understood, *turned))
    named = {*about_switches, *([bias_argument(read.adapter)] if read.biases else [])}
    unread = find_unread(subject.caller, module, sizes)
    left = (
        *read.not_judged,
        *(words for words in about_switches.values() if words),
        *(f"argument {n}" for n in read.adapter.not_given if n not in named and not _is_among(n, read.not_judged)),
        *(f"constructor argument {n}" for n in _options(read.adapter) if n not in about_switches),
        *(x.words for x in unread),
        *(around.parts if around else ()),
        *(recipe.not_judged if recipe else ()),
    )
    wrong = next((x.wrong for x in unread if x.wrong), "")
    if subject.caller.weights_form:
        returned = f"the weights are returned as [{', '.join(subject.caller.weights_form)}]"
        subject = replace(subject, understood=(*subject.understood, Understood("output", returned, "fitted")))
    if around is not None:
        known: Known = "declared" if adapter.contract.surroundings else "named"
        part = Understood("surroundings", around.text, known, {"surroundings": "left-out"})
        subject = replace(subject, understood=(*subject.understood, part))
    understood = understood_of(subject, request.contract, found)
    return replace(subject, understood=understood, notes=notes_of(understood), not_judged=left, no_weights=wrong)


def _fits_alone(name: str, adapter: Adapter, module: nn.Module, caller: Caller, sizes: Sizes) -> bool:
    """Whether what an adapter builds is attention to the last digit."""
    try:
        bind, _, _ = bind_projections(adapter, module, sizes, lambda m, q, k, v: caller(m, q, k, v, None)[0])
        subject = Subject(name, adapter, caller.contract, ("float64",), "cpu", bind, caller)
        contract = find_float64(subject)
        return Fit().without_mask(replace(subject, contract=contract, caller=replace(caller, contract=contract)))
    except Exception:  # it cannot be read so
        return False


def _options(adapter: Adapter) -> tuple[str, ...]:
    """Return the options of a constructor that are left at their defaults."""
    if (
        not isinstance(adapter, ModuleAdapter)
        or adapter.constructor is None
        or adapter.constructor.target is MultiHeadAttention
    ):
        return ()  # mhsa's own option is what a function is judged in
    return adapter.constructor.options


def _is_among(argument: str, not_judged: Sequence[str]) -> bool:
    """Whether more is said of an argument than its name."""
    return any(words.startswith(f"argument {argument} ") for words in not_judged)


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
        check.inapplicable(f"cannot be checked: {lost}")

    understood = (Understood("call", adapter.describe()), Understood("parameters", lost))
    return Subject(
        name=name, adapter=adapter, contract=caller.contract, dtypes=dtypes, device=device, bind=bind, caller=caller,
        unregistered=lost, understood=understood, notes=notes_of(understood),
    )  # fmt: skip


def _randomised(module: nn.Module, name: str) -> nn.Module:
    """Fill with generic numbers: parameters that start at zero would hide what they do."""
    if any(isinstance(parameter, UninitializedParameter) for parameter in module.parameters()):
        # A class or a factory has been called once already, and every call raised.
        raise SubjectError(f"{name} has lazy parameters without sizes; name a factory that calls it once before returning it")
    module = module.to(device="cpu", dtype=torch.float64).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            size = parameter.size(-1) ** 0.5 if parameter.dim() > 1 else 1.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / size)
    return module.requires_grad_(True)


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
        return _of_module(target, name, arguments, declared=declared)
    if isinstance(target, Adapter):
        return target
    if inspect.isclass(target) and issubclass(target, Adapter):
        return target()
    if target is nn.MultiheadAttention:
        return TorchAdapter()
    if isinstance(target, nn.Module) or (inspect.isclass(target) and issubclass(target, nn.Module)):
        function = _as_function(target)
        if function is None:
            return _of_module(target, name, declared=declared)
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
        return as_adapter(target(), name, declared=declared)
    return _of_module(target, name, declared=declared)  # it says what is missing


def _of_module(
    target: Any, name: str, arguments: Mapping[str, Any] | None = None, head: str | None = None,
    declared: Mapping[str, Any] | None = None,
) -> ModuleAdapter:  # fmt: skip
    """Return the adapter of a module, a class or a factory: torch's own is known, whatever its name.

    ``head`` is the parameter that is taken for the number of heads, whatever its name says.
    """
    adapter = ModuleAdapter(target, name, arguments, head, declared)
    return TorchModuleAdapter(target, name, arguments, declared) if head is None and is_called_as_torchs(adapter) else adapter


def _function_adapter(function: Callable[..., Any], name: str, declared: Contract | None) -> FunctionAdapter:
    _, _, dropout = slot_names(dict(inspect.signature(function).parameters))
    masks = masks_among(inspect.signature(function).parameters)
    try:
        fit_slot(HeadsFunction(function, "BHTD", MaskForm(), masks[0] if masks else ""))
    except TypeError as error:
        raise SubjectError(f"{name}: {error}") from error
    adapter = FunctionAdapter(function, name, takes_mask=bool(masks), takes_dropout=dropout is not None)
    adapter.values = places_of_values(function, masks[0] if masks else "")
    adapter.declared = declared
    adapter.contract = replace(adapter.contract, **different(declared))
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


def _refusal(target: Any, adapter: Adapter) -> Callable[[int, int], Any] | None:
    """Return the constructor that must refuse d_model % head != 0, if the subject has one of its own."""
    if adapter.sizes is not None or isinstance(adapter, FunctionAdapter) or adapter.contract.indivisible == "any":
        return None
    return None if has_own_head_width(target) else adapter.build
