"""The source of classes and functions, found and parsed once: Python looks through a whole file for each class."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import textwrap
from collections.abc import Hashable, Iterator
from typing import Any

_KEPT = 256  # classes and functions; reading a subject asks for those of its file, several times each


@functools.lru_cache(_KEPT)
def source_of(owner: Hashable) -> str:
    """Return the source of a class or function.

    Raises:
        OSError: there is none.
        TypeError: it is no class or function, or a built-in one.
    """
    return inspect.getsource(owner)  # type: ignore[arg-type]


@functools.lru_cache(_KEPT)
def tree_of(owner: Hashable) -> ast.Module:
    """Return the source of a class or function, parsed; it is shared, and must not be changed.

    Raises:
        OSError, TypeError: as :func:`source_of`.
        SyntaxError: it does not stand alone.
    """
    return ast.parse(textwrap.dedent(source_of(owner)))


@functools.lru_cache(_KEPT)
def nodes_of(owner: Hashable) -> tuple[ast.AST, ...]:
    """Return all nodes of :func:`tree_of`: to walk through a tree takes longer than most that is asked of it."""
    return tuple(ast.walk(tree_of(owner)))


@functools.lru_cache(_KEPT)
def statements_of(owner: Hashable) -> tuple[tuple[ast.Assign, ...], tuple[ast.BinOp, ...]]:
    """Return the assignments and the products of :func:`tree_of`."""
    nodes = nodes_of(owner)
    products = (node for node in nodes if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult))
    return tuple(node for node in nodes if isinstance(node, ast.Assign)), tuple(products)


def written_owners(target: Any) -> Iterator[Any]:
    """Yield a class and its bases, or a function: those whose source is there, and none of torch's."""
    for owner in inspect.getmro(target) if inspect.isclass(target) else (target,):
        if getattr(owner, "__module__", "builtins").partition(".")[0] not in ("torch", "builtins"):
            with contextlib.suppress(OSError, TypeError):
                source_of(owner)
                yield owner


def parsed_owners(target: Any) -> Iterator[Any]:
    """Yield those of :func:`written_owners` whose source stands alone, so that :func:`nodes_of` has no error for them."""
    for owner in written_owners(target):
        with contextlib.suppress(SyntaxError):
            nodes_of(owner)
            yield owner


def classes_of(file: Any) -> dict[str, Any]:
    """Return the classes that a Python module defines itself, by their names.

    They are listed before anything is done with one of them: building one may add names to the module.
    """
    own = getattr(file, "__name__", None)
    return {name: kind for name, kind in vars(file).items() if inspect.isclass(kind) and kind.__module__ == own} if own else {}


def named_in(target: Any) -> list[Any]:
    """Return a class or function, its bases, and what of its file these name, and so on: all whose source is there.

    A configuration that a class is given may be handed on to any of them.
    """
    file = vars(inspect.getmodule(target) or target)
    found: dict[Any, None] = {}
    waiting = [target]
    while waiting:
        owner = waiting.pop()
        for one in inspect.getmro(owner) if inspect.isclass(owner) else (owner,):
            if one in found or getattr(one, "__module__", "") != target.__module__:
                continue
            with contextlib.suppress(OSError, TypeError, SyntaxError):
                named = {node.id for node in nodes_of(one) if isinstance(node, ast.Name)} & file.keys()
                found[one] = None
                waiting += [file[name] for name in named if inspect.isclass(file[name]) or inspect.isfunction(file[name])]
    return list(found)
