"""What a subject may do to its process: replace torch's functions, fork, leave threads behind, flood the output.

A judge whose own tools were replaced cannot judge, so this is looked at after every property, and put back. Code that sets
out to deceive the judge can still do so; docs/isolation.md says what that means.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import math
import operator
import os
import random
import sys
import sysconfig
import threading
import traceback
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TextIO

import numpy as np
import torch

from mhsa.records.errors import describe

# Where the judge's own tools come from. Of modules only what was there before counts: they load parts on first use.
_TORCH: tuple[ModuleType, ...] = (torch, torch.nn.functional, torch.autograd)
_MODULES: tuple[ModuleType, ...] = (*_TORCH, np, np.linalg, np.random, random, math, builtins)
_CLASSES: tuple[type, ...] = (torch.Tensor, torch.nn.Module, torch.autograd.Function, random.Random)
_FLOOD = 2**20  # characters that may be printed while one property runs: some kilobytes for each of its calls
_LIBRARIES = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), str(Path(__file__).parents[1]), "<")
_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork)


class Counting(io.TextIOBase):
    """A stream that passes text on and counts it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.count = 0

    def write(self, text: str, /) -> int:
        """Pass it on."""
        self.count += len(text)
        return self.stream.write(text)

    def flush(self) -> None:
        """Pass on what is held."""
        self.stream.flush()

    def fileno(self) -> int:
        """Return the stream's own."""
        return self.stream.fileno()


class SideEffectMonitor:
    """Remembers how things are; :meth:`changes` says what has changed since, and puts it back."""

    def __init__(self) -> None:
        self.owners: list[tuple[Any, dict[str, Any]]] = [(o, _tools(o)) for o in (*_MODULES, *_CLASSES)]
        self.process = os.getpid()
        self.forks = _forks
        self.threads = set(threading.enumerate())
        self.streams: list[Counting] = []
        self.unraised: list[str] = []
        self.folder = _folder()
        self.depth = sys.getrecursionlimit()

    def listen(self) -> None:
        """Count what is printed from now on, and note unraisable exceptions: those of finalizers."""
        self.streams = [Counting(sys.stdout), Counting(sys.stderr)]
        sys.stdout, sys.stderr = self.streams
        sys.unraisablehook = self._note

    def _note(self, ignored: Any) -> None:
        """Note an error in a finalizer, unless it is a library's."""
        frames = traceback.extract_tb(ignored.exc_traceback)
        if frames and not frames[-1].filename.startswith(_LIBRARIES) and ignored.exc_value is not None:
            self.unraised.append(describe(ignored.exc_value))

    def changes(self, *, processes: bool = True) -> str:
        """Return a description of what was replaced or, with ``processes``, started since; empty if nothing was."""
        if os.getpid() != self.process:  # a forked copy of this process, which would go on judging as well
            os._exit(70)
        changes = [f"replaced {name}" for owner, before in self.owners for name in _put_back(owner, before)]
        if _forks != self.forks and processes:
            changes.append("forked this process")
        left = [thread.name for thread in threading.enumerate() if thread not in self.threads]
        if left and processes:
            changes.append(f"left the thread {left[0]} running")
        if sys.getrecursionlimit() < self.depth:
            sys.setrecursionlimit(self.depth)
            changes.append("lowered the recursion limit")
        self.depth = sys.getrecursionlimit()
        if _folder() != self.folder:
            with contextlib.suppress(OSError):
                os.chdir(self.folder)
            changes += ["changed the working directory"] if processes else []
        if self.unraised:
            changes.append(f"raised in a finalizer, where it cannot be caught: {self.unraised[0]}")
        if any(now is not before for now, before in zip((sys.stdout, sys.stderr), self.streams, strict=False)):
            sys.stdout, sys.stderr = self.streams
            changes.append("replaced sys.stdout or sys.stderr")
        printed = sum(stream.count for stream in self.streams)
        if printed > _FLOOD:
            changes.append(f"printed {printed / 2**20:.1f} MiB")
        for stream in self.streams:
            stream.count = 0
        self.unraised.clear()
        self.forks, self.threads = _forks, self.threads | set(threading.enumerate())
        return " and ".join(changes[:3])


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _tools(owner: Any) -> dict[str, Any]:
    return {name: x for name, x in vars(owner).items() if callable(x) and not isinstance(x, ModuleType)}


def _own_doing(owner: Any, new: Any) -> bool:
    """Whether a library replaces its own function, as torch does with manual_seed when its compiler is first used."""
    library = getattr(owner, "__module__", None) or owner.__name__
    home = getattr(new, "__module__", None) or ""
    return isinstance(new, FunctionType) and home.partition(".")[0] == library.partition(".")[0]


def _put_back(owner: Any, before: dict[str, Any]) -> list[str]:
    """Put back what was replaced, taken away, or put before a method of a base class; return the names."""
    now = vars(owner)
    alike = not any(map(operator.is_not, map(now.get, before), before.values()))  # mostly, and found out in half the time
    changed = [] if alike else [name for name, x in before.items() if now.get(name) is not x]
    replaced = [name for name in changed if not _own_doing(owner, now.get(name))]
    for name in changed:
        if name in replaced:
            setattr(owner, name, before[name])
        else:
            before[name] = now[name]
    if isinstance(owner, type):
        for name in [n for n in now if n not in before and callable(now[n]) and hasattr(owner.__base__, n)]:
            delattr(owner, name)
            replaced.append(name)
    return [f"{owner.__name__}.{name}" for name in replaced]
