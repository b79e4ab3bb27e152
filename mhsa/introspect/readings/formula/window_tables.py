"""Reading of a module for windows of h x w tokens, whose offsets have learned biases: it is built for that of each call."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mhsa.introspect.calls.call_returns import returns_with_some_mask
from mhsa.introspect.projections.bias_tables import named_table
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.records.errors import Question, SubjectError
from mhsa.records.understood import Understood
from mhsa.subject import check
from mhsa.subject.adapters.adapter import Adapter, in_eval_mode
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.window_tables import tables_of
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import first_sizes, generic_case, generic_tensors, is_exact
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_NAMES = re.compile(r"((attn|attention)_?)?win(dow)?(_?(size|shape|hw))?|ws", re.IGNORECASE)
_TOKENS = (6, 8, 9)  # windows of 3 x 2, 2 x 4 and 3 x 3
_DECLARATION = {"bias": {"rule": "swin"}}


def read_windows(adapter: Adapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return what ``read`` gives, of a module that is built for the window of each call where it takes no other.

    Raises:
        Question: it has a table of biases of the offsets in a window, and nothing declares it.
        SubjectError: what ``read`` raises.
    """
    windowed = _windowed(adapter)
    if windowed is None:
        return read(adapter)
    if adapter.contract.bias is not None and adapter.contract.bias != "given":
        return read(windowed)
    asked = copy.copy(windowed)
    asked.contract = replace(windowed.contract, bias=BiasTable(rule="swin"))
    asked.declared = asked.contract
    text = f"parameter {_table(windowed)} changes the result: a learned bias of the offset, down and across, "
    text += f"of two tokens in a window that {windowed.window} is height and width of"
    try:
        subject = read(asked)
    except Question as question:  # of something else besides
        raise Question(f"{text}. And {question}", {**_DECLARATION, **question.declaration}) from None
    except SubjectError as error:
        raise Question(f"{text}? Under that, {error}", _DECLARATION) from None
    exact = "It is exactly right if so" if _is_exact(subject) else "It is not exactly right if so, either"
    raise Question(f"{text}? {exact}", _DECLARATION)


def _windowed(adapter: Adapter) -> ModuleAdapter | None:
    """Return the adapter that builds a module for the window of each call; None where none is needed, or calls raise."""
    if (
        not isinstance(adapter, ModuleAdapter)
        or adapter.constructor is None
        or adapter.inputs != "x"
        or adapter.sizes is not None
    ):
        return None
    names = [name for name in inspect.signature(adapter.constructor.target).parameters if _NAMES.fullmatch(name)]
    if len(names) != 1 or names[0] in adapter.options:
        return None
    windowed = copy.copy(adapter)
    windowed.of_fixed_lengths, windowed.window = True, names[0]
    if not _table(windowed) or _is_taken(adapter) or not _is_taken(windowed):
        return None
    said = Understood("constructor", f"built for the window of each call: {names[0]} (height, width)", "fitted")
    alone = set(adapter.constructor.guessed) == {names[0]}  # that it was given something else is no longer so
    before = [u for u in adapter.understood if not (alone and u.part == said.part and f"{names[0]}=" in u.text)]
    windowed.understood = (*before, said)
    return windowed


def _table(windowed: ModuleAdapter) -> str:
    """Return the path of the table; empty where none is called so, or has a row for each offset in a window."""
    module = _built(windowed)
    found = {} if module is None else tables_of(module)
    return named_table({n: p for n, p in module.named_parameters() if n in found}, first_sizes(windowed).head) if found else ""


def _built(adapter: ModuleAdapter) -> Any:
    sizes = first_sizes(adapter)
    try:
        return in_eval_mode(adapter.build(sizes.head, sizes.d_model).double())
    except Exception:  # what a constructor raises where it is given something else than it takes
        return None


def _is_taken(adapter: ModuleAdapter) -> bool:
    """Whether a call returns, without a mask or with one of zeros."""
    module = _built(adapter)
    query, _, _ = generic_tensors(adapter)
    return module is not None and returns_with_some_mask(Caller(adapter, adapter.contract), module, query, query, query)


def _is_exact(subject: Subject) -> bool:
    """Whether the output is that of the formula, in windows of several shapes."""
    for tokens in _TOKENS:
        case = replace(generic_case(subject, "none"), query_length=tokens, key_length=tokens)
        try:
            answer = Trial(subject, case)()
        except (check.Violation, check.Inapplicable):
            return False
        if not is_exact(answer.output, answer.expected.output) or not np.isfinite(answer.output).all():
            return False
    return True
