"""Arguments of a call that must be given and are switches: the source uses them as conditions, or hands them on to such."""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from mhsa.source.written_code import tree_of

_DEPTH = 4  # functions that hand an argument on to each other; more of them are no usual code


def is_switch(function: Callable[..., Any], name: str, depth: int = _DEPTH) -> bool:
    """Whether a function only tests whether its argument ``name`` is true, itself or where it hands it on.

    What is compared with None is no such switch: None is one of its values.
    """
    function = inspect.unwrap(function)
    try:
        tree = tree_of(function)
    except (OSError, TypeError, SyntaxError):
        return False
    nodes = list(ast.walk(tree))
    tests = {id(test) for node in nodes for test in _tests(node)}
    uses = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
    others = [node for node in uses if id(node) not in tests]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    handed = [(node, call) for node in others for call in calls if node in _given(call)]
    if not uses or len(handed) != len(others) or any(not isinstance(node.ctx, ast.Load) for node in uses):
        return False
    return all(depth > 0 and _is_switch_of(function, call, node, depth - 1) for node, call in handed)


def _is_switch_of(function: Callable[..., Any], call: ast.Call, given: ast.Name, depth: int) -> bool:
    """Whether what a call gives an argument to takes it for a switch."""
    callee = _called(function, call)
    if callee is None:
        return False
    try:
        parameters = list(inspect.signature(callee).parameters)
    except (TypeError, ValueError):
        return False
    name = next((k.arg for k in call.keywords if k.value is given), None)
    place = call.args.index(given) if given in call.args else None
    if place is not None and not any(isinstance(x, ast.Starred) for x in call.args[:place]):
        own = 1 if parameters[:1] == ["self"] else 0
        name = parameters[place + own] if place + own < len(parameters) else None
    return name is not None and name in parameters and is_switch(callee, name, depth)


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
        for node in (node for node in ast.walk(tree_of(owner)) if isinstance(node, ast.Assign)):
            kept = any(isinstance(t, ast.Attribute) and t.attr == name for t in node.targets)
            if kept and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name):
                kind = place.get(node.value.func.id)
                return kind if inspect.isclass(kind) and issubclass(kind, nn.Module) else None
    return None


def _given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what is tested for being true, by itself or compared with True and False."""
    if isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Assert)):
        yield node.test
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Compare) and all(isinstance(x, ast.Constant) and type(x.value) is bool for x in node.comparators):
        yield node.left
