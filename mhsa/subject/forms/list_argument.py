"""One argument that holds query, key and value: it is unpacked into three names that say which is which."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from mhsa.records.names import KEY, QUERY, VALUE, is_called

_ROLES = {"query": QUERY, "key": KEY, "value": VALUE}


def unpacked(forward: Callable[..., Any], name: str) -> tuple[str, ...]:
    """Return the roles of what an argument is unpacked into, in their order; empty where it is not unpacked into all three."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(forward)))
    except (OSError, TypeError, SyntaxError):
        return ()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Name) or node.value.id != name:
            continue
        for target in node.targets:
            if isinstance(target, (ast.Tuple, ast.List)):
                words = [part.id if isinstance(part, ast.Name) else "" for part in target.elts]
                roles = [next((role for role, names in _ROLES.items() if is_called(word, names)), "") for word in words]
                if sorted(roles) == sorted(_ROLES):
                    return tuple(roles)
    return ()
