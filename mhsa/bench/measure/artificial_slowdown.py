"""A known slow-down, to find out whether it is found: what the gate is tried with."""

from __future__ import annotations

import functools
import statistics
from dataclasses import dataclass, field

import torch

from mhsa.bench.measure.captured.own_tools import gpu_event, gpu_sleep, gpu_synchronize, now
from mhsa.bench.measure.clock import Call, ChangingCall
from mhsa.bench.measure.cpu_wait import waited

_MEASURED = 5  # calls of which the median says how long one takes on a GPU
_CYCLES = 1_000_000  # of a waiting kernel, by which its clock is measured: about half a millisecond


def slowed(call: Call, share: float, device: str = "cpu") -> Call:
    """Return the call, slower by a share of its own time: 0.03 for 3 %.

    On the CPU the processor is kept busy for that share of what the call took, as :class:`mhsa.bench.measure.clock.Clock`
    counts it, so that the slow-down has the noise that the call has. On a GPU, whose work the processor does not wait for, a
    kernel that only waits follows the call's own. A share of 0 costs what any costs, some microseconds: what is compared
    with a slowed call should have it.
    """
    if torch.device(device).type == "cuda":
        wait = functools.partial(_wait, share=share, kernel=_WaitingKernel(device))
    else:
        wait = functools.partial(_spin, share=share)
    if isinstance(call, ChangingCall):
        return call.wrapped(lambda one: functools.partial(wait, one))
    return functools.partial(wait, call)


def _spin(call: Call, share: float) -> object:
    begin, before = now(), waited()
    result = call()
    took = now() - begin - (waited() - before)
    end = now() + share * took
    while now() < end:
        pass
    return result


@dataclass
class _WaitingKernel:
    """How long a call and a waiting kernel take on a GPU: measured in the first call, which only warms up."""

    device: str
    cycles: float = field(default=0.0, init=False)  # that a kernel waits in the time of one call

    def measure(self, call: Call) -> None:
        call()  # the first one may compile, or choose its kernels
        took = statistics.median(self._milliseconds(call) for _ in range(_MEASURED))
        self.cycles = _CYCLES * took / self._milliseconds(lambda: gpu_sleep(_CYCLES))

    def _milliseconds(self, call: Call) -> float:
        begin, end = gpu_event(enable_timing=True), gpu_event(enable_timing=True)
        gpu_synchronize(self.device)
        begin.record()
        call()
        end.record()
        gpu_synchronize(self.device)
        return float(begin.elapsed_time(end))


def _wait(call: Call, share: float, kernel: _WaitingKernel) -> object:
    if not kernel.cycles:
        kernel.measure(call)
    result = call()
    gpu_sleep(max(1, round(share * kernel.cycles)))
    return result
