"""The numbers in a subject's own source: sizes at which it may change its way, and near which cases are drawn.

Hypothesis collects such constants too, but puts them into ``integers()`` alone, one draw in twenty; the sizes of a case
come from tables (:mod:`mhsa.judge.strategies`), so the tables are what has to know them.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sysconfig
from pathlib import Path
from typing import Any

from torch import nn

_SMALLEST, _LARGEST = 10, 2048  # below, every size is drawn anyway; above, a case takes seconds
_MOST = 8  # a file with more of them is not an attention module alone, and each would be drawn too seldom


def literals(target: Any, module: nn.Module) -> tuple[int, ...]:
    """Return the sizes among the numbers in the files that define the subject and its modules, libraries apart."""
    sizes = {n for n in constants(target, module) if type(n) is int and _SMALLEST <= n <= _LARGEST}
    return tuple(sorted(sizes)) if len(sizes) <= _MOST else ()


def constants(target: Any, module: nn.Module) -> tuple[float, ...]:
    """Return every number in the files that define the subject and its modules, without its sign."""
    owners = [target, type(target), *dict.fromkeys(type(m) for m in module.modules())]
    paths = dict.fromkeys(p for owner in owners if (p := _own_file(owner)) is not None)
    return tuple(dict.fromkeys(number for path in paths for number in _numbers(path, path.stat().st_mtime_ns)))


@functools.lru_cache(8)  # a run asks several times for the same file
def _numbers(path: Path, written: int) -> tuple[float, ...]:
    """Return the numbers in a file, as it was ``written`` at this time."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return tuple(value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool))


def _own_file(owner: Any) -> Path | None:
    """Return the source file of a class or function, unless it belongs to a library or to mhsa."""
    try:
        path = Path(inspect.getsourcefile(inspect.unwrap(owner)) or "").resolve()
    except (TypeError, OSError):
        return None
    own = path.suffix == ".py" and path.is_file()  # a cell of a notebook has a path, and no file there
    return path if own and not any(path.is_relative_to(folder) for folder in _not_the_users()) else None


@functools.cache
def _not_the_users() -> tuple[Path, ...]:
    """Return the folders of libraries and of mhsa."""
    libraries = (Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))
    return (*libraries, Path(__file__).resolve().parents[1])
