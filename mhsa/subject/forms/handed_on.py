"""Where a function hands an argument on: the function of the file, the method or the part that is called with it."""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from mhsa.source.written_code import nodes_of


def handed_on(function: Callable[..., Any], call: ast.Call, given: ast.expr) -> tuple[Callable[..., Any], str] | None:
    """Return what a call in a function calls, and the name of the argument that takes ``given``; None where it is not seen."""
    callee = _called(function, call)
    if callee is None:
        return None
    try:
        parameters = list(inspect.signature(callee).parameters)
    except (TypeError, ValueError):
        return None
    name = next((k.arg for k in call.keywords if k.value is given), None)
    place = call.args.index(given) if given in call.args else None
    if place is not None and not any(isinstance(x, ast.Starred) for x in call.args[:place]):
        own = 1 if parameters[:1] == ["self"] else 0
        name = parameters[place + own] if place + own < len(parameters) else None
    return (callee, name) if name is not None and name in parameters else None


def takes_all_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what ``forward(self, *args, **kwargs)`` hands all its arguments on to, untouched; else the function itself."""
    with contextlib.suppress(OSError, TypeError, ValueError, SyntaxError):
        listed = list(inspect.signature(function).parameters.values())[1:]
        if [p.kind for p in listed] != [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]:
            return function
        nodes = nodes_of(function)
        uses = [sum(isinstance(n, ast.Name) and n.id == p.name for n in nodes) for p in listed]
        for call in (n for n in nodes if isinstance(n, ast.Call)):
            stars = [x.value for x in call.args if isinstance(x, ast.Starred)] + [
                k.value for k in call.keywords if k.arg is None
            ]
            names = [x.id for x in stars if isinstance(x, ast.Name)]
            if names == [p.name for p in listed] and len(call.args) + len(call.keywords) == 2 and uses == [1, 1]:
                return _called(function, call) or function
    return function


def given_in(call: ast.Call) -> list[ast.expr]:
    """Return what a call is given."""
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def name_of_call(call: ast.Call) -> str:
    """Return the last name of what is called: ``view`` of ``x.view(...)``, ``f`` of ``f(x)``; empty where it has none."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def _called(function: Callable[..., Any], call: ast.Call) -> Callable[..., Any] | None:
    """Return what is called: a function of the file, a method of the same class, or the forward of a part of it."""
    place: dict[str, Any] = getattr(function, "__globals__", {})
    if isinstance(call.func, ast.Name):
        found = place.get(call.func.id)
        return found if inspect.isfunction(found) else None
    if not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "self"):
        return None
    owner = place.get(function.__qualname__.partition(".")[0])
    method = getattr(owner, call.func.attr, None) if inspect.isclass(owner) else None
    if method is None and inspect.isclass(owner):
        part = _part(owner, call.func.attr, place)
        method = part.forward if part is not None else None
    return method if inspect.isfunction(method) else None


def _part(owner: Any, name: str, place: dict[str, Any]) -> type[nn.Module] | None:
    """Return the class of the file that a class keeps an object of: ``self.core = Core()``."""
    with contextlib.suppress(OSError, TypeError, SyntaxError):
        for node in (node for node in nodes_of(owner) if isinstance(node, ast.Assign)):
            kept = any(isinstance(t, ast.Attribute) and t.attr == name for t in node.targets)
            if kept and isinstance(node.value, ast.Call):
                kind = _named(node.value.func, place)
                return kind if inspect.isclass(kind) and issubclass(kind, nn.Module) else None
    return None


def _named(name: ast.expr, place: dict[str, Any]) -> Any:
    """Return what a name or a dotted one is in a file: ``Core``, ``nn.MultiheadAttention``."""
    if isinstance(name, ast.Attribute):
        return getattr(_named(name.value, place), name.attr, None)
    return place.get(name.id) if isinstance(name, ast.Name) else None
