"""Two versions of one subject in one process, timed in turns: base, head, head, base, in blocks of milliseconds."""

from __future__ import annotations

import contextlib
import math
import secrets
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict

import torch

from mhsa.bench.compare.benchmark import SIDES, Benchmark, Pair
from mhsa.bench.compare.building import built_at
from mhsa.bench.compare.unchanged_code import folder_of
from mhsa.bench.git.isolated_imports import Side
from mhsa.bench.measure.artificial_slowdown import slowed
from mhsa.bench.measure.cell import reason_of
from mhsa.bench.measure.clock import Clock
from mhsa.bench.measure.counting import count
from mhsa.bench.measure.expected import Oracle
from mhsa.bench.measure.honesty.baseline_time import of_the_baseline_at
from mhsa.bench.measure.honesty.examine import examine_again, examined, explained
from mhsa.bench.measure.honesty.fastest_possible import too_fast
from mhsa.bench.measure.honesty.fresh_calls import FreshCalls
from mhsa.bench.measure.honesty.refused import TimeRefused
from mhsa.bench.measure.implementation import Built, Loaded, untimed

_PAIRS = 6  # of blocks, at least, so that there is a median
_SOME = 16  # pairs, from which on quartiles say how far a median may be off
# Standard error of a process' median, of the log ratio: ten processes of 1.2 % find 3 % (docs/gate.md). What they differ in
# in addition is at most 0.5 %, so time for more is better spent on the benchmarks that scatter, and on more processes.
_PRECISE = 0.008
Calling = Callable[[str, str], None]


