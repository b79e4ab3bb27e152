"""Run-queue wait of this thread (schedstat run_delay): time that other processes took, not the code that is timed.

Linux counts it for each thread (``run_delay``, the second number of ``/proc/thread-self/schedstat``; proc(5) and the kernel's
Documentation/scheduler/sched-stats.rst). A thread that sleeps, or waits for others, does not wait for a processor: that time is
its own. Elsewhere nothing is known, and nothing is taken off.
"""

from __future__ import annotations

import contextlib
import os
import threading

from mhsa.bench.measure.captured.own_tools import read_at

_SCHEDSTAT = "/proc/thread-self/schedstat"
_here = threading.local()


def waited() -> float:
    """Return for how many seconds this thread has waited for a processor since it exists; 0 where that is not known.

    It takes a microsecond or two.
    """
    place = getattr(_here, "place", None)
    if place is None:
        try:
            place = os.open(_SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            place = -1
        _here.place = place
    if place >= 0:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(read_at(place, 128, 0).split()[1]) * 1e-9
    return 0.0
