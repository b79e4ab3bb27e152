"""A known slow-down, to find out whether it is found: what gate and history are tried with."""

from __future__ import annotations

import functools
import time

from mhsa.bench.clock import Call


def slowed(call: Call, share: float) -> Call:
    """Return the call, slower by a share of its own time: 0.03 for 3 %.

    The processor is kept busy for that share of the processor's time that the call took, so that the slow-down has the noise
    that the call has, and not that of other processes. A share of 0 costs what any costs, a microsecond or two: what is
    compared with a slowed call should have it.
    """
    return functools.partial(_spin, call, 1.0 + share)


def _spin(call: Call, factor: float) -> object:
    clock = time.thread_time
    begin = clock()
    result = call()
    end = begin + (clock() - begin) * factor
    while clock() < end:
        pass
    return result
