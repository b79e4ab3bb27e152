"""The source of classes and functions, found and parsed once: Python looks through a whole file for each class."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Hashable

_KEPT = 64  # classes and functions; reading a subject asks for a handful, several times each


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
