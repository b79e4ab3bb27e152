"""What is said of benchmarks that could not be decided: how far the time reached, and how much of it would do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mhsa.bench.compare.rounds import BenchmarkRounds
from mhsa.bench.compare.settings import Terms
from mhsa.bench.report import format as wording


def about_undecided(founds: Sequence[BenchmarkRounds], terms: Terms) -> list[str]:
    """Return a note for those whose sides share a process, and one for those whose sides do not."""
    notes = []
    for apart in (False, True):
        left = [f for f in founds if f.apart == apart and f.log_ratios and f.goes_on]
        if not left:
            continue
        names = left[0].benchmark.id if len(left) == 1 else f"{len(left)} benchmarks"
        done, most = max(len(f.log_ratios) for f in left), terms.most_of(apart=apart)
        budget = terms.budget_of(apart=apart)
        if done >= most:
            notes.append(
                f"{names} cannot be told after all {most} rounds: the machine is too busy; try again when it is less so"
            )
            continue
        longest = max(seconds for f in left for pair in f.seconds for seconds in pair)
        minutes = math.ceil(1.2 * budget * most / done / 60.0)
        notes.append(
            f"{names} cannot be told within {budget:g} s: a call takes up to {wording.seconds(longest)}, so there was time for "
            f"{done} rounds; --budget {60 * minutes} has time for {most}"
        )
    return notes
