"""A subject that is understood with one width for everything, and judged with others where that is declared."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from mhsa.records.understood import Understood
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.input_widths import MORE, inputs_named
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject


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
