"""How many instructions a statement takes, under valgrind: what neither the clock nor other processes can move."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

# What torch starts: the simulator, what asks it for a dump in the middle, and what reads the dump.
_TOOLS = ("valgrind", "callgrind_control", "callgrind_annotate")


class CannotCount(RuntimeError):
    """Instructions cannot be counted on this machine; the message says what is missing and what to do."""


def instructions(setup: str, statement: str, *, number: int) -> int | None:
    """Return the instructions of one execution of a statement, on one thread.

    It runs in a process of its own, some fifty times slower than it would, after half a minute in which that process
    imports torch: this is for a few small statements (--callgrind). About a hundred instructions are the loop's.

    Args:
        setup: Python code that runs first and is not counted. It imports what the statement needs, by names that are
            installed: the process starts in the current folder but does not import from it.
        statement: Python code; up to ten executions that are not counted warm it up.
        number: executions over which the mean is taken. More of them even out what the interpreter does now and then.

    Returns:
        The instructions, rounded; None if valgrind itself fails, as on an instruction of the processor that it lacks.

    Raises:
        CannotCount: valgrind is not installed, or not for this platform.
        ValueError: ``number`` is not positive.
        Exception: whatever setup or statement raise, without valgrind.
    """
    if number < 1:
        raise ValueError(f"number is {number}; it must be at least 1")
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise CannotCount(
            f"instructions are counted under valgrind, and {', '.join(missing)} is not installed here;"
            " install it (`apt-get install valgrind` on Debian and Ubuntu), or leave instructions out"
        )
    from torch.utils.benchmark import Timer

    # Torch starts whatever the path has as `python`, and refuses any but this one. Two runs whose strings hash alike take the
    # same instructions to the last, others differ by some tenths of a per cent.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    timer = Timer(stmt=statement, setup=setup, num_threads=1)
    timer.timeit(1)  # a mistake in the code shows here, and not as a failure of valgrind
    try:
        with _environment(PATH=path, PYTHONHASHSEED="0"):
            stats = timer.collect_callgrind(number, repeats=None, collect_baseline=False, retain_out_file=False)
    except OSError as failure:
        if str(failure).startswith("Valgrind is not supported"):  # torch's own words
            raise CannotCount(f"{str(failure).rstrip('.')}; leave instructions out here") from None
        return None
    except Exception:  # torch could not read what valgrind wrote
        return None
    counted: int = stats.counts(denoise=True)
    return round(counted / number)


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables for the processes that are started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
