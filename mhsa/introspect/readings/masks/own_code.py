"""The classes and functions of a subject's own file that it consists of."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from mhsa.source.written_code import nodes_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter


def own_code(adapter: Adapter) -> Iterator[Any]:
    """Yield the class or function, its bases, and what of their file is named there, by whatever way.

    Only what has a source that stands alone (:func:`mhsa.source.written_code.tree_of`).
    """
    owner: Any = adapter.owner if isinstance(adapter, ModuleAdapter) else None
    owner = adapter.function if isinstance(adapter, FunctionAdapter) else owner
    if owner is None:
        return
    left, known = [owner, *(base for base in getattr(owner, "__mro__", ())[1:] if base.__module__ == owner.__module__)], set()
    while left:
        each = left.pop(0)
        if each in known:
            continue
        known.add(each)
        try:
            named = [node.id for node in nodes_of(inspect.unwrap(each)) if isinstance(node, ast.Name)]
        except (OSError, TypeError, SyntaxError):  # it has no source, or none that stands alone
            continue
        yield inspect.unwrap(each)
        file = vars(sys.modules[each.__module__]) if each.__module__ in sys.modules else {}
        used = [file.get(name) for name in dict.fromkeys(named)]
        left += [x for x in used if (inspect.isfunction(x) or inspect.isclass(x)) and x.__module__ == owner.__module__]
