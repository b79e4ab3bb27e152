"""From what the user typed to a subject: which adapter fits, and what has to be found out before it can be judged."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from mhsa.introspect.calls.find_call import find_call
from mhsa.introspect.calls.find_fully_masked_row import find_fully_masked_row
from mhsa.introspect.calls.find_weights_form import find_weights_form
from mhsa.introspect.calls.finite_call import finite_call
from mhsa.introspect.calls.generic_module import randomised
from mhsa.introspect.choose_adapter import as_adapter, of_module
from mhsa.introspect.choose_subject import Choice
from mhsa.introspect.declared_contract import require_use
from mhsa.introspect.failing_builds import failed_build
from mhsa.introspect.failing_calls import require_a_call
from mhsa.introspect.late_parameters import require_no_growth, require_same_maps
from mhsa.introspect.limited_lengths import require_lengths
from mhsa.introspect.load import chosen
from mhsa.introspect.projections.bind import bind_projections
from mhsa.introspect.projections.declared_maps import require_maps
from mhsa.introspect.projections.parts import WHOLE
from mhsa.introspect.projections.unregistered import of_unregistered, unregistered
from mhsa.introspect.reading_in_words import understood_of
from mhsa.introspect.readings.constructors import read_constructor
from mhsa.introspect.readings.equal_lengths import declared_equal
from mhsa.introspect.readings.fit import fits
from mhsa.introspect.readings.fixed_lengths import read_fixed_lengths
from mhsa.introspect.readings.formula.biases import find_bias_form, require_bias
from mhsa.introspect.readings.formula.lse import find_lse
from mhsa.introspect.readings.formula.qk_norm import seems_normed, with_epsilon
from mhsa.introspect.readings.formula.rotary_forms import read_tables
from mhsa.introspect.readings.formula.undeclared_rotary import seems_rotary
from mhsa.introspect.readings.formula.undeclared_turns import understand_turned, understand_with_epsilon
from mhsa.introspect.readings.guessed_arguments import require_fit_of_guesses
from mhsa.introspect.readings.masks.fill import find_fill
from mhsa.introspect.readings.masks.ignored import without_ignored_mask
from mhsa.introspect.readings.one_length import of_one_length
from mhsa.introspect.readings.options.call_options import read_call_options
from mhsa.introspect.readings.options.two_streams import read_two_streams, without_other_direction
from mhsa.introspect.readings.other_widths import with_other_widths
from mhsa.introspect.readings.query_key_value import try_without_keys
from mhsa.introspect.readings.read_call import read_call, reads
from mhsa.introspect.readings.second_argument import read_second_argument
from mhsa.introspect.readings.switches import read_switches
from mhsa.introspect.readings.unjudged_options import left_at_defaults
from mhsa.introspect.readings.upcast import ask_about_upcast
from mhsa.introspect.readings.value_width import read_value_width
from mhsa.introspect.source_constants import constants, literals
from mhsa.introspect.surroundings.inner_attention import Surroundings
from mhsa.introspect.surroundings.leave_out import ask_about_residual, inner_attention, is_certain, with_dropout_of_its_own
from mhsa.introspect.surroundings.one_attention import OneAttention
from mhsa.introspect.surroundings.several_attentions import one_of_several
from mhsa.introspect.unjudged_outputs import batch_norms_in_words, find_unread
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.errors import Question, SubjectError, describe
from mhsa.records.request import Request
from mhsa.records.understood import Known, Understood, notes_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter, has_own_head_width
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import first_sizes, generic_tensors
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.signature import call_of
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
        if choice.attention:
            request = replace(request, contract={**request.contract, "attention": choice.attention})
        complete = replace(request, dtypes=request.dtypes or DEFAULT_DTYPES)
        adapter = _declared(as_adapter(target, name, request.arguments, request.contract), request)

        def read(adapter: Adapter) -> Subject:
            def plainly(adapter: Adapter) -> Subject:
                def of_lengths(adapter: Adapter) -> Subject:
                    return read_fixed_lengths(adapter, lambda adapter: _understand(adapter, target, complete))

                return read_call_options(adapter, of_lengths)

            def second(adapter: Adapter) -> Subject:
                return read_second_argument(adapter, lambda adapter: read_two_streams(adapter, plainly))

            return read_tables(adapter, second)

        turned = seems_rotary(adapter) or seems_normed(adapter)
        understand_it = understand_turned if turned else understand_with_epsilon
        subject = read_constructor(
            adapter,
            lambda adapter: understand_it(adapter, target, read),
            lambda parameter: _declared(of_module(target, name, request.arguments, parameter, request.contract), request),
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


def _understand(adapter: Adapter, target: Any, request: Request) -> Subject:
    name, dtypes, device = request.label, request.dtypes, request.device
    require_bias(name, adapter)
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
    module = randomised(module, name)
    adapter, about_epsilon = with_epsilon(adapter, target, module)
    there = {path for path, _ in module.named_parameters()}
    returning: list[str] = []  # the dtype of a call that returns, where the plainest one does not
    caller = find_call(adapter, module, lambda: returning.append(_require_a_call(adapter, module, request, target)))
    if returning == ["float32"] and isinstance(adapter, ModuleAdapter):
        adapter.in_float32 = True
        caller = find_call(adapter, module)
    one = one_of_several(adapter, module, caller, _spec(target, request)) if isinstance(adapter, ModuleAdapter) else None
    if one is not None:
        adapter, module = one, randomised(one.build(head, d_model), name)
        caller = find_call(adapter, module)
    alike: ModuleAdapter | None = declared_equal(adapter) or of_one_length(caller, module)
    if alike is not None:
        adapter, caller = alike, find_call(alike, module)
    caller = without_ignored_mask(caller, module)
    if caller.adapter is not adapter:  # a function that is called in another layout, or a mask that is not read
        adapter = caller.adapter
        module = randomised(adapter.build(head, d_model), name)
    if isinstance(adapter, ModuleAdapter) and adapter.signature.co_attention:
        adapter = without_other_direction(adapter, caller, module)
        caller = replace(caller, adapter=adapter)
    require_use(name, target, adapter, request.contract, caller.contract)
    require_no_growth(module, there, request, target)
    require_lengths(module, d_model, lambda x: caller(module, x, x, x, None))

    finite = finite_call(caller, module)

    def forward(module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output: Tensor = finite(module, query, key, value, None)[0]
        return output

    around: Surroundings | None = None
    inner = inner_attention(adapter, module, lambda: forward(module, *generic_tensors(adapter)))
    if inner is not None:
        alone = randomised(inner.build(head, d_model), name)
        of_inner = replace(caller, adapter=inner).locate(alone, *generic_tensors(adapter))
        if not is_certain(inner) and _fits_alone(name, inner, alone, of_inner, sizes):
            raise ask_about_residual(inner.around)
        if is_certain(inner):
            with_dropout_of_its_own(inner, lambda module: of_inner(module, *generic_tensors(inner), None)[0])
            adapter, module, caller, around = inner, alone, of_inner, inner.around
            finite = finite_call(caller, module)
    lost = unregistered(module)
    if lost:
        return of_unregistered(name, adapter, caller, dtypes, device, lost)
    bind, found, recipe = bind_projections(adapter, module, sizes, forward, around.taken_apart if around else WHOLE)
    require_same_maps(adapter, bind)
    about_maps = require_maps(name, adapter.contract, bind(module, sizes))
    subject = Subject(
        name=name, adapter=adapter, contract=caller.contract, dtypes=dtypes, device=device,
        bind=bind, caller=caller, refuses=_refusal(target, adapter), literals=literals(target, module),
        constants=constants(target, module), place=_place(adapter, module),
        understood=(*adapter.understood, *([about_epsilon] if about_epsilon else []), *about_maps),
    )  # fmt: skip

    def called_by(adapter: Adapter, caller: Caller) -> Subject:
        parts = around.taken_apart if around else WHOLE
        bind, _, _ = bind_projections(adapter, module, sizes, lambda module, q, k, v: caller(module, q, k, v, None)[0], parts)
        return replace(subject, adapter=adapter, caller=caller, bind=bind, device="cpu")

    read = read_call(replace(subject, device="cpu"), module, request, called_by)
    contract = replace(read.contract, fully_masked_row=find_fully_masked_row(read))
    read = replace(read, contract=contract, caller=replace(read.caller, contract=contract))
    ask_about_upcast(read)
    require_fit_of_guesses(read, recipe.unsure if recipe else "", lambda name: _fits_turned(adapter, name, target, request))
    read = try_without_keys(read)
    read = find_bias_form(replace(read, caller=find_weights_form(read)))
    read = find_lse(read, module, sizes)
    subject = with_other_widths(replace(read, device=device, fill=find_fill(read)))
    switches, turned, about_switches = read_switches(replace(subject, device="cpu"))
    subject = replace(subject, switches=switches, understood=(*subject.understood, *turned))
    if (apart := read_value_width(replace(subject, device="cpu"))) is not None:
        subject = replace(subject, switches=(*switches, apart[0]), understood=(*subject.understood, apart[1]))
    unread = find_unread(subject.caller, module, sizes)
    raised = subject.caller.error_without_mask(module, *generic_tensors(subject.adapter))
    left = (
        *read.not_judged,
        *([f"calls without a mask, which all raise ({raised})"] if raised else []),
        *left_at_defaults(read, about_switches),
        *(x.words for x in unread),
        *batch_norms_in_words(module),
        *(around.parts if around else ()),
        *(adapter.left if isinstance(adapter, OneAttention) else ()),
        *(recipe.not_judged if recipe else ()),
        *(
            f"the rate of {path}, which the constructor does not set"
            for path in _fixed_dropouts(adapter, module, head, d_model)
        ),
    )
    wrong = next((x.wrong for x in unread if x.wrong), "")
    if subject.caller.weights_form:
        returned = f"the weights are returned as [{', '.join(subject.caller.weights_form)}]"
        subject = replace(subject, understood=(*subject.understood, Understood("output", returned, "fitted")))
    if around is not None:
        known: Known = "declared" if adapter.contract.surroundings else "named"
        part = Understood("surroundings", around.text, known, {"surroundings": "left-out"})
        subject = replace(subject, understood=(*subject.understood, part))
    if isinstance(adapter, OneAttention):
        subject = replace(subject, understood=(*subject.understood, adapter.about))
    understood = understood_of(subject, request.contract, found)
    return replace(subject, understood=understood, notes=notes_of(understood), not_judged=left, no_weights=wrong)


def _fits_turned(adapter: Adapter, name: str, target: Any, request: Request) -> bool:
    """Whether it is exactly attention with a guessed switch of its constructor in its other position."""
    assert isinstance(adapter, ModuleAdapter)
    arguments = {**request.arguments, name: True}  # a guess is that it is off
    try:
        turned = _declared(of_module(target, request.label, arguments, None, request.contract), request)
        assert isinstance(turned, ModuleAdapter)
        return fits(_understand(turned.with_signature(adapter.signature), target, request))
    except SubjectError as error:
        return isinstance(error, Question) and bool(error.declaration)


def _fixed_dropouts(adapter: Adapter, module: nn.Module, head: int, d_model: int) -> tuple[str, ...]:
    return adapter.fixed_dropouts(module, head, d_model) if isinstance(adapter, ModuleAdapter) else ()


def _spec(target: Any, request: Request) -> str:
    """Return the spec that names the class of a subject; empty where it is no class that a spec names."""
    if not inspect.isclass(target) or not request.is_unnamed:
        return ""
    return f"{request.spec}:{target.__name__}" if request.spec.endswith(".py") else request.spec


def _require_a_call(adapter: Adapter, module: nn.Module, request: Request, target: Any) -> str:
    try:
        return require_a_call(adapter, module, request, target)
    except Question:
        if isinstance(adapter, ModuleAdapter) and adapter.signature.asks:
            raise Question(adapter.signature.asks) from None
        raise


def _fits_alone(name: str, adapter: Adapter, module: nn.Module, caller: Caller, sizes: Sizes) -> bool:
    """Whether what an adapter builds is attention to the last digit."""
    try:
        bind, _, _ = bind_projections(adapter, module, sizes, lambda m, q, k, v: caller(m, q, k, v, None)[0])
        subject = Subject(name, adapter, caller.contract, ("float64",), "cpu", bind, caller)
        return reads(subject, module)
    except Exception:  # it cannot be read so
        return False


def _place(adapter: Adapter, module: nn.Module) -> tuple[str, int] | None:
    """Return file and line of the subject's own code: its function, or its module's forward."""
    owner: Any = adapter.function if isinstance(adapter, FunctionAdapter) else call_of(type(module))
    try:
        owner = inspect.unwrap(owner)
        return inspect.getsourcefile(owner) or "", inspect.getsourcelines(owner)[1]
    except (TypeError, OSError):
        return None


def _refusal(target: Any, adapter: Adapter) -> Callable[[int, int], Any] | None:
    """Return the constructor that must refuse d_model % head != 0, if the subject has one of its own."""
    if adapter.sizes is not None or isinstance(adapter, FunctionAdapter) or adapter.contract.indivisible == "any":
        return None
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    unrelated = has_own_head_width(target, adapter) or (constructor is not None and constructor.any_width)
    return None if unrelated else adapter.build
