"""What a forked child is made into: a process as if it had been started anew with these arguments and variables."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import os
import runpy
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mhsa.run.process_limits import PARENT, end_with_parent

_ENV_START = 50  # fields of /proc/self/stat, as proc(5) counts them; the next one is the end


@dataclass(frozen=True)
class ChildRequest:
    """What a child is to do.

    Attributes:
        arguments: a module and its arguments, as after ``python -P -m``.
        environment: all of its variables.
        home: of the process that sends the request, see :func:`home`.
    """

    arguments: list[str]
    environment: dict[str, str]
    home: str = ""


def home() -> str:
    """Return which interpreter runs which mhsa: a child that is started anew would be of these."""
    return f"{sys.executable} {Path(__file__).resolve().parent}"


def fits(environment: Mapping[str, str]) -> bool:
    """Whether the variables of a child of this process can stand where its own do."""
    start, end = _place()
    return len(_block({**environment, PARENT: str(os.getpid())})) <= end - start


def become(request: ChildRequest, files: Sequence[int], server: int) -> None:
    """Make this process, which was just forked, one of its own.

    Args:
        request: what it is to do.
        files: its standard input, output and error, and its working directory.
        server: the process that it was forked from.
    """
    os.setsid()
    *streams, folder = files
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.fchdir(folder)
    _replace_environment({**request.environment, PARENT: str(server)})
    end_with_parent()
    tempfile.tempdir = None  # another variable may name another folder
    importlib.invalidate_caches()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()  # each process draws its own, as random does by itself


def work(request: ChildRequest) -> NoReturn:
    """Run the module, as the interpreter does, and end this process as it does, without freeing what it has imported.

    The kernel frees it at once, and each object that Python frees first is memory that the server shares no longer: a third of
    the time of a short run. multiprocessing ends its forked processes so, too.
    """
    sys.argv = list(request.arguments)
    sys.orig_argv = [sys.executable, "-P", "-m", *request.arguments]
    code = 0
    try:
        runpy.run_module(request.arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = _exit_code(end.code)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # what listened is gone, or a subject has closed or replaced it
            stream.flush()
    os._exit(code)


def _exit_code(given: object) -> int:
    """Return the code of a process that ends with ``sys.exit(given)``."""
    if given is None:
        return 0
    if isinstance(given, int):
        return given & 0xFF
    print(given, file=sys.stderr)
    return 1


def _place() -> tuple[int, int]:
    """Where in memory the kernel looks for this process' variables."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[_ENV_START - 3]), int(fields[_ENV_START - 2])


def _block(environment: Mapping[str, str]) -> bytes:
    return b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environment.items())


def _replace_environment(environment: Mapping[str, str]) -> None:
    """Change all variables, and what /proc shows of them: by that the processes of a run are found again."""
    os.environ.clear()  # from here on nothing points to where they stood
    start, end = _place()
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, _block(environment), len(_block(environment)))
    os.environ.update(environment)
