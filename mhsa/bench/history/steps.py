"""Where a series of figures makes a step: found by asv's solver for the ratio, exact for what is counted."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mhsa.bench.compare.accepted.acceptance import Acceptance
from mhsa.bench.compare.comparison import COUNTED, increases_of
from mhsa.bench.git.repository import Commit
from mhsa.bench.measure.measurement import REFUSED, Measurement

THRESHOLD = 0.05  # of the ratio: smaller steps are within what a process draws by chance
# The standard deviation of a ratio over processes is 2 to 4 %, to which comes what the blocks of one process leave open. A
# step must explain this many standard deviations, summed over commits: then less than one history in a hundred shows one by
# chance, and a step of 17 % in the middle is found in 99 of them.
_NOISE, _PENALTY = 0.03, 5.0
_ENOUGH = 10  # figures, from which on the series itself shows its noise, in spite of a few steps
_LESS = {
    "peak": "less memory",
    "operators": "fewer operators",
    "flops": "fewer floating point operations",
    "allocated": "fewer bytes allocated",
    "kernels": "fewer kernels",
}


@dataclass(frozen=True)
class Step:
    """A commit at which a benchmark changed.

    Attributes:
        words: "slower", "faster", "more memory", ..., "wrong" or "suspect".
        benchmark: its id.
        before, after: levels of the ratio, or what was counted; None for a wrong one.
        last: the last commit that was measured before, in full; None for a wrong one.
        commit: the first that was measured after.
        between: how many commits that lie between the two have no figure.
        reason: of a wrong one.
        accepted: what says that it is known and meant, if anything does.
    """

    words: str
    benchmark: str
    commit: Commit
    last: Commit | None = None
    before: float | None = None
    after: float | None = None
    between: int = 0
    reason: str = ""
    accepted: Acceptance | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        data = asdict(replace(self, accepted=None))
        accepted = self.accepted.as_dict(self.benchmark) if self.accepted else None
        return data | {"commit": self.commit.sha, "last": self.last.sha if self.last else None, "accepted": accepted}


def steps_of(benchmark: str, commits: Sequence[Commit], series: Sequence[Measurement | None]) -> list[Step]:
    """Return the steps of a benchmark, in the order of commits.

    Args:
        benchmark: its id.
        commits: oldest first.
        series: what is known at each; None where nothing is.
    """
    known = [(n, m) for n, m in enumerate(series) if m is not None and m.outcome == "measured"]
    found = [*_of_ratio(benchmark, commits, known), *_of_counters(benchmark, commits, known)]
    wrong = [
        Step(m.outcome, benchmark, commit, reason=m.reason)
        for n, (commit, m) in enumerate(zip(commits, series, strict=True))
        if m is not None and m.outcome in REFUSED and not _is_so_before(series, n, m.outcome)
    ]
    order = {commit.sha: n for n, commit in enumerate(commits)}
    return sorted([*found, *wrong], key=lambda step: order[step.commit.sha])


def _of_ratio(benchmark: str, commits: Sequence[Commit], known: Sequence[tuple[int, Measurement]]) -> list[Step]:
    figures = [(n, m) for n, m in known if m.ratio]
    bounds = levels([m for _, m in figures])
    found = []
    for (_, end, before), (start, _, after) in itertools.pairwise(bounds):
        if abs(math.log(after / before)) > math.log1p(THRESHOLD):
            old, new = figures[end - 1][0], figures[start][0]
            words = "slower" if after > before else "faster"
            found.append(Step(words, benchmark, commits[new], commits[old], before, after, new - old - 1))
    return found


def levels(figures: Sequence[Measurement]) -> list[tuple[int, int, float]]:
    """Return the pieces (from, to, level) in which a series of ratios is constant but for noise.

    asv's solver minimizes the sum of deviations from the levels and a penalty for each piece. Its pages let it guess the
    penalty from the series, and so miss half of the steps of 17 % in histories of 20 commits. The noise is known, so here
    deviations are counted in standard deviations, of logarithms, and the penalty is fixed.
    """
    if not figures:
        return []
    from asv.step_detect import solve_potts

    logs = [math.log(m.ratio or 1.0) for m in figures]
    sds = [_sd(m) for m in figures]
    scale = 1.0
    if len(logs) >= _ENOUGH:  # a machine that is noisier than that: the median deviation is 0.67 standard deviations
        pairs = itertools.pairwise(zip(logs, sds, strict=True))
        scale = max(scale, statistics.median(abs(b - a) / math.hypot(r, s) for (a, r), (b, s) in pairs) / 0.67)
    ends, values, _ = solve_potts(logs, [1 / sd for sd in sds], _PENALTY * scale)
    starts = [0, *ends[:-1]]
    return [(start, end, math.exp(value)) for start, end, value in zip(starts, ends, values, strict=True)]


def _sd(m: Measurement) -> float:
    """Return the standard deviation of a ratio's logarithm: over processes, and within this one."""
    within = math.log(m.high / m.low) / 3.92 if m.high and m.low else 0.0  # from end to end of an interval of 95 %
    return math.hypot(_NOISE, within)


def _of_counters(benchmark: str, commits: Sequence[Commit], known: Sequence[tuple[int, Measurement]]) -> list[Step]:
    found = []
    for (old, a), (new, b) in itertools.pairwise(known):
        before, after = asdict(a.counters), asdict(b.counters)
        more = [(COUNTED[i.what], i.base, i.head) for i in increases_of({"base": before, "head": after})]
        less = [(_LESS[i.what], i.head, i.base) for i in increases_of({"base": after, "head": before})]
        for words, base, head in (*more, *less):
            found.append(Step(words, benchmark, commits[new], commits[old], base, head, new - old - 1))
    return found


def _is_so_before(series: Sequence[Measurement | None], n: int, outcome: str) -> bool:
    """Whether the last known commit before was wrong, or suspect, as well: then nothing changed."""
    last = next((m for m in reversed(series[:n]) if m is not None), None)
    return last is not None and last.outcome == outcome
