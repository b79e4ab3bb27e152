"""A configuration by its annotation: a dataclass, or any class that is built from named values, such as transformers' own."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

_PLAIN = {"builtins", "typing", "types", "collections", "collections.abc", "argparse", "omegaconf", "torch"}


def config_class(target: Any, parameter: inspect.Parameter) -> type[Any] | None:
    """Return the class that a parameter is annotated with, if it is one that can be filled by names."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = _resolved(target, parameter)
    for part in (annotation, *typing.get_args(annotation)):  # Optional[Config]
        if not isinstance(part, type) or part is parameter.empty or part.__module__.partition(".")[0] in _PLAIN:
            continue
        if not issubclass(part, (nn.Module, Tensor)):
            return part
    return None


def _resolved(target: Any, parameter: inspect.Parameter) -> Any:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function).get(parameter.name)
    except Exception:  # another annotation names what is imported for type checkers alone
        place = vars(sys.modules.get(getattr(target, "__module__", ""), typing))
        return place.get(str(parameter.annotation).strip("'\""))


def is_record(kind: type[Any]) -> bool:
    """Return whether a class is a dataclass or a named tuple: all that it holds are its parameters."""
    return dataclasses.is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


def fields_of(kind: type[Any]) -> dict[str, inspect.Parameter]:
    """Return what a configuration class can be given by name: its parameters, and the plain attributes of the class."""
    taken = {n: p for n, p in inspect.signature(kind).parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if is_record(kind):
        return taken
    for name, value in vars(kind).items():
        if not name.startswith("_") and isinstance(value, (int, float, str)) and name not in taken:
            taken[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value)
    return taken


def made(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Return an object of the class with these values; what its constructor does not take is set as an attribute."""
    taken = inspect.signature(kind).parameters
    everything = any(p.kind == p.VAR_KEYWORD for p in taken.values())
    config = kind(**{n: v for n, v in values.items() if everything or n in taken})
    for name, value in values.items() if not isinstance(config, tuple) else ():
        if not everything and name not in taken:
            setattr(config, name, value)
    return config
