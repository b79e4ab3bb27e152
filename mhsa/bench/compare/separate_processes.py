"""Time base and head in separate processes, each relative to its own baseline.

A process draws a bias of 10 to 15 % for its times; that of the ratio to a baseline that takes turns with it is 2 to 4 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from mhsa.bench.compare.benchmark import SIDES, Benchmark
from mhsa.bench.compare.rounds import BenchmarkRounds
from mhsa.bench.compare.settings import Terms
from mhsa.bench.compare.unchanged_code import WORDS, are_the_same
from mhsa.bench.git.worktrees import Checkout
from mhsa.bench.measure.measurement import BASELINE, REFUSED, Contender, Measurement
from mhsa.bench.measure.run import Moment, Run, run
from mhsa.bench.measure.worker import Plan

_BLOCKS = 0.5  # seconds of blocks for a benchmark: more of them leave the process' own bias, which is larger, as it is


class Apart:
    """Adds rounds; ``machine`` describes where."""

    def __init__(self, checkouts: Mapping[str, Checkout], terms: Terms, show: Callable[[str], None]) -> None:
        self.checkouts, self.terms, self.show = checkouts, terms, show
        self.machine: dict[str, Any] = {}

    def __call__(self, left: Sequence[BenchmarkRounds], number: int, words: str) -> None:
        """Add a round: neighbours in time, and the sides alternate in coming first."""
        measured: dict[str, dict[str, Measurement]] = {}
        for side in SIDES if number % 2 else SIDES[::-1]:
            measured[side] = self._side(side, [found.benchmark for found in left], number, f"{words}, {side}")
        for found in left:
            self._note(found, {side: measured[side].get(found.benchmark.id) for side in SIDES})

    def _side(self, side: str, benchmarks: Sequence[Benchmark], number: int, words: str) -> dict[str, Measurement]:
        """Measure one side; return what was found, by the ids of benchmarks."""
        found: dict[str, Measurement] = {}
        for device in dict.fromkeys(
            b.request.device for b in benchmarks
        ):  # a process that has used CUDA does not measure the CPU
            here = [b for b in benchmarks if b.request.device == device]
            result = self._run(side, here, number, lambda moment: self.show(f"{words}: {moment.what} {moment.name}"))
            self.machine = self.machine or result.machine
            by_conditions = {(m.implementation, m.passes, m.shape.name, m.dtype): m for m in result.measurements}
            for b in here:
                measurement = by_conditions.get((_name(b), b.passes, b.shape.name, b.dtype))
                if measurement is not None:
                    found[b.id] = measurement
        return found

    def _run(self, side: str, benchmarks: Sequence[Benchmark], number: int, listen: Callable[[Moment], None]) -> Run:
        checkout = self.checkouts[side]
        contenders = {
            _name(b): Contender(_name(b), replace(b.request, folder=checkout.folder)) for b in benchmarks
        }  # fmt: skip
        cells = dict.fromkeys((b.shape, b.dtype, b.request.device) for b in benchmarks)
        plan = Plan(
            tuple(contenders.values()), tuple(cells), tuple(dict.fromkeys(b.passes for b in benchmarks)), _BLOCKS,
            counted=number == 1, checked=number == 1, memory=self.terms.memory, checkout=checkout, keeping=True,
            slow_down=(self.terms.slow_down if side == "head" else 0.0) if self.terms.slow_down else None,
        )  # fmt: skip
        result = run(plan, listen, self.terms.timeout)
        if result.interrupted:
            raise KeyboardInterrupt
        return result

    def _note(self, found: BenchmarkRounds, sides: Mapping[str, Measurement | None]) -> None:
        for outcome in REFUSED:
            if refused := {side: m.reason for side, m in sides.items() if m is not None and m.outcome == outcome}:
                found.end(outcome, refused)
                return
        base, head = (sides[side] for side in SIDES)
        if base is None or head is None or not (base.ratio and base.seconds and head.ratio and head.seconds):
            reasons = {side: m.reason if m else "it was not measured" for side, m in sides.items() if not m or m.reason}
            found.end("n/a", reasons)
            return
        found.log_ratios.append(math.log(head.ratio / base.ratio))
        found.seconds.append((base.seconds, head.seconds))
        found.counters = found.counters or {"base": asdict(base.counters), "head": asdict(head.counters)}
        if self.terms.changed is not None and are_the_same(self.terms.changed, None):
            found.end("same", {"both": WORDS})


def _name(benchmark: Benchmark) -> str:
    """Return a contender's name, which must not be that of the baseline."""
    request = benchmark.request
    return request.spec if request.label == BASELINE else request.label
