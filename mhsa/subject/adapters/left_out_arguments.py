"""A function of which arguments are left out, because no call with them returns: its dropout, a mask that is no tensor."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any

from torch import Tensor

from mhsa.records.names import DROPOUT, pick
from mhsa.records.understood import Understood
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.construction.argument_use import use_of


def without_dropout(adapter: FunctionAdapter) -> FunctionAdapter | None:
    """Return the adapter that leaves the function's dropout at its default of None; None where there is no such parameter.

    It may need what is there in training alone.
    """
    parameters = inspect.signature(adapter.function).parameters if adapter.takes_dropout else {}
    name = pick(parameters, DROPOUT)
    if name is None or parameters[name].default is not None:
        return None
    other = _leaving_out(adapter, name, {}, f"{name} is left out: calls with it raise")
    other.takes_dropout = False
    other.contract = adapter.contract  # what is given is read anew
    return other


def without_mask(adapter: FunctionAdapter) -> FunctionAdapter | None:
    """Return the adapter that gives None for a mask which is no tensor; None where it may be one.

    No tensor has the attributes that the source reads of it: ``attn_mask.blocked``.
    """
    name = adapter.mask_name if adapter.takes_mask else ""
    read = use_of(inspect.unwrap(adapter.function), name).read if name else ()
    own = [each for each in read if not hasattr(Tensor, each)]
    if not own:
        return None
    words = f"{name} is None: its {own[0]} is read, which no tensor has"
    other = _leaving_out(adapter, name, {name: None}, words)
    other.takes_mask = False
    other.contract = adapter.contract
    return other


def _leaving_out(adapter: FunctionAdapter, name: str, given: dict[str, Any], words: str) -> FunctionAdapter:
    """Return the adapter of the function without a parameter, which is ``given`` in every call or left at its default."""
    function = adapter.function

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs, **given)

    shown = inspect.signature(function)
    kept = [p for n, p in shown.parameters.items() if n != name]
    called.__signature__ = shown.replace(parameters=kept)  # type: ignore[attr-defined]
    other = copy.copy(adapter)
    other.function = called
    other.left_out = (*adapter.left_out, name)
    other.said = (*adapter.said, Understood("call", words, "fitted"))
    return other
