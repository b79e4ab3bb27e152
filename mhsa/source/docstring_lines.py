"""What the docstring of a class or a function says of one of its arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any


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
