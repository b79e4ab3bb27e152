"""What one adapter builds, understood stage by stage."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from mhsa.introspect.choose_adapter import requested_module
from mhsa.introspect.late_parameters import fewest_heads, made_anew
from mhsa.introspect.projections.bind import bind_projections
from mhsa.introspect.projections.declared_maps import require_maps
from mhsa.introspect.projections.parts import WHOLE
from mhsa.introspect.projections.recipe import Recipe
from mhsa.introspect.projections.unregistered import of_unregistered, unregistered
from mhsa.introspect.reading_in_words import understood_of
from mhsa.introspect.readings.fit import fits
from mhsa.introspect.readings.formula.biases import require_bias
from mhsa.introspect.readings.options.positions import with_positions
from mhsa.introspect.source_constants import constants, literals
from mhsa.introspect.stages.built_and_called import BuiltAndCalled, build_and_call
from mhsa.introspect.stages.exact_reading import read_exactly
from mhsa.introspect.stages.harmless_guesses import changes_nothing
from mhsa.introspect.stages.layer_in_words import with_layer
from mhsa.introspect.stages.other_positions import with_other_positions
from mhsa.introspect.stages.side_of_inputs import require_no_side
from mhsa.introspect.stages.what_is_left import with_what_is_left
from mhsa.introspect.stages.without_surroundings import without_surroundings
from mhsa.introspect.stages.wrong_calls import with_wrong_calls
from mhsa.introspect.surroundings.inner_attention import Surroundings
from mhsa.introspect.surroundings.one_attention import OneAttention
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.records.understood import Known, Understood, notes_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter, has_own_head_width
from mhsa.subject.caller import Caller
from mhsa.subject.forms.given_weights import GivenWeights
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.signature import call_of
from mhsa.subject.subject import Subject


def understand_adapter(adapter: Adapter, target: Any, request: Request) -> Subject:
    """Return the subject that an adapter builds: how it is called and read, and what of it is judged.

    Args:
        adapter: with what the request declares.
        target: what the user named.
        request: with its dtypes.

    Raises:
        SubjectError: it cannot be judged.
        Question: likewise, until something is declared.
    """
    require_bias(request.label, adapter)
    whole = build_and_call(adapter, target, request)

    def stated(argument: str, value: Any) -> ModuleAdapter:
        return requested_module(target, _stating(request, argument, value))

    require_no_side(whole, stated)
    built, around = without_surroundings(whole, request.label)
    anew = made_anew(built.module, lambda: built.output(*generic_tensors(built.adapter)))
    if lost := unregistered(built.module) or anew:
        return of_unregistered(request.label, built.adapter, built.caller, request.dtypes, request.device, lost)
    by_names, found, recipe = _by_names(built, around, target, request)

    def turned(switch: str) -> bool:
        return _fits_turned(built.adapter, switch, target, request)

    def harmless(argument: str) -> bool:
        return changes_nothing(argument, built, target, functools.partial(stated, argument))

    def called_by(adapter: Adapter, caller: Caller) -> Subject:
        return _called_by(by_names, built, around, adapter, caller)

    read = read_exactly(by_names, built, request, called_by, recipe.unsure if recipe else "", turned, harmless)
    subject, about_switches = with_other_positions(replace(read, device=request.device))
    subject, of_positions = with_positions(with_wrong_calls(subject), request.not_judged)
    about_switches |= of_positions
    subject = with_what_is_left(subject, read, built, about_switches, around, recipe)
    subject = with_layer(subject, around)
    subject = replace(subject, understood=(*subject.understood, *_of_the_whole(subject, built.adapter, around)))
    understood = understood_of(subject, request.contract, found)
    return replace(subject, understood=understood, notes=notes_of(understood))


def _by_names(
    built: BuiltAndCalled, around: Surroundings | None, target: Any, request: Request
) -> tuple[Subject, str, Recipe | None]:  # fmt: skip
    """Return the subject before its call is read, where its maps were found in words, and their recipe."""
    adapter, module = built.adapter, built.module
    parts = around.taken_apart if around else WHOLE
    bind, found, recipe = bind_projections(adapter, module, built.sizes, lambda _, q, k, v: built.output(q, k, v), parts)
    heads = fewest_heads(adapter, bind)
    about_maps = require_maps(request.label, adapter.contract, bind(module, built.sizes))
    subject = Subject(
        name=request.label, adapter=adapter, contract=built.caller.contract, dtypes=request.dtypes, device=request.device,
        bind=bind, caller=built.caller, refuses=_refusal(target, adapter), literals=literals(target, module),
        constants=constants(target, module), place=_place(adapter, module),
        understood=(*adapter.understood, *built.understood, *about_maps),
        fewest_heads=heads, not_judged=("one head, which lacks a map of several",) if heads > 1 else (),
    )  # fmt: skip
    return subject, found, recipe


def _called_by(
    subject: Subject, built: BuiltAndCalled, around: Surroundings | None, adapter: Adapter, caller: Caller
) -> Subject:  # fmt: skip
    """Return a subject whose arguments have other roles: its maps are found anew."""
    parts = around.taken_apart if around else WHOLE
    bind, _, _ = bind_projections(
        adapter, built.module, built.sizes, lambda module, q, k, v: caller(module, q, k, v, None)[0], parts
    )
    return replace(subject, adapter=adapter, caller=caller, bind=bind, device="cpu")


def _fits_turned(adapter: Adapter, name: str, target: Any, request: Request) -> bool:
    """Whether it is exactly attention with a guessed switch of its constructor in its other position."""
    assert isinstance(adapter, ModuleAdapter)
    try:
        turned = requested_module(target, _stating(request, name, True))  # a guess is that it is off
        return fits(understand_adapter(turned.with_signature(adapter.signature), target, request))
    except SubjectError as error:
        return isinstance(error, Question) and bool(error.declaration)


def _stating(request: Request, name: str, value: Any) -> Request:
    return replace(request, arguments={**request.arguments, name: value})


def _of_the_whole(subject: Subject, adapter: Adapter, around: Surroundings | None) -> list[Understood]:
    """Return what is understood of what is returned, and of what surrounds the attention."""
    found = []
    if subject.caller.weights_form:
        returned = f"the weights are returned as [{', '.join(subject.caller.weights_form)}]"
        found.append(Understood("output", returned, "fitted"))
    if around is not None:
        known: Known = "declared" if adapter.contract.surroundings or adapter.contract.layer else "named"
        stated = {"layer": subject.layer} if subject.layer else {"surroundings": "left-out"}
        text = f"{around.text}; the layer computes {subject.layer}" if subject.layer else around.text
        found.append(Understood("surroundings", text, known, stated))
    if isinstance(adapter, OneAttention):
        found.append(adapter.about)
    return found


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
    if inspect.isclass(target) and issubclass(target, GivenWeights):  # a function, of which no constructor is anybody's own
        return None
    if adapter.sizes is not None or isinstance(adapter, FunctionAdapter) or adapter.contract.indivisible == "any":
        return None
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    unrelated = has_own_head_width(target, adapter) or (constructor is not None and constructor.any_width)
    return None if unrelated else adapter.build
