"""The gate tried on this machine: identical code, and code with a known slow-down, compared again and again."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SLOW_DOWNS = (0.03, 0.05, 0.10, 0.20)
COMPARISONS = 200  # of identical code: with one per cent of false alarms, two are expected
DETECTIONS = 40  # of each slow-down, at least: with 95 % found, two are missed
ALARMS, FOUND = 0.01, 0.95  # what the gate promises: shares called slower


@dataclass(frozen=True)
class BenchmarkVerdict:
    """On one benchmark of one run: the estimate of head / base, and that of each round."""

    benchmark: str
    verdict: str
    ratio: float
    rounds: tuple[float, ...]
    words: str = ""


@dataclass(frozen=True)
class SelfTestRun:
    """One run of the gate, with head slower by a share, and how many seconds it took."""

    slow_down: float
    seconds: float
    verdicts: tuple[BenchmarkVerdict, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Tally:
    """All runs with one slow-down.

    Attributes:
        called: how many comparisons were given each verdict.
        ratio: median of head / base.
        seconds: of each run.
    """

    slow_down: float
    called: dict[str, int]
    ratio: float
    seconds: tuple[float, ...]

    @property
    def comparisons(self) -> int:
        """How many there were."""
        return sum(self.called.values())

    @property
    def accused(self) -> int:
        """How many were called slower, or more costly."""
        return self.called.get("slower", 0) + self.called.get("costs more", 0)

    @property
    def share(self) -> float:
        """Of those that were."""
        return self.accused / self.comparisons

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the probability to be called slower."""
        return exact_interval(self.accused, self.comparisons)

    def keeps(self, threshold: float) -> bool | None:
        """Whether it is what the gate promises; None for a slow-down below the threshold, of which it promises nothing."""
        if not self.slow_down:
            return self.share <= ALARMS
        return self.share >= FOUND if self.slow_down >= threshold else None


def promised(threshold: float) -> tuple[float, ...]:
    """Return the slow-downs that are tried: something is promised of those, at the least of the threshold itself."""
    return tuple(s for s in SLOW_DOWNS if s >= threshold) or (threshold,)


def planned(benchmarks: int, runs: int | None, slow_downs: Sequence[float]) -> list[float]:
    """Return the slow-down of each run, mixed evenly: an hour in which the machine is busy affects all of them.

    Args:
        benchmarks: of a run.
        runs: with identical code; None for as many as give 200 comparisons. Slow-downs have a fifth of that each.
        slow_downs: in addition to identical code.
    """
    same = runs or math.ceil(COMPARISONS / benchmarks)
    each = max(1, math.ceil(same * DETECTIONS / COMPARISONS))
    counts = {0.0: same, **dict.fromkeys(slow_downs, each)}
    turns = [((n + 0.5) / count, slow_down) for slow_down, count in counts.items() for n in range(count)]
    return [slow_down for _, slow_down in sorted(turns)]


def tallies(trials: Sequence[SelfTestRun]) -> Iterator[Tally]:
    """Yield what all runs with each slow-down gave, smallest first; what could not be measured counts as "n/a"."""
    for slow_down in sorted({trial.slow_down for trial in trials}):
        here = [trial for trial in trials if trial.slow_down == slow_down]
        verdicts = [v for trial in here for v in trial.verdicts]
        called: dict[str, int] = {}
        for v in verdicts:
            called[v.verdict] = called.get(v.verdict, 0) + 1
        ratio = statistics.median(v.ratio for v in verdicts)
        yield Tally(slow_down, called, ratio, tuple(trial.seconds for trial in here))


def exact_interval(hits: int, trials: int) -> tuple[float, float]:
    """Return limits of a probability, each of which is wrong at most once in forty times (Clopper and Pearson 1934)."""

    def above(p: float) -> float:  # P(at least ``hits``)
        return math.fsum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits, trials + 1))

    def below(p: float) -> float:  # P(at most ``hits``)
        return math.fsum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits + 1))

    low = 0.0 if not hits else _root(lambda p: above(p) > 0.025)
    high = 1.0 if hits == trials else _root(lambda p: below(p) < 0.025)
    return low, high


def _root(beyond: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2
