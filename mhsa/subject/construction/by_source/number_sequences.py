"""Arguments that are a sequence of numbers, as the shape of a picture or a video is: how many the source wants."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence

from mhsa.subject.construction.by_source.argument_nodes import is_argument

_PRODUCTS = {"prod", "product", "reduce"}
_SHAPE = re.compile(r"shape|size|resolution|grid|dims", re.IGNORECASE)  # names of what is counted


def entries_of(nodes: Sequence[ast.AST], names: Collection[str]) -> int:
    """Return how many numbers an argument is a sequence of, 0 where nothing shows that it is one.

    ``h, w = shape`` and ``shape[1]`` show how many there are; where it is only counted, multiplied or unpacked into a call, one
    is enough.

    Args:
        nodes: of the source.
        names: what the source calls the argument.
    """
    found = 0
    for node in nodes:
        counted = {"len"} if any(_SHAPE.search(name) for name in names) else set()
        if (
            isinstance(node, ast.Call)
            and _called(node) in _PRODUCTS | counted
            and any(is_argument(x, names) for x in node.args)
        ):
            found = max(found, 1)
        elif isinstance(node, ast.Assign) and is_argument(node.value, names):
            found = max([found, *(len(target.elts) for target in node.targets if isinstance(target, ast.Tuple))])
        elif isinstance(node, ast.Subscript) and is_argument(node.value, names) and isinstance(node.slice, ast.Constant):
            found = max(found, node.slice.value + 1) if type(node.slice.value) is int else found
    return found


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
