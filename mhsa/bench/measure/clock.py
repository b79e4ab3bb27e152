"""How long a block of calls takes, on the CPU and on a GPU."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mhsa.bench.measure.captured.own_tools import gpu_event, gpu_synchronize, now
from mhsa.bench.measure.cpu_wait import waited

Call = Callable[[], Any]


class ChangingCall:
    """A call that has other inputs each time: they are made before a block, and one result is looked at after it."""

    def __call__(self) -> Any:
        """Make the call with the inputs of the last time."""
        raise NotImplementedError

    def turns(self, count: int) -> tuple[Sequence[Call], int]:
        """Return the calls of a block, each with inputs of its own, and which of them gives the result that is kept."""
        raise NotImplementedError

    def ended(self, kept: Any) -> None:
        """Look at the kept result; raises where it is not what it must be."""
        raise NotImplementedError

    def wrapped(self, wrap: Callable[[Call], Call]) -> ChangingCall:
        """Return the same with something around each call of a block."""
        raise NotImplementedError


# Seconds of a block. Far above the clock's resolution and what a block costs, and so short that what else the machine does
# is the same for a block and for its neighbours: with blocks of 4 ms, ratios of identical code had a standard deviation of
# 0.6 to 1.8 % in a second (docs/benchmarks.md).
BLOCK = 0.004
_LONG = 250 * BLOCK  # of one call: a second, in which what is done once only does not show
_IDLE = 100e-6  # seconds in which an idle GPU is known to be idle, with plenty to spare
_FLUSHED = 256 * 2**20  # bytes that are written between two short calls on a GPU: more than any last-level cache holds


@dataclass
class Clock:
    """Times blocks of calls on one device.

    On the CPU, the time in which another process had the processor is taken off: on a busy machine, ratios of blocks then
    scatter less than half as much (docs/benchmarks.md). A GPU works on its own: its time is taken between two events in
    its own queue, and every call waits until it has ended.
    """

    device: str

    def __post_init__(self) -> None:
        self._flush: Any = None
        self.on_gpu = torch.device(self.device).type == "cuda"
        if self.on_gpu:
            self._flush = torch.empty(_FLUSHED // 4, dtype=torch.int32, device=self.device)

    def calibrate(self, call: Call) -> int:
        """Return how many calls make a block; a call that is not far longer than one is warmed up before it is timed."""
        once = self.block(call, 1)
        if once > _LONG:
            return 1
        once = self.block(call, 1)
        if once * 4 < BLOCK:  # a single short call is mostly the cost of looking at the clock
            once = self.block(call, 5)
        return max(1, round(BLOCK / max(once, 1e-9)))

    def block(self, call: Call, count: int) -> float:
        """Return seconds per call; one that changes has its inputs made before that, and a result looked at after it."""
        if not isinstance(call, ChangingCall):
            return (self._on_gpu if self.on_gpu else self._on_cpu)(itertools.repeat(call, count - 1), call, (), count)[0]
        turns, kept = call.turns(count)
        first, middle, last = turns[:kept], turns[kept], turns[kept + 1 :]
        took, result = (self._on_gpu if self.on_gpu else self._on_cpu)(first, middle, last, count)
        call.ended(result)
        return took

    def _on_cpu(self, first: Iterable[Call], middle: Call, last: Iterable[Call], count: int) -> tuple[float, Any]:
        # In this order: a thread often loses the processor when it comes back from the kernel, which waited() asks.
        start = now()
        before = waited()
        for call in first:
            call()
        kept = middle()
        for call in last:
            call()
        took = now() - start
        lost = waited() - before
        # The kernel's two clocks are not one: in a block of thousands it seems to have waited for longer than it took.
        return (took - lost if lost < took else took) / count, kept

    def _on_gpu(self, first: Iterable[Call], middle: Call, last: Iterable[Call], count: int) -> tuple[float, Any]:
        events: list[tuple[Any, Any]] = [(gpu_event(enable_timing=True), gpu_event(enable_timing=True)) for _ in range(count)]
        kept = None
        for (begin, end), call in zip(events, (*first, middle, *last), strict=True):
            self._flush.zero_()  # each call then finds its inputs in memory, not in a cache that a real model has overwritten
            begin.record()
            result = call()
            end.record()
            kept = result if call is middle else kept
            del result
        events[-1][1].synchronize()
        # What the device still does now is on another stream than the one that the events are in: it counts, too.
        ended = now()
        gpu_synchronize(self.device)
        beyond = now() - ended
        took = float(sum(begin.elapsed_time(end) for begin, end in events)) / 1e3
        return (took + (beyond if beyond > _IDLE else 0.0)) / count, kept
