"""How much memory a process may take, whether it gives it back, and that it ends with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

_SHARE = 0.75  # of the machine's memory, unless --memory says otherwise: what is left keeps the parent alive
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h
PARENT = "MHSA_PARENT"  # the variable that gives a subject's process the number of its parent


def default_memory() -> int | None:
    """Return the bytes that a subject may use by default: a share of what this machine, or its container, has."""
    sizes = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            sizes.append(int(Path(file).read_text()))
    return int(_SHARE * min(sizes)) if sizes else None


def limit_memory(size: int | None) -> None:
    """Let this process take at most ``size`` bytes more than it has now, when torch is imported and the subject is not.

    Linux only, where private memory can be limited (RLIMIT_DATA); elsewhere nothing happens.
    """
    if not size or sys.platform != "linux":
        return
    import resource

    limit = size + _taken()
    with contextlib.suppress(ValueError, OSError):  # a limit that is there already, and lower
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file behind


def keep_memory() -> None:
    """Let this process keep the memory that it frees, where the C library is glibc; elsewhere nothing happens.

    Otherwise large tensors are requested from the kernel at every call and given back, and how long clearing their pages takes
    depends on where they happen to lie, which each process draws for itself.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)  # never


def _taken() -> int:
    """Bytes of private memory that this process has allocated."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def end_with_parent() -> None:
    """Be killed when the parent dies, however it does, or has died by now. Linux only."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        parent = os.environ.get(PARENT, "")
        if parent.isdigit() and os.getppid() != int(parent) and "PYTEST_XDIST_WORKER" not in os.environ:
            os._exit(70)
