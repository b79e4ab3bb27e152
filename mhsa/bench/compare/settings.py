"""The terms of a comparison: what matters, how long it may take, and how the two sides are measured."""

from __future__ import annotations

from dataclasses import dataclass

THRESHOLD = 0.03  # the smallest slow-down that matters: found in 14 processes where their standard deviation is 1.8 %
MOST = 14  # rounds: fourteen of ten benchmarks fit into three minutes
APART = 0.10  # the same for sides that have a process each, whose ratios to a baseline differ by some 5 %
TOGETHER_SECONDS = 180.0
APART_SECONDS = 600.0  # a process for each side, and ratios that scatter three times as much
APART_MOST = 30  # rounds: those of ten benchmarks take some twenty seconds, and find 10 % where rounds scatter by 8 %


@dataclass(frozen=True)
class Terms:
    """The terms; None for a default that depends on how the sides are measured.

    Attributes:
        threshold: the smallest slow-down that matters, 0.03 for 3 %; None for 3 %, or 10 % where sides are apart.
        budget: seconds for all measurements; None for 3 minutes, or 10 where sides are apart.
        apart: whether each side has processes of its own, as what cannot be loaded twice always has.
        slow_down: by which share head is made slower, to see whether that is found.
        changed: files that differ between the commits; None where that is not to shorten anything, as in a trial.
        memory: bytes that a process may take, or None.
        timeout: seconds that one step may take.
    """

    threshold: float | None = None
    budget: float | None = None
    apart: bool = False
    slow_down: float = 0.0
    changed: tuple[str, ...] | None = None
    memory: int | None = None
    timeout: float = 300.0

    def threshold_of(self, *, apart: bool) -> float:
        """Return the threshold for sides that are together or apart."""
        return self.threshold or (APART if apart else THRESHOLD)

    def budget_of(self, *, apart: bool) -> float:
        """Return the seconds for sides that are together or apart."""
        return self.budget or (APART_SECONDS if apart else TOGETHER_SECONDS)

    def most_of(self, *, apart: bool) -> int:
        """Return how many rounds there are at most for sides that are together or apart."""
        return APART_MOST if apart else MOST
