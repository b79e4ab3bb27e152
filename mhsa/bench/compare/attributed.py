"""Which comparisons are attributed: those that are slower or cost more, the worst first, as far as there is time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mhsa.bench.compare.attribution.client import Asked, attributions_of
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.comparison import Comparison
from mhsa.bench.compare.settings import Terms
from mhsa.bench.git.worktrees import Checkout

MOST = 6  # benchmarks: some four seconds each
_IN_BYTES = ("peak", "allocated")


def attributed(
    pairs: Sequence[tuple[Benchmark, Comparison]], checkouts: Mapping[str, Checkout], terms: Terms,
    show: Callable[[str], None], notes: list[str], most: int | None = None,
) -> list[Comparison]:  # fmt: skip
    """Return the comparisons, with attributions of those that are slower or cost more; add what there is to note.

    Args:
        pairs: each benchmark and what was found of it.
        checkouts: the files of each side.
        terms: of the comparison.
        show: is given words for the progress.
        notes: to be added to.
        most: benchmarks that are attributed; None for :data:`MOST`.
    """
    most = most or MOST
    found = [comparison for _, comparison in pairs]
    if terms.slow_down:
        return found  # it is no line that makes it slower
    wanted = [n for n, c in enumerate(found) if c.verdict in ("slower", "costs more")]
    wanted.sort(key=lambda n: -_worth(found[n]))
    if left := wanted[most:]:
        notes.append(f"where the difference comes from was looked for in {most} benchmarks; in {len(left)} more it was not")
    try:
        for apart in (False, True):
            numbers = [n for n in wanted[:most] if found[n].apart == apart]
            if not numbers:
                continue
            asked = [_asked(pairs[n][0], found[n]) for n in numbers]
            attributions = attributions_of(checkouts, asked, apart=apart, memory=terms.memory, timeout=terms.timeout, show=show)
            for n, attribution in zip(numbers, attributions, strict=True):
                found[n] = replace(found[n], attribution=attribution)
    except KeyboardInterrupt:
        notes.append("interrupted after the verdicts, so which lines make the difference is not known")
    return found


def _worth(comparison: Comparison) -> float:
    return comparison.decision.ratio if comparison.verdict == "slower" and comparison.decision else 0.0


def _asked(benchmark: Benchmark, comparison: Comparison) -> Asked:
    """Return in what the difference is, and how much of it there is; of what is counted the profile knows that itself."""
    if comparison.verdict == "slower" and (decision := comparison.decision):
        base, head = comparison.seconds
        return Asked(benchmark, "seconds", head - base, base * (decision.low - 1.0), base * (decision.high - 1.0), base)
    return Asked(benchmark, "bytes" if all(i.what in _IN_BYTES for i in comparison.increases) else "calls")
