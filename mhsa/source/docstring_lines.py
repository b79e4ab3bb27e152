"""What the docstring of a class or a function says of one of its arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from typing import Any


def entry_pattern(name: str, sign: str) -> re.Pattern[str]:
    """Return the pattern of the beginning of a line on an argument, whose name is group 1.

    So are "name:", "name (int):", "- `name`:", ":param int name:", "name : int".

    Args:
        name: pattern of the name.
        sign: pattern of what stands behind it.
    """
    return re.compile(rf"\s*(?:[-*]\s+)?(?::param\s+(?:\w+\s+)?)?`*({name})`*\s*(?:\([^)]*\))?\s*{sign}")


_ENTRY = entry_pattern(r"\w+", ":")  # no "=": "d_k = d_model / h" is about the whole


def docstring_of(owner: Any) -> str:
    """Return the docstring of what has one of its own, or inherits it."""
    return inspect.getdoc(owner) or ""


def said_of(owner: Any, name: str) -> Iterator[str]:
    """Yield what it says of an argument: what follows its name in a line, and the lines below that are further in."""
    lines = docstring_of(owner).splitlines()
    for n, line in enumerate(lines):
        if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", line):
            continue
        depth = len(line) - len(line.lstrip())
        below = []
        for other in lines[n + 1 :]:
            if not other.strip() or len(other) - len(other.lstrip()) <= depth:
                break
            below.append(other.strip())
        yield " ".join([line[line.index(name) + len(name) :].strip(), *below])


def about_the_whole(owner: Any, arguments: Collection[str]) -> str:
    """Return a docstring without its lines on these arguments, and those below that are further in."""
    kept: list[str] = []
    depth: int | None = None
    for line in docstring_of(owner).splitlines():
        inside = len(line) - len(line.lstrip())
        if depth is not None and (not line.strip() or inside > depth):
            continue
        entry = _ENTRY.match(line)
        depth = inside if entry is not None and entry[1] in arguments else None
        if depth is None:
            kept.append(line)
    return " ".join(" ".join(kept).split())
