"""Comments in the source that are about a mask: on a line with a mask, or right above one."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from mhsa.source.written_code import source_of, tree_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter

_COMMENT = re.compile(r"^(?P<code>[^#]*)#+\s*(?P<said>.*)$")
# Code that is commented out, and arithmetic, say nothing in words.
_CODE = re.compile(r"[\d)\]]\s*[-+*/]|[-+*/]\s*\d|[=!<>]=|\w\(|\w\[|\w\.\w")


def comments_on_masks(adapter: Adapter) -> Iterator[str]:
    """Yield the comments of a class or function, and of what it uses of its file, that are about a mask."""
    for source in _sources(adapter):
        lines = source.splitlines()
        for n, line in enumerate(lines):
            found = _COMMENT.match(line)
            if found is None or _CODE.search(found["said"]):
                continue
            code = found["code"].strip() or next((other for other in lines[n + 1 :] if other.strip()), "")
            if "mask" in code.lower() and not code.lstrip().startswith("#"):
                yield found["said"]


def _sources(adapter: Adapter) -> Iterator[str]:
    """Yield the source of the class or function, of its bases, and of what of their file is named there, by whatever way."""
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
            yield source_of(inspect.unwrap(each))
            named = [node.id for node in ast.walk(tree_of(inspect.unwrap(each))) if isinstance(node, ast.Name)]
        except (OSError, TypeError, SyntaxError):  # it has no source, or none that stands alone
            continue
        file = vars(sys.modules[each.__module__]) if each.__module__ in sys.modules else {}
        used = [file.get(name) for name in dict.fromkeys(named)]
        left += [x for x in used if (inspect.isfunction(x) or inspect.isclass(x)) and x.__module__ == owner.__module__]
