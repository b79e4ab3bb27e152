"""A module without parameters that is built for heads of one width: a function that builds one for each width."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from mhsa.records.contract import PLAIN
from mhsa.records.errors import SubjectError
from mhsa.reference.core_slot import slot_names
from mhsa.subject.construction.constructor_call import ConstructorCall

_TEMPERATURE = {"temperature", "temper"}  # what scores are divided by: sqrt(d_k)
_KNOWN = {"head width", "dropout", "length", "layer", "on", "off"}


def core_of_width(target: type[nn.Module], name: str) -> Callable[..., Any] | None:
    """Return the function, or None where the class has parameters, needs something else, or does not attend on heads."""
    try:
        call = ConstructorCall(target, name, None, None, PLAIN)
    except (SubjectError, TypeError, ValueError):
        return None
    temperatures = [n for n in call.read.unknown if n.lower() in _TEMPERATURE]
    others = [n for n in call.unknown() if n not in temperatures]
    if others or not set(call.read.roles.values()) <= _KNOWN:
        return None

    @functools.lru_cache(maxsize=64)
    def built(d_k: int) -> nn.Module:
        given = call.arguments(1, d_k, 0.0) | dict.fromkeys(temperatures, d_k**0.5)
        return target(**given).eval()

    try:
        module = built(5)
    except Exception:  # it needs more than that
        return None
    if not isinstance(module, nn.Module) or any(True for _ in module.parameters()):
        return None
    parameters = dict(inspect.signature(module.forward).parameters)
    names = slot_names(parameters)[0]
    if names is None:
        return None
    first = names[0]

    @functools.wraps(module.forward)
    def core(**named: Any) -> Any:
        query: Tensor = named[first]
        return built(query.size(-1))(**named)

    return core
