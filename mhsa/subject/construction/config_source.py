"""Which attributes of a configuration the source only looks for, as ``hasattr`` and ``getattr`` with a default do.

A configuration that answers every name that mhsa knows would have what the author takes for an exception: such a name is
left out, so that the author's own default holds; the number of heads, the width and a dropout are answered all the same.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import textwrap
from typing import Any

from mhsa.subject.construction.roles import role_of


def only_looked_for(target: Any, argument: str) -> frozenset[str]:
    """Return the names that the class (with its bases) or function asks ``argument`` for only with a default."""
    read: set[str] = set()
    with_default: set[str] = set()
    asked: set[str] = set()
    for owner in inspect.getmro(target) if inspect.isclass(target) else (target,):
        if getattr(owner, "__module__", "builtins").partition(".")[0] in ("torch", "builtins"):
            continue
        with contextlib.suppress(OSError, TypeError, SyntaxError):
            for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(owner)))):
                if isinstance(node, ast.Attribute) and _is(node.value, argument):
                    read.add(node.attr)
                elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and _is(node.value, argument):
                    read.add(str(node.slice.value))
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
                    name = node.args[1]
                    if isinstance(name, ast.Constant) and node.func.id in ("hasattr", "getattr"):
                        (asked if len(node.args) == 2 else with_default).add(str(name.value))
    answered = {name for name in with_default if role_of(name) in ("head", "d_model", "dropout")}
    return frozenset((asked | with_default) - read - answered)


def _is(node: ast.expr, argument: str) -> bool:
    """Whether an expression is the configuration: by its name, or as an attribute of the module that is called so."""
    return (isinstance(node, ast.Name) and node.id == argument) or (isinstance(node, ast.Attribute) and node.attr == argument)
