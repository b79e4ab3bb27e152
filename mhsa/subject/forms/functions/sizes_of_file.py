"""A number of heads, or a width, that a function takes from its file: ``N_HEADS = 4`` above it, and no argument."""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mhsa.records.names import HEAD, HEAD_WIDTH, WIDTH, pick
from mhsa.source.written_code import named_in, nodes_of

_FEATURES = 5  # of a head, where nothing says the width


@dataclass(frozen=True)
class SizesOfFile:
    """The one size in which a function can be called, and the names of its file that say so, with their numbers."""

    head: int
    d_model: int
    words: str


def sizes_of_file(function: Callable[..., Any]) -> SizesOfFile | None:
    """Return the sizes that a function, or what it calls of its file, reads there; None where it reads none, or they clash.

    A width alone is that of one head: a function that divides by its root is right in this width and in no other.
    """
    numbers = dict(_numbers(function))
    head, width, of_head = (pick(numbers, names) for names in (HEAD, WIDTH, HEAD_WIDTH))
    if not head and not width:
        return None
    features = numbers[of_head] if of_head else None
    heads = numbers[head] if head else numbers[width or ""] // features if features else 1
    d_model = numbers[width] if width else heads * (features or _FEATURES)
    if not heads or d_model % heads:
        return None
    words = ", ".join(f"{name} = {numbers[name]}" for name in (head, width, of_head) if name)
    return SizesOfFile(heads, d_model, words)


def _numbers(function: Callable[..., Any]) -> Iterator[tuple[str, int]]:
    """Yield the whole numbers of a file that its function, or what that calls of it, reads by their names."""
    file = vars(inspect.getmodule(function) or function)
    for owner in filter(inspect.isfunction, (function, *_called(function))):
        with contextlib.suppress(OSError, TypeError, SyntaxError):
            for node in nodes_of(inspect.unwrap(owner)):
                local = isinstance(node, ast.Name) and node.id in owner.__code__.co_varnames
                if isinstance(node, ast.Name) and not local and type(file.get(node.id)) is int and file[node.id] > 0:
                    yield node.id, file[node.id]


def _called(function: Callable[..., Any]) -> list[Any]:
    return named_in(inspect.unwrap(function))
