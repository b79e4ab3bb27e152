"""A known slow-down, to find out whether it is found: what gate and history are tried with."""

from __future__ import annotations

import functools
import time

from mhsa.bench.clock import Call


def slowed(call: Call, share: float) -> Call:
    """Return the call, slower by a share of its own time: 0.03 for 3 %.

    It is timed and its processor kept busy for that share of what it took, so that the slow-down has the noise that the call
    has. A share of 0 costs what any costs, less than a microsecond: what is compared with a slowed call should have it.
    """
    return functools.partial(_spin, call, 1.0 + share)


def _spin(call: Call, factor: float) -> object:
    clock = time.perf_counter
    begin = clock()
    result = call()
    end = begin + (clock() - begin) * factor
    while clock() < end:
        pass
    return result
