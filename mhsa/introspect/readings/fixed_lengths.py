"""Reading of a module that takes the lengths alone that its constructor is given: it is built for those of each call."""

from __future__ import annotations

import copy
from collections.abc import Callable

from mhsa.introspect.calls.call_returns import returns_with_some_mask
from mhsa.records.errors import Question
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter, in_eval_mode
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.construction.argument_roles import role_of
from mhsa.subject.generic_inputs import first_sizes, generic_tensors
from mhsa.subject.subject import Subject


def read_fixed_lengths(adapter: Adapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return what ``read`` gives, where every call raises with lengths that are built for each call, if calls return then.

    Raises:
        SubjectError: what ``read`` raises.
    """
    try:
        return read(adapter)
    except Question as question:
        if question.declaration or (fixed := _of_fixed_lengths(adapter)) is None:
            raise
    return read(fixed)


def _of_fixed_lengths(adapter: Adapter) -> ModuleAdapter | None:
    """Return the adapter that builds a module for the lengths of each call; None where no argument is one, or calls raise."""
    if not isinstance(adapter, ModuleAdapter) or adapter.constructor is None or not adapter.constructor.lengths:
        return None
    fixed = copy.copy(adapter)
    fixed.of_fixed_lengths = True
    if _is_taken(adapter) or not _is_taken(fixed):
        return None
    names = [f"{name} ({_of_what(name)})" for name in adapter.constructor.lengths]
    said = Understood("constructor", f"built for the lengths of each call: {', '.join(names)}", "fitted")
    fixed.understood = (*adapter.understood, said)
    return fixed


def _of_what(name: str) -> str:
    role = role_of(name.rpartition(".")[2])
    return "queries" if role == "query length" else "keys"


def _is_taken(adapter: ModuleAdapter) -> bool:
    """Whether a call returns with other lengths of queries and keys, or the same, without a mask or with one of zeros."""
    sizes = first_sizes(adapter)
    try:
        module = in_eval_mode(adapter.build(sizes.head, sizes.d_model).double())
    except Exception:
        return False
    query, key, value = generic_tensors(adapter)
    caller = Caller(adapter, adapter.contract)
    return any(returns_with_some_mask(caller, module, tokens, key, value, of_keys=True) for tokens in (query, key))
