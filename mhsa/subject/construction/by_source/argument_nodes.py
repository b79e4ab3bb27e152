"""Where an argument stands in the source: as a name, as an attribute that keeps it, or as an item of a configuration."""

from __future__ import annotations

import ast
from collections.abc import Collection


def is_argument(node: ast.expr, names: Collection[str]) -> bool:
    """Whether an expression is the argument, an attribute that is called so, or such an item."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value in names
    return (isinstance(node, ast.Name) and node.id in names) or (isinstance(node, ast.Attribute) and node.attr in names)


def kept_as(node: ast.AST, name: str) -> list[str]:
    """Return the attributes of ``self`` that keep the argument: self.vis = vis, or self.h, self.vis = h, vis."""
    if not isinstance(node, ast.Assign):
        return []
    pairs: list[tuple[ast.expr, ast.expr]] = [(target, node.value) for target in node.targets]
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple) and len(target.elts) == len(node.value.elts):
            pairs += zip(target.elts, node.value.elts, strict=True)
    return [
        t.attr for t, x in pairs if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name) and is_argument(x, {name})
    ]
