"""Reading of a module with a learned table of biases that nothing declares: the rule that fits exactly is asked about."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mhsa.introspect.calls.call_returns import returns_with_some_mask
from mhsa.introspect.limited_lengths import TooFewPositions
from mhsa.introspect.projections.bias_tables import MAY_BE_TABLE, UndeclaredTable
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.bias_table import directions
from mhsa.records.errors import ForeignParameter, Question, SubjectError
from mhsa.records.names import DISTANCES, is_called
from mhsa.records.understood import Understood
from mhsa.subject import check
from mhsa.subject.adapters.adapter import Adapter, in_eval_mode
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.caller import Caller
from mhsa.subject.construction.argument_roles import LENGTH
from mhsa.subject.generic_inputs import first_sizes, generic_case, generic_tensors, is_exact
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

Read = Callable[[Adapter], Subject]
_FEW = 4  # distances that have rows of their own, where the constructor is told how many: generic inputs have more
_LONGEST = 130  # tokens of a call here: with more of them a reading would be slow
_BEYOND = 3  # tokens beyond the largest distance that has a row of its own
_ALSO = 3  # further features, a causal mask or the scale, that are asked about with the table


def read_bias_tables(adapter: Adapter, read: Read) -> Subject:
    """Return what ``read`` gives; where a table that nothing declares changes the result, ask with the rule that fits.

    Raises:
        SubjectError: what ``read`` raises.
        Question: with the declaration of the table under which it is exactly right, or else of the usual one.
    """
    bias = adapter.contract.formula.bias
    if isinstance(bias, BiasTable):
        return read(_clipping(adapter) if bias.rule == "clipped" else adapter)
    try:
        return read(adapter)
    except (ForeignParameter, UndeclaredTable) as error:
        if bias is not None:
            raise
        raise _question(adapter, error, read) from None


def _question(adapter: Adapter, error: ForeignParameter | UndeclaredTable, read: Read) -> SubjectError:
    """Return the question about the table; the error itself where no rule fits a parameter of another name."""
    usual: dict[str, Any] | None = None
    for declared in _declarations(adapter, error.path):
        fields, exact = _read_under(adapter, declared, read)
        if exact:
            return _asking(error.path, fields, "It is exactly right if so")
        usual = usual or (fields if MAY_BE_TABLE.search(error.path) and declared["direction"] == "both" else None)
    if usual is None:
        return error
    return _asking(error.path, usual, "It is not exactly right if so, either")


def _asking(path: str, fields: Mapping[str, Any], claim: str) -> Question:
    rule = "a learned bias of the distance, of which the further ones share a row, that is added to the scores"
    return Question(f"parameter {path} changes the result: {rule}? {claim}", fields)


def _declarations(adapter: Adapter, path: str) -> Iterator[dict[str, Any]]:
    """Yield what the shape of the parameter allows, the commonest first."""
    sizes = first_sizes(adapter)
    shape = adapter.build(sizes.head, sizes.d_model).get_parameter(path).shape
    if len(shape) != 2 or sizes.head not in shape:
        return
    rows = shape[0] if shape[1] == sizes.head else shape[1]
    if rows % 2:
        yield {"rule": "clipped", "direction": "both"}
        yield {"rule": "clipped", "direction": "both", "order": "query - key"}
    yield {"rule": "clipped", "direction": "past"}
    yield {"rule": "clipped", "direction": "past", "order": "key - query"}


def _read_under(adapter: Adapter, bias: dict[str, Any], read: Read) -> tuple[dict[str, Any], bool]:
    """Return the declaration, with what else is asked about under it, and whether the module is exactly right so.

    Raises:
        TooFewPositions: it takes no more tokens than its table has.
    """
    fields: dict[str, Any] = {"bias": bias}
    for _ in range(_ALSO):
        asked = copy.copy(_clipping(adapter))
        asked.contract = replace(adapter.contract, **fields)
        if isinstance(asked, ModuleAdapter):
            asked.declared = asked.contract
        try:
            return fields, _is_exact(read(asked))
        except TooFewPositions:
            raise
        except Question as question:
            if not set(question.declaration) - set(fields):
                return fields, False
            fields = {**question.declaration, **fields}
        except SubjectError:
            return fields, False
    return fields, False


def _clipping(adapter: Adapter) -> Adapter:
    """Return the adapter that gives a constructor few distances, where it was given more than cases have tokens.

    So it is not where calls of more tokens raise then.
    """
    if not isinstance(adapter, ModuleAdapter) or adapter.constructor is None or adapter.sizes is not None:
        return adapter
    sizes = first_sizes(adapter)
    given = adapter.construction(sizes.head, sizes.d_model) or {}
    names = [name for name, value in given.items() if is_called(name, DISTANCES) and value == LENGTH]
    if not names:
        return adapter
    clipping = copy.copy(adapter)
    clipping.options = {**adapter.options, **dict.fromkeys(names, _FEW)}
    query, key, value = generic_tensors(clipping)
    caller, module = Caller(clipping, clipping.contract), in_eval_mode(clipping.build(sizes.head, sizes.d_model).double())
    if not returns_with_some_mask(caller, module, query, key, value):
        return adapter
    text = ", ".join(f"{name}={_FEW}, so that some distances of cases share a row" for name in names)
    said = Understood("constructor", text, "named")
    others = (replace(u, text=_without(u.text, names)) for u in adapter.understood)
    clipping.understood = (*(u for u in others if u.text), said)
    return clipping


def _without(text: str, names: list[str]) -> str:
    """Return what is said of a constructor without these arguments; nothing where that is all."""
    start, colon, listed = text.partition(": ")
    for name in names:
        listed = re.sub(rf"(^|, ){name} \([^)]*\)", "", listed).removeprefix(", ")
    return f"{start}{colon}{listed}" if listed or not colon else ""


def _is_exact(subject: Subject) -> bool:
    """Whether the output is the oracle's, in calls of a few tokens and of more than the table has distances."""
    case = generic_case(subject)
    table = subject.contract.formula.bias
    rows = Trial(subject, case, counted=False).projections.table
    assert rows is not None
    assert isinstance(table, BiasTable)
    farthest = len(rows) // 2 if directions(table, subject.contract.formula.causal) == "both" else len(rows) - 1
    far = min(farthest + _BEYOND, _LONGEST)
    lengths = {(case.query_length, case.key_length), (far, far)}
    if not is_square(subject.adapter) and subject.ties[0] != "all":
        lengths |= {(far, far + 2), (3, far)}
    for queries, keys in lengths:
        try:
            answer = Trial(subject, replace(case, query_length=queries, key_length=keys), counted=False)()
        except (check.Violation, check.Inapplicable):
            return False
        if not is_exact(answer.output, answer.expected.output) or not np.isfinite(answer.output).all():
            return False
    return True
