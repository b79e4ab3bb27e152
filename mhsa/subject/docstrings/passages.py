"""The docstrings of a subject, and the lines in them that are about one argument or about masks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from mhsa.source.docstring_lines import about_the_whole, docstring_of, said_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.signature import call_of


def documented(adapter: Adapter) -> list[Any]:
    """Return what has the docstrings: a function, or a class and its forward."""
    if isinstance(adapter, FunctionAdapter):
        return [adapter.function]
    return [adapter.owner, call_of(adapter.owner)] if isinstance(adapter, ModuleAdapter) else []


def lines_of(adapter: Adapter) -> list[str]:
    """Return the lines of all docstrings."""
    return [line for owner in documented(adapter) for line in docstring_of(owner).splitlines()]


def text_of(adapter: Adapter) -> str:
    """Return all docstrings."""
    return "\n".join(lines_of(adapter))


def about_the_whole_of(adapter: Adapter) -> str:
    """Return all docstrings without what they say of single arguments other than masks."""
    texts = []
    for owner in documented(adapter):
        names = {name for call in (owner, getattr(owner, "__init__", None)) for name in _parameters(call)}
        texts.append(about_the_whole(owner, {name for name in names if "mask" not in name.lower()}))
    return " ".join(texts)


def _parameters(owner: Any) -> list[str]:
    try:
        return list(inspect.signature(owner).parameters)
    except (TypeError, ValueError):
        return []


def mask_parameter(adapter: Adapter) -> str:
    """Return the name of the parameter that the adapter gives the mask to; empty where it has no name of its own."""
    if isinstance(adapter, FunctionAdapter):
        return adapter.mask_name
    return adapter.signature.mask or "" if isinstance(adapter, ModuleAdapter) else ""


def about(adapter: Adapter, name: str) -> Iterator[str]:
    """Yield what docstrings say of a parameter: the line with its name, and the lines below that are further in."""
    for owner in documented(adapter):
        yield from said_of(owner, name)


def about_the_mask(adapter: Adapter) -> list[str]:
    """Return what docstrings say of the parameter that is the mask; nothing where it has no name of its own."""
    name = mask_parameter(adapter)
    return list(about(adapter, name)) if name else []


def about_masks(adapter: Adapter) -> str:
    """Return the lines that speak of any mask, each with those below it that are further in."""
    found: list[str] = []
    depth: int | None = None
    for line in lines_of(adapter):
        inside = len(line) - len(line.lstrip())
        if "mask" in line.lower() and (depth is None or inside <= depth):
            depth = inside
        elif not line.strip() or depth is None or inside <= depth:
            depth = None
            continue
        found.append(line.strip())
    return " ".join(found)
