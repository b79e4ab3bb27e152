"""Arguments that a function of heads cannot be called without, though nothing declares them: the usual scale, or None."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from mhsa.records.contract import Contract
from mhsa.records.names import is_called
from mhsa.source.written_code import source_of
from mhsa.subject.construction.declared_options import SCALE
from mhsa.subject.forms.needless_arguments import may_be_none


def required_values(
    function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter], contract: Contract, d_k: int, bias: str
) -> dict[str, Any]:
    """Return what required arguments among ``parameters`` are given, for heads of ``d_k`` features.

    A scale is the declared factor of the scores, or what they are divided by where the source says so. What may be None by its
    annotation is None, but for a ``bias`` that is declared.
    """
    found: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter.default is not parameter.empty:
            continue
        if is_called(name, SCALE) and not may_be_none(parameter.annotation):
            factor = contract.formula.factor(d_k)
            found[name] = 1 / factor if _divides_by(function, name) else factor
        elif may_be_none(parameter.annotation) and not (name == bias and contract.bias == "given"):
            found[name] = None
    return found


def _divides_by(function: Callable[..., Any], name: str) -> bool:
    """Whether the source of a function divides by an argument."""
    try:
        source = source_of(inspect.unwrap(function))
    except (OSError, TypeError):  # it has none
        return False
    return re.search(rf"/=?\s*\(?\s*{name}\b|\b(?:true_)?div(?:ide)?_?\((?:[^()]*,)?\s*{name}\b", source) is not None
