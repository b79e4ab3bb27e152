"""What a module keeps from one call for the next, and the method that drops it: a cache of keys, say."""

from __future__ import annotations

import inspect
import re
from typing import Any

_RESETS = re.compile(r"(reset|clear|empty|drop|flush)(_(kv_?)?(cache|state|memory|past|history|buffer)s?)?")


def reset_of(owner: type[Any]) -> str:
    """Return the name of the method of a class that drops what its calls have kept; empty where there is none.

    It takes no argument, so that nothing is chosen by calling it.
    """
    for name in filter(_RESETS.fullmatch, dir(owner)):
        method = inspect.getattr_static(owner, name)
        if not inspect.isfunction(method) or method.__module__.partition(".")[0] == "torch":
            continue  # clear() of a container of torch's drops its parts
        parameters = list(inspect.signature(method).parameters.values())[1:]
        if all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
            return name
    return ""


def left_between_calls(method: str) -> str:
    """Return in words what is not judged of a module with such a method."""
    return f"what it keeps from one call for the next, which {method}() drops"
