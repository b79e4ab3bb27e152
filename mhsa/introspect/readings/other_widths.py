"""A subject that is understood with one width for everything, and judged with others where that is declared.

A constructor that takes a width of inputs next to that of the module is judged with both in some of the cases, where it can be
called so.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from mhsa.introspect.readings.fit import Fit
from mhsa.records.understood import Understood
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.input_widths import MORE, inputs_named, one_width_of_all_inputs
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject, Switch


def with_other_widths(subject: Subject) -> Subject:
    """Return the subject as it is judged under the contract widths = "apart".

    A function is given values with one feature more than its queries and keys; a module is built, and called, with inputs of
    other widths than d_model.
    """
    if subject.contract.widths != "apart":
        return subject
    wider: Any = copy.copy(subject.adapter)
    if isinstance(wider, FunctionAdapter):
        wider.more_of_values, said = 1, Understood("call", "values have one feature more than queries and keys", "declared")
    elif isinstance(wider, ModuleAdapter) and wider.constructor is not None:
        wider.other_widths = inputs_named(wider.constructor.target, wider.inputs)
        names = ", ".join(f"{n}=d_model + {MORE}" for of_input in wider.other_widths.values() for n in of_input)
        said = Understood("constructor", f"given other widths for its inputs: {names}", "declared", {"widths": "apart"})
    else:
        return subject
    caller = replace(subject.caller, adapter=wider)
    return replace(subject, adapter=wider, caller=caller, understood=(*subject.understood, said))


def read_input_widths(subject: Subject) -> tuple[Switch, Understood] | None:
    """Return the position in which inputs are wider than the module; None where none is named, or it cannot be called so.

    What can be built and called so must be right.
    """
    adapter = subject.adapter
    constructor = adapter.constructor if type(adapter) is ModuleAdapter else None
    if constructor is None or adapter.sizes is not None or subject.contract.formula.words:
        return None
    if subject.contract.widths is not None or subject.contract.layout not in (None, "BTD", "TBD"):
        return None
    for inputs in (
        inputs_named(constructor.target, adapter.inputs),
        *one_width_of_all_inputs(constructor.target, adapter.inputs),
    ):
        wider: Any = copy.copy(adapter)
        wider.other_widths = inputs
        names = dict.fromkeys(n for of_input in inputs.values() for n in of_input)
        words = " and ".join(f"{n}=d_model + {MORE}" for n in names)
        if inputs and (position := as_position(subject, wider, words)) is not None:
            return position
    return None


def as_position(subject: Subject, adapter: ModuleAdapter, words: str) -> tuple[Switch, Understood] | None:
    """Return an adapter as a position in which a subject is judged, too; None where it cannot be built and called so."""
    switch = Switch(words, adapter, subject.contract)
    try:
        if not Fit().is_taken_without_mask(switch.of(subject)):
            return None
    except Exception:  # it cannot be built so, or its maps do not fit each other
        return None
    return switch, Understood("constructor", f"{words}: is judged so in some of the cases", "fitted")
