"""Comments in the source that are about a mask: on a line with a mask, or right above one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter

_COMMENT = re.compile(r"^(?P<code>[^#]*)#+\s*(?P<said>.*)$")
# Code that is commented out, and arithmetic, say nothing in words.
_CODE = re.compile(r"[\d)\]]\s*[-+*/]|[-+*/]\s*\d|[=!<>]=|\w\(|\w\[|\w\.\w")


def comments_on_masks(adapter: Adapter) -> Iterator[str]:
    """Yield the comments of a class or function, and of the functions of its file, that are about a mask."""
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
    owner: Any = adapter.owner if isinstance(adapter, ModuleAdapter) else None
    owner = adapter.function if isinstance(adapter, FunctionAdapter) else owner
    file = inspect.getmodule(owner) if owner is not None else None
    functions = [f for f in vars(file).values() if inspect.isfunction(f) and f.__module__ == file.__name__] if file else []
    for each in dict.fromkeys((owner, *functions)):
        try:
            yield inspect.getsource(each)
        except (OSError, TypeError):  # it has no source
            continue
