"""A function whose dropout is left out, because no call with it returns: it may need what is there in training alone."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any

from mhsa.records.names import DROPOUT, pick
from mhsa.records.understood import Understood
from mhsa.subject.adapters.function_adapter import FunctionAdapter


def without_dropout(adapter: FunctionAdapter) -> FunctionAdapter | None:
    """Return the adapter that leaves the function's dropout at its default of None; None where there is no such parameter."""
    function = adapter.function
    parameters = inspect.signature(function).parameters if adapter.takes_dropout else {}
    name = pick(parameters, DROPOUT)
    if name is None or parameters[name].default is not None:
        return None

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    shown = inspect.signature(function)
    called.__signature__ = shown.replace(parameters=[p for n, p in parameters.items() if n != name])  # type: ignore[attr-defined]
    other = copy.copy(adapter)
    other.function, other.takes_dropout = called, False
    other.left_out = (*adapter.left_out, name)
    other.said = (*adapter.said, Understood("call", f"{name} is left out: calls with it raise", "fitted"))
    other.contract = adapter.contract  # what is given is read anew
    return other
