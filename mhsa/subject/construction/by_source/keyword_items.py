"""Arguments that a constructor collects by ``**kwargs`` and reads by their names: kwargs["seq_len"], kwargs.get("p", 0)."""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

from mhsa.source.written_code import nodes_of


def items_of_keywords(target: Any) -> dict[str, inspect.Parameter]:
    """Return what a class or function reads of its ``**kwargs``, as parameters; one with a default has it in the source."""
    function = target.__init__ if inspect.isclass(target) else target
    found: dict[str, inspect.Parameter] = {}
    with contextlib.suppress(OSError, TypeError, ValueError, SyntaxError):
        parameters = inspect.signature(function).parameters
        collecting = [n for n, p in parameters.items() if p.kind == p.VAR_KEYWORD]
        for node in nodes_of(function) if collecting else ():
            for name, default in _items(node, collecting[0]):
                if name.isidentifier() and name not in parameters and name not in found:
                    found[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
    return found


def _items(node: ast.AST, collected: str) -> Iterator[tuple[str, Any]]:
    """Yield the name that a node reads, and its default."""
    if isinstance(node, ast.Subscript) and _is(node.value, collected) and isinstance(node.ctx, ast.Load):
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            yield node.slice.value, inspect.Parameter.empty
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is(node.func.value, collected):
        constants = [x.value for x in node.args if isinstance(x, ast.Constant)]
        if node.func.attr in ("get", "pop") and len(constants) == len(node.args) and isinstance(constants[0], str):
            required = len(constants) == 1 and node.func.attr == "pop"
            yield constants[0], inspect.Parameter.empty if required else (*constants, None)[1]


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
