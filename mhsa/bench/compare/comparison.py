"""What ``mhsa compare`` finds: a verdict for each benchmark, exact differences of what was counted, and an exit code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mhsa.bench.compare.accepted.acceptance import Allowance
from mhsa.bench.compare.attribution.attribute import Attribution
from mhsa.bench.compare.sequential_test import Decision
from mhsa.bench.measure.measurement import REFUSED

# What is counted, and the words for more of it; all of it is exact, so every increase is one.
COUNTED = {
    "peak": "more memory",
    "operators": "more operators",
    "flops": "more floating point operations",
    "allocated": "more bytes allocated",
    "kernels": "more kernels",
}
# Worst first: the verdict of a run is the first of these that a benchmark has.
ORDER = ("wrong", "suspect", "slower", "costs more", "n/a", "cannot tell", "accepted", "not slower")


@dataclass(frozen=True)
class Increase:
    """More of something that is counted."""

    what: str
    base: int
    head: int

    def __str__(self) -> str:
        share = f", {self.head / self.base:.2f}x" if self.base else ""
        return f"{COUNTED[self.what]} ({self.base} to {self.head}{share})"


@dataclass(frozen=True)
class Comparison:
    """One benchmark.

    Attributes:
        benchmark: its id.
        decision: on the times; None where there are none, or the code is the same.
        seconds: of one call, (base, head), medians over processes.
        increases: of what is counted.
        outcome: "timed", "same" (code at both commits), "wrong", "suspect" or "n/a".
        reasons: of each side, where there is something to say.
        apart: whether each side had processes of its own.
        rounds: head / base in each round.
        allowance: what is accepted of head; ``decision`` and ``increases`` are of what goes beyond it.
        needed: whether head is slower, or takes more, than base, so that the allowance decides.
        slack: whether head is faster than the allowance by as much as matters.
        attribution: the lines that make head slower or cost more, where that was looked for.
    """

    benchmark: str
    decision: Decision | None = None
    seconds: tuple[float, float] = (0.0, 0.0)
    increases: tuple[Increase, ...] = ()
    outcome: str = "timed"
    reasons: Mapping[str, str] = field(default_factory=dict)
    apart: bool = False
    rounds: tuple[float, ...] = ()
    allowance: Allowance | None = None
    needed: bool = False
    slack: bool = False
    attribution: Attribution | None = None

    @property
    def verdict(self) -> str:
        """One of :data:`ORDER`."""
        if self.outcome in REFUSED and "head" not in self.reasons:
            return "n/a"  # a wrong or suspect base has no time that head could be compared with
        if self.outcome == "same":
            return "not slower"
        if self.outcome != "timed" or self.decision is None:
            return self.outcome if self.outcome != "timed" else "cannot tell"
        if self.decision.verdict == "slower":
            return "slower"
        if self.increases:
            return "costs more"
        return "accepted" if self.needed and self.decision.verdict == "not slower" else self.decision.verdict

    @property
    def words(self) -> str:
        """What is to be said in addition to the verdict."""
        reasons = [reason if side == "both" else f"{side}: {reason}" for side, reason in self.reasons.items()]
        return "; ".join([*reasons, *map(str, self.increases)])

    def as_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        data = {**asdict(replace(self, allowance=None, attribution=None)), "verdict": self.verdict, "words": self.words}
        del data["allowance"], data["needed"], data["slack"]
        data["accepted"] = self._accepted()
        data["attribution"] = self.attribution.as_dict() if self.attribution else None
        if self.decision is not None and math.isinf(self.decision.high):
            data["decision"]["high"] = None  # JSON has no infinity
        return data

    def _accepted(self) -> dict[str, Any] | None:
        if self.allowance is None:
            return None
        figures = self.allowance.figures
        by = [acceptance.as_dict(self.benchmark) for acceptance in self.allowance.by]
        return {"ratio": figures.ratio, "more": dict(figures.more), "needed": self.needed, "by": by}


def beyond(increases: Sequence[Increase], more: Mapping[str, int]) -> tuple[Increase, ...]:
    """Return the increases that are larger than what is accepted of them."""
    return tuple(i for i in increases if i.head - i.base > more.get(i.what, 0))


def increases_of(counters: Mapping[str, Mapping[str, int | None]]) -> tuple[Increase, ...]:
    """Return what head takes more of than base."""
    base, head = counters.get("base", {}), counters.get("head", {})
    found = []
    for what in COUNTED:
        before, after = base.get(what), head.get(what)
        if before is not None and after is not None and after > before:
            found.append(Increase(what, before, after))
    return tuple(found)


def overall(comparisons: Sequence[Comparison]) -> str:
    """Return the worst verdict."""
    return min((c.verdict for c in comparisons), key=ORDER.index, default="n/a")


def exit_code(comparisons: Sequence[Comparison], *, allow_undecided: bool = False) -> int:
    """0: nothing is slower or costs more, but for what is accepted; 1: something is, or is wrong or suspect; 2: undecided."""
    verdict = overall(comparisons)
    if verdict in (*REFUSED, "slower", "costs more"):
        return 1
    if verdict in ("accepted", "not slower"):
        return 0
    return 0 if verdict == "cannot tell" and allow_undecided else 2
