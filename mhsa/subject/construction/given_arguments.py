"""What the user states for a constructor: arguments by name, and attributes of a configuration as ``config.window``."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Mapping
from typing import Any

from mhsa.records.errors import SubjectError
from mhsa.records.names import HEAD, WIDTH, pick


def split(more: Mapping[str, Any], configs: Collection[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the arguments proper, and by the name of each configuration the attributes that are stated of it."""
    plain: dict[str, Any] = {}
    inside: dict[str, dict[str, Any]] = {name: {} for name in configs}
    for name, value in more.items():
        head, dot, rest = name.partition(".")
        if dot and head in inside:
            inside[head][rest] = value
        elif name in inside and isinstance(value, Mapping):
            inside[name].update(value)
        else:
            plain[name] = value
    return plain, inside


def require_taken(name: str, plain: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Raise SubjectError if an argument is stated that the constructor does not take."""
    if any(p.kind == p.VAR_KEYWORD for p in parameters.values()) and not any("." in argument for argument in plain):
        return
    for argument in plain:
        if argument in parameters:
            continue
        near = difflib.get_close_matches(argument, parameters, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; it takes {', '.join(parameters) or 'none'}"
        if "." in argument and argument.partition(".")[0] in parameters:
            hint = f"; {argument.partition('.')[0]} is not taken for a configuration"
        raise SubjectError(f"{name} takes no argument {argument!r}{hint}", unused=f"arguments.{argument}")


def stated_sizes(name: str, given: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (head, d_model) where the stated values fix them, so that the module has one size only."""
    head, width = pick(given, HEAD), pick(given, WIDTH)
    if head is None and width is None:
        return None
    heads, features = given.get(head or ""), given.get(width or "")
    if type(heads) is not int or type(features) is not int or heads < 1 or features < 1 or features % heads:
        raise SubjectError(
            f"{name}: the arguments fix head={heads}, d_model={features}; must be both or neither, whole, and divisible"
        )
    return heads, features
