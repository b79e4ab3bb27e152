"""From what the user typed to a subject: which adapter fits, and what has to be found out before it can be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mhsa.introspect.choose_adapter import requested_adapter, requested_module
from mhsa.introspect.choose_subject import Choice, layers_of
from mhsa.introspect.limited_lengths import with_more_positions
from mhsa.introspect.load import chosen
from mhsa.introspect.readings.constructors import read_constructor
from mhsa.introspect.readings.fixed_lengths import read_fixed_lengths
from mhsa.introspect.readings.formula.bias_tables import read_bias_tables
from mhsa.introspect.readings.formula.named_bias import with_named_bias
from mhsa.introspect.readings.formula.qk_norm import seems_normed
from mhsa.introspect.readings.formula.rotary_forms import read_tables
from mhsa.introspect.readings.formula.undeclared_rotary import seems_rotary
from mhsa.introspect.readings.formula.undeclared_turns import understand_turned, understand_with_epsilon
from mhsa.introspect.readings.formula.window_tables import read_windows
from mhsa.introspect.readings.options.call_options import read_call_options
from mhsa.introspect.readings.options.default_switches import read_default_switches
from mhsa.introspect.readings.options.two_streams import read_two_streams
from mhsa.introspect.readings.second_argument import read_second_argument
from mhsa.introspect.stages.in_turn import in_turn
from mhsa.introspect.stages.layers_of_file import with_layers_of_file
from mhsa.introspect.stages.learned_scale import with_learned_scale
from mhsa.introspect.stages.parts_alone import only_part, or_its_parts
from mhsa.introspect.stages.required_window import with_required_window
from mhsa.introspect.stages.understand_adapter import understand_adapter
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.errors import SubjectError, describe
from mhsa.records.request import Request
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.subject import Subject

# In this order: with each form of the tables each role of a second argument is tried, with each of these each direction, ...
FORMS = (
    with_learned_scale,
    read_tables,
    read_second_argument,
    read_two_streams,
    read_call_options,
    read_windows,
    read_fixed_lengths,
    read_bias_tables,
)


def understand(
    given: str | Request, dtypes: Sequence[str] = DEFAULT_DTYPES, device: str = "cpu", target: Any = None
) -> Subject:
    """Load a subject, given by its spec or a whole request, and find out how to build, call and read it.

    ``target`` is the object itself, where it is there already and need not be loaded.

    Raises:
        SubjectError: it cannot be judged, with the reason.
    """
    request = Request.of(given, dtypes=tuple(dtypes), device=device) if isinstance(given, str) else given
    try:
        choice = chosen(request) if target is None else Choice(target).of_modules
        if choice.attention:
            request = replace(request, contract={**request.contract, "attention": choice.attention})
        try:
            subject = _with_bias(choice.target, replace(request, dtypes=request.dtypes or DEFAULT_DTYPES))
        except SubjectError as error:
            if (named := or_its_parts(error, choice.target, request)) is error:
                raise
            if (part := only_part(named, choice.target, request)) is None:
                raise named from error
            choice = choice.of_part(part)
            subject = _with_bias(part, replace(request, dtypes=request.dtypes or DEFAULT_DTYPES))
        kinds, around = (choice.target,), choice.around
        if request.layers_of:
            kinds, around = layers_of(choice.target, request.layers_of)
        subject = with_layers_of_file(subject, kinds, around, request)
        callers = (f"function {name}, which calls it" for name in choice.callers)
        return replace(
            subject, understood=(*choice.understood, *subject.understood), not_judged=(*subject.not_judged, *callers)
        )
    except (SubjectError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise SubjectError(f"{request.label} cannot be understood: {describe(error)}") from error


def _with_bias(target: Any, request: Request) -> Subject:
    """Understand an object, with the bias of the scores that an argument is by its name."""
    under = replace(request, contract={**request.contract, "bias": "given"})
    return with_named_bias(_understand(target, request), lambda: _understand(target, under), request.not_judged)


def _understand(target: Any, request: Request) -> Subject:
    def of_window(target: Any, request: Request) -> Subject:
        return with_required_window(target, request, _in_forms)

    return with_more_positions(target, request, of_window)


def _in_forms(target: Any, request: Request) -> Subject:
    """Understand an object: its constructor, what it does to queries and keys, the forms of its call, and then all the rest."""
    adapter = requested_adapter(target, request)
    read = in_turn(FORMS, lambda adapter: understand_adapter(adapter, target, request))
    rotated = seems_rotary(adapter) or seems_normed(adapter)
    understand_formula = understand_turned if rotated else understand_with_epsilon

    def with_head(adapter: Adapter) -> Subject:
        return read_constructor(
            adapter,
            lambda adapter: understand_formula(adapter, target, read),
            lambda parameter: requested_module(target, request, head=parameter),
        )

    def turned(switch: str, on: bool) -> Adapter:
        return requested_module(target, replace(request, arguments={**request.arguments, switch: on}))

    return read_default_switches(adapter, with_head, turned)
