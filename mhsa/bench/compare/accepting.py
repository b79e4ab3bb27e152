"""``mhsa compare --accept REASON``: what was found slower is kept with its figures, and is no longer held against head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mhsa.bench.compare.accepted.acceptance import Acceptance, Allowance
from mhsa.bench.compare.accepted.figures import Figures, together
from mhsa.bench.compare.accepted.file import NAME, keep, today
from mhsa.bench.compare.comparison import Comparison
from mhsa.bench.report import format as wording
from mhsa.records.errors import UsageError

TO_ACCEPT = ("slower", "costs more")


def reason_of(given: str) -> str:
    """Return the reason in one line; raise a UsageError where there is none."""
    reason = " ".join(given.split())
    if not reason:
        raise UsageError(
            '--accept needs a reason, which stays in the repository: --accept "the softmax is in float64, for accuracy", say'
        )
    return reason


def still_to_accept(c: Comparison) -> Figures | None:
    """Return what would have to be accepted of a benchmark in addition to what is; None where there is no such thing."""
    if c.decision is None or c.verdict not in TO_ACCEPT:
        return None
    already = c.allowance.figures if c.allowance is not None else Figures()
    ratio = round(c.decision.ratio / already.ratio, 3) if c.decision.verdict == "slower" else 1.0
    return Figures(ratio, {i.what: i.head - i.base - already.more.get(i.what, 0) for i in c.increases})


def accept(
    comparisons: Sequence[Comparison], reason: str, commits: dict[str, str], folder: Path
) -> tuple[list[Comparison], str]:
    """Keep what is slower or costs more in the file of a folder.

    Args:
        comparisons: what was found.
        reason: why it is meant.
        commits: base and head, in full.
        folder: of the file.

    Returns:
        The comparisons with what is accepted now, and what was done, in words.
    """
    found = {c.benchmark: figures for c in comparisons if (figures := still_to_accept(c)) is not None}
    if not found:
        return list(comparisons), "nothing was accepted: no benchmark is slower or costs more"
    acceptance = Acceptance(reason, found, today(), NAME, commits["base"], commits["head"])
    keep(folder / NAME, acceptance, {c.benchmark: _in_detail(c) for c in comparisons if c.benchmark in found})
    words = f"{folder / NAME} has what is accepted of {len(found)} {'benchmark' if len(found) == 1 else 'benchmarks'}"
    return [_accepted(c, acceptance) if c.benchmark in found else c for c in comparisons], words


def _in_detail(c: Comparison) -> str:
    """What was measured, of all of head: for those who read the file."""
    parts = [f"{w} to {h}" for w, h in [tuple(map(wording.seconds, c.seconds))]]
    if c.decision is not None:
        parts.append(f"{c.decision.ratio:.3f}x, {c.decision.low:.3f} to {c.decision.high:.3f}")
    return "; ".join([*parts, *map(str, c.increases)])


def _accepted(c: Comparison, acceptance: Acceptance) -> Comparison:
    """A comparison that the new acceptance has taken into account; only the next run measures by it."""
    assert c.decision is not None
    before = c.allowance or Allowance(Figures(), ())
    new = acceptance.figures[c.benchmark]
    allowance = Allowance(together([before.figures, new]), (*before.by, acceptance))
    return replace(c, decision=replace(c.decision, verdict="not slower"), increases=(), allowance=allowance, needed=True)
