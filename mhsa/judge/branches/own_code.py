"""The functions of a subject that are its own: their names, words, and the globals that they see."""

from __future__ import annotations

import dis
import functools
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import torch

from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.trial import Trial

TORCH = str(Path(torch.__file__).parent) + os.sep
_MOST = 60  # functions of a file that calls are followed to


def own_functions(trial: Trial) -> list[FunctionType]:
    """Return the functions that a call may run and that are not torch's: of the parts' classes, and what these name."""
    found: dict[FunctionType, None] = {}
    kinds: list[Any] = [type(part) for part in trial.module.modules()]
    for kind in dict.fromkeys(kinds):
        found |= dict.fromkeys(_of_class(kind))
    if isinstance(trial.subject.adapter, FunctionAdapter):
        function = inspect.unwrap(getattr(trial.subject.adapter.function, "func", trial.subject.adapter.function))
        found |= {function: None} if isinstance(function, FunctionType) else {}
    waiting = list(found)
    while waiting and len(found) < _MOST:
        function = waiting.pop()
        for name in names_of(function.__code__):
            other = function.__globals__.get(name)
            if isinstance(other, FunctionType) and other not in found and not _is_foreign(other):
                found[other] = None
                waiting.append(other)
    return list(found)


@functools.lru_cache(64)
def _of_class(kind: Any) -> tuple[FunctionType, ...]:
    """Return the methods of a class and its bases, but for those of torch and mhsa, and its constructors."""
    held: Iterator[Any] = (x for base in inspect.getmro(kind) for n, x in vars(base).items() if n != "__init__")
    plain = (inspect.unwrap(getattr(x, "__func__", x)) for x in held if callable(getattr(x, "__func__", x)))
    return tuple(x for x in plain if isinstance(x, FunctionType) and not _is_foreign(x))


def _is_foreign(function: FunctionType) -> bool:
    """Whether a function is torch's, or of mhsa's own machinery; its mutants stand for a subject's code."""
    module = function.__module__ or ""
    ours = module.startswith("mhsa.") and not module.startswith("mhsa.bugs.mutants.")
    return ours or function.__code__.co_filename.startswith(TORCH)


@functools.lru_cache(256)
def is_state(kind: Any, name: str) -> bool:
    """Whether a method that sets an attribute does more than that: it fuses weights, say, and the attribute says so."""
    for function in _of_class(kind):
        steps = list(dis.get_instructions(function.__code__))
        stored = {s.argval for s in steps if s.opname == "STORE_ATTR"}
        if name in stored and (stored != {name} or any(s.opname.startswith("CALL") for s in steps)):
            return True
    return False


@functools.lru_cache(1024)
def names_of(code: CodeType) -> frozenset[str]:
    """Return the names of globals and attributes in a function and in those that are written within it."""
    inner = (names_of(x) for x in code.co_consts if isinstance(x, CodeType))
    return frozenset(code.co_names).union(*inner)


@functools.lru_cache(1024)
def words_of(code: CodeType) -> frozenset[str]:
    """Return the strings in a function and in those that are written within it."""
    inner = (words_of(x) for x in code.co_consts if isinstance(x, CodeType))
    tuples = (y for x in code.co_consts if isinstance(x, (tuple, frozenset)) for y in x)
    return frozenset(x for x in (*code.co_consts, *tuples) if isinstance(x, str)).union(*inner)
