"""A known slow-down, to find out whether it is found: what the gate is tried with."""

from __future__ import annotations

import functools

from mhsa.bench.measure.captured.own_tools import now
from mhsa.bench.measure.clock import Call, ChangingCall
from mhsa.bench.measure.cpu_wait import waited


def slowed(call: Call, share: float) -> Call:
    """Return the call, slower by a share of its own time: 0.03 for 3 %.

    The processor is kept busy for that share of what the call took, as :class:`mhsa.bench.measure.clock.Clock` counts it, so
    that the slow-down has the noise that the call has. A share of 0 costs what any costs, some microseconds: what is compared
    with a slowed call should have it.
    """
    if isinstance(call, ChangingCall):
        return call.wrapped(lambda one: functools.partial(_spin, one, share))
    return functools.partial(_spin, call, share)


def _spin(call: Call, share: float) -> object:
    begin, before = now(), waited()
    result = call()
    took = now() - begin - (waited() - before)
    end = now() + share * took
    while now() < end:
        pass
    return result
