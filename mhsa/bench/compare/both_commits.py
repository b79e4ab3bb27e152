"""All benchmarks of two commits: both sides in one process where that can be, and where it cannot, a process of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.rounds import BenchmarkRounds, add_rounds
from mhsa.bench.compare.separate_processes import Apart
from mhsa.bench.compare.settings import Terms
from mhsa.bench.compare.shared_process import Together
from mhsa.bench.git.worktrees import Checkout


class BothCommits:
    """Measures; ``found`` holds what is known, in the order of the benchmarks.

    Args:
        checkouts: the files of each side.
        benchmarks: what is compared.
        terms: of the comparison.
        show: is given words for the progress.
    """

    def __init__(
        self, checkouts: Mapping[str, Checkout], benchmarks: Sequence[Benchmark], terms: Terms, show: Callable[[str], None]
    ) -> None:
        self.terms = terms
        self.found = [BenchmarkRounds(benchmark, apart=terms.apart) for benchmark in benchmarks]
        self.notes: list[str] = []
        self._together = Together(checkouts, terms, show)
        self._apart = Apart(checkouts, terms, show)

    @property
    def machine(self) -> dict[str, Any]:
        """What they were measured on."""
        return self._together.machine or self._apart.machine

    def measure(self) -> None:
        """Measure until everything is decided or the time is over; what has ended before is left as it is."""
        self._decide([found for found in self.found if not found.apart])
        # In the first round it was seen which sides cannot share a process.
        again = [found for found in self.found if found.outcome == "apart"]
        for found in again:
            found.outcome, found.apart = "timed", True
        self._decide([found for found in self.found if found.apart])
        causes = dict.fromkeys(words for found in again for words in found.reasons.values() if found.log_ratios)
        for words in causes:
            self.notes.append(
                f"the two commits cannot be loaded into one process ({words}), so each had processes of its own: what matters "
                f"is then {100 * self.terms.threshold_of(apart=True):g} %"
            )
        for found in again:
            if found.outcome == "timed":
                found.reasons = {}

    def _decide(self, founds: Sequence[BenchmarkRounds]) -> None:
        apart = any(found.apart for found in founds)
        add_rounds(
            [found for found in founds if found.outcome == "timed"], self._apart if apart else self._together,
            threshold=self.terms.threshold_of(apart=apart), budget=self.terms.budget_of(apart=apart),
            benchmarks=len(self.found), most=self.terms.most_of(apart=apart),
        )  # fmt: skip
