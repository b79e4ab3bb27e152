"""A known slow-down, to find out whether it is found: what the gate is tried with."""

from __future__ import annotations

import functools
import time

from mhsa.bench.measure.clock import Call
from mhsa.bench.measure.cpu_wait import waited


def slowed(call: Call, share: float) -> Call:
    """Return the call, slower by a share of its own time: 0.03 for 3 %.

    The processor is kept busy for that share of what the call took, as :class:`mhsa.bench.measure.clock.Clock` counts it, so
    that the slow-down has the noise that the call has. A share of 0 costs what any costs, some microseconds: what is compared
    with a slowed call should have it.
    """
    return functools.partial(_spin, call, share)


def _spin(call: Call, share: float) -> object:
    clock = time.perf_counter
    begin, before = clock(), waited()
    result = call()
    took = clock() - begin - (waited() - before)
    end = clock() + share * took
    while clock() < end:
        pass
    return result
