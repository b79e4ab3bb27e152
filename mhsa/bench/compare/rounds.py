"""Rounds are added until every benchmark is decided or the time is over; in each, fresh processes give one ratio each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mhsa.bench.compare.accepted.acceptance import Allowance
from mhsa.bench.compare.accepted.figures import Figures
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.sequential_test import FEWEST, Decision, decide, planned_looks
from mhsa.bench.compare.settings import MOST


@dataclass
class BenchmarkRounds:
    """What was found of one benchmark until now.

    Attributes:
        log_ratios: log(head / base), one of each round.
        seconds: of one call, (base, head), of each round.
        counters: of each side, where they were counted.
        outcome: "timed", or what ended it: "wrong", "suspect", "n/a"; "same" if both are the same code; "apart" if the
            sides cannot be in one process.
        reasons: of each side, where there is something to say.
        apart: whether each side had processes of its own.
        allowance: what is accepted of head: it is judged against so much more than base.
    """

    benchmark: Benchmark
    log_ratios: list[float] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)
    counters: dict[str, dict[str, int | None]] = field(default_factory=dict)
    outcome: str = "timed"
    reasons: dict[str, str] = field(default_factory=dict)
    apart: bool = False
    decision: Decision | None = None
    allowance: Allowance | None = None

    def end(self, outcome: str, reasons: dict[str, str]) -> None:
        """Note what stands in the way of a time."""
        self.outcome, self.reasons = outcome, reasons

    @property
    def goes_on(self) -> bool:
        """Whether a further round could decide it."""
        return self.outcome == "timed" and (self.decision is None or self.decision.verdict == "cannot tell")


def add_rounds(
    founds: Sequence[BenchmarkRounds],
    add: Callable[[list[BenchmarkRounds], int, str], None],
    *,
    threshold: float,
    budget: float,
    benchmarks: int,
    most: int = MOST,
) -> None:
    """Add rounds to what is undecided, and decide.

    Args:
        founds: what is to be decided.
        add: adds one round: it is given what is left, the number of the round, from 1 on, and words for the progress.
        threshold: the smallest slow-down that matters.
        budget: seconds; four rounds are added however long they take.
        benchmarks: of the whole run: they share its error.
        most: rounds, however much time there is.
    """
    started = time.monotonic()
    looks = planned_looks(most=most)
    left = list(founds)
    took = spent = 0.0
    for number in range(1, most + 1):
        # A machine that is faster from now on leaves time for more, but those would be unplanned looks.
        if not left or number > looks[-1] or (number > FEWEST and spent + took > budget):
            break
        if number == FEWEST:
            # The first round has more to do than the others, the last one showed how long those take: so it is known how many
            # there is time for, and looks are planned for so many before any ratio is looked at.
            looks = planned_looks(most=min(most, max(FEWEST, number - 1 + int((budget - spent) / took))))
        add(left, number, f"round {number}, {spent:.0f} of {budget:g} s")
        took, spent = time.monotonic() - started - spent, time.monotonic() - started
        if number in looks:
            for found in left:
                _decide(found, threshold, looks, benchmarks, last=False)
        left = [found for found in left if found.goes_on]
    for found in left:
        _decide(found, threshold, looks, benchmarks, last=True)


def _decide(found: BenchmarkRounds, threshold: float, looks: Sequence[int], benchmarks: int, *, last: bool) -> None:
    if found.outcome != "timed" or not found.log_ratios:
        return
    # The same test, of head against base times what is accepted: that is fixed before anything is measured.
    accepted = found.allowance.figures if found.allowance else Figures()
    judged = [ratio - accepted.shift for ratio in found.log_ratios]
    decision = decide(judged, threshold=threshold, looks=looks, benchmarks=benchmarks, last=last)
    found.decision = decision.times(accepted.ratio)
