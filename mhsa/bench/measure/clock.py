"""How long a block of calls takes, on the CPU and on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from mhsa.bench.measure.cpu_wait import waited

Call = Callable[[], Any]

# Seconds of a block. Far above the clock's resolution and what a block costs, and so short that what else the machine does
# is the same for a block and for its neighbours: with blocks of 4 ms, ratios of identical code had a standard deviation of
# 0.6 to 1.8 % in a second (docs/benchmarks.md).
BLOCK = 0.004
_LONG = 250 * BLOCK  # of one call: a second, in which what is done once only does not show
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
        """Return seconds per call."""
        if self.on_gpu:
            return self._block_on_gpu(call, count)
        # In this order: a thread often loses the processor when it comes back from the kernel, which waited() asks.
        start = time.perf_counter()
        before = waited()
        for _ in range(count):
            call()
        took = time.perf_counter() - start
        lost = waited() - before
        # The kernel's two clocks are not one: in a block of thousands it seems to have waited for longer than it took.
        return (took - lost if lost < took else took) / count

    def _block_on_gpu(self, call: Call, count: int) -> float:
        events: list[tuple[Any, Any]] = [_events() for _ in range(count)]
        for begin, end in events:
            self._flush.zero_()  # each call then finds its inputs in memory, not in a cache that a real model has overwritten
            begin.record()
            call()
            end.record()
        torch.cuda.synchronize(self.device)
        return float(sum(begin.elapsed_time(end) for begin, end in events)) / count / 1e3


def _events() -> tuple[Any, Any]:
    event: Any = torch.cuda.Event
    return event(enable_timing=True), event(enable_timing=True)