class Pairing:
    """Loads both versions and times them.

    Args:
        sides: for each of :data:`SIDES` a context in which that version's modules are found.
        folders: for each the folder that subjects are loaded from.
        budget: most seconds of blocks for one benchmark, unless one call takes seconds.
        checked: whether results are compared with the oracle, as in the first process.
        slow_down: by which share head is made slower, to see whether that is found.
        calling: is called with the benchmark and what is about to be done, for which side.
    """

    def __init__(
        self,
        sides: Mapping[str, Side],
        folders: Mapping[str, str],
        budget: float,
        *,
        checked: bool = True,
        slow_down: float = 0.0,
        calling: Calling = lambda benchmark, what: None,
    ) -> None:
        self.sides, self.folders, self.budget, self.calling = sides, folders, budget, calling
        self.checked, self.slow_down = checked, slow_down
        # Which side is loaded and warmed first is drawn: the memory that it gets, say, must favour neither side over processes.
        self.order = secrets.choice([SIDES, SIDES[::-1]])
        self._loaded = Loaded()

    def measure(self, benchmark: Benchmark, *, counted: bool) -> Pair:
        """Compare with the oracle, then with each other."""
        if words := untimed(benchmark.shape, benchmark.passes):
            return Pair("n/a", reasons={"both": words})
        built: dict[str, Built] = {}
        for side in self.order:
            self.calling(benchmark.id, f"loading {side}")
            found = built_at(self._loaded, benchmark, side, self.sides[side], self.folders[side])
            if isinstance(found, str):
                # What the second cannot do, perhaps only since the first is there, it is asked for in a process of its own.
                return Pair("apart" if built else "n/a", reasons={side: found})
            built[side] = found
        if why := self._cannot_be_together():
            return Pair("apart", reasons={"both": why})
        known = Oracle()
        calls = self._examine(benchmark, built, known)
        if isinstance(calls, Pair):
            return calls
        if self.slow_down:
            for side, call in calls.items():
                slowed(call, self.slow_down if side == "head" else 0.0, benchmark.request.device)
        self.calling(benchmark.id, "timing")
        with torch.set_grad_enabled(benchmark.passes == "training"):
            return self._time(benchmark, built, calls, known, counted=counted)

    def _cannot_be_together(self) -> str:
        if once := self.sides["base"].replaced():
            return f"both commits register {', '.join(once)}, and torch keeps only the last"
        base, head = (self.sides[side].compiled() for side in SIDES)
        differing = [name for name in base if name in head and base[name].read_bytes() != head[name].read_bytes()]
        return f"extension modules that differ: {', '.join(differing)}" if differing else ""

    def _examine(self, benchmark: Benchmark, built: Mapping[str, Built], known: Oracle) -> dict[str, FreshCalls] | Pair:
        """Return the calls that are timed, or what stands in the way; results are checked where this process does that."""
        calls: dict[str, FreshCalls] = {}
        refused: dict[str, TimeRefused] = {}
        for side in SIDES if self.checked else self.order:
            self.calling(benchmark.id, f"checking {side}")
            try:
                with self.sides[side]:
                    one, passes = built[side], benchmark.passes
                    calls[side] = examined(one, passes, known) if self.checked else FreshCalls(one, passes, None)
            except TimeRefused as error:
                refused[side] = error
            except Exception as error:
                return Pair("n/a", reasons={side: reason_of(error)})
        return _pair_of(refused) if refused else calls

    def _time(
        self, benchmark: Benchmark, built: Mapping[str, Built], calls: dict[str, FreshCalls], known: Oracle, *, counted: bool
    ) -> Pair:  # fmt: skip
        clock = Clock(benchmark.request.device)
        at = ""

        def block(side: str, number: int = 0) -> float:
            nonlocal at
            at = side
            with self.sides[side]:
                return clock.block(calls[side], number) if number else clock.calibrate(calls[side])

        ratios: list[float] = []
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        spent = 0.0
        try:
            number = max(int(block(side)) for side in self.order)  # of calls in a block, the same for both
            while _goes_on(ratios, spent, self.budget):
                # The side that begins alternates: what the first block after a change of sides pays is paid by both.
                first, second = self.order if len(ratios) % 4 == 0 else self.order[::-1]
                # Neighbours make a ratio of their own: what hits one block then spoils one, and not that of a whole quad.
                for pair in ((first, second), (second, first)):
                    took: dict[str, float] = {}
                    for side in pair:
                        took[side] = block(side, number)
                        seconds[side].append(took[side])
                        spent += took[side] * number
                    ratios.append(math.log(took["head"] / took["base"]))
        except TimeRefused as error:
            with self.sides[at]:
                return _pair_of({at: explained(error, built[at], benchmark.passes, calls[at])})
        counters = {}
        if counted:
            for side in SIDES:
                self.calling(benchmark.id, f"counting {side}")
                # It was timed: where counting fails, the instruments need more than there is.
                with self.sides[side], contextlib.suppress(Exception):
                    counters[side] = asdict(count(calls[side], benchmark.request.device))
        both = statistics.median(seconds["base"]), statistics.median(seconds["head"])
        medians = dict(zip(SIDES, both, strict=True))
        if self.checked and (refused := self._examine_again(benchmark, built, calls, medians, known)):
            return _pair_of(refused)
        used = {folder_of(path) for side in SIDES for path in self.sides[side].paths()}
        return Pair("timed", statistics.median(ratios), both, len(ratios), counters=counters, used=tuple(sorted(used)))

    def _examine_again(
        self, benchmark: Benchmark, built: Mapping[str, Built], calls: Mapping[str, FreshCalls],
        seconds: Mapping[str, float], known: Oracle,
    ) -> dict[str, TimeRefused]:  # fmt: skip
        """Return why a side that was timed has no time after all."""
        refused: dict[str, TimeRefused] = {}
        passes = benchmark.passes
        baseline = of_the_baseline_at(built["head"], passes)
        for side in SIDES:
            self.calling(benchmark.id, f"checking {side} again")
            try:
                with self.sides[side]:
                    examine_again(built[side], passes, calls[side], known)
            except TimeRefused as error:
                refused[side] = error
                continue
            ratio = seconds[side] / baseline
            if words := too_fast(built[side], ratio, ratio):
                refused[side] = TimeRefused("suspect", words)
        return refused


def _pair_of(refused: Mapping[str, TimeRefused]) -> Pair:
    """Return what stands in the way of a time; a wrong result counts for more than a suspicion."""
    outcome = "wrong" if any(error.outcome == "wrong" for error in refused.values()) else "suspect"
    return Pair(outcome, reasons={side: error.reason for side, error in refused.items()})


def _goes_on(ratios: list[float], spent: float, budget: float) -> bool:
    """Whether further blocks are timed: until the median is known, or the time is over.

    What ends it is how much the ratios scatter, whatever they are: that favours no side.
    """
    if len(ratios) < _PAIRS:
        return spent < 8.0 * budget or not ratios  # calls of seconds: what there is must do
    if spent >= budget:
        return False
    if len(ratios) < _SOME:
        return True
    low, _, high = statistics.quantiles(ratios, n=4)
    # Of normal numbers the quartiles are 1.349 standard deviations apart, and a median scatters 1.2533 as much as a mean.
    return 1.2533 * (high - low) / 1.349 / math.sqrt(len(ratios)) > _PRECISE
