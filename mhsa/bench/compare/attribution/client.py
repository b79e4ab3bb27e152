"""Profiles benchmarks that are slower or cost more, in processes of their own, and names the lines that make the difference."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mhsa.bench.compare.attribution.attribute import Attribution, Measure, attribute
from mhsa.bench.compare.attribution.profile_record import CallProfile
from mhsa.bench.compare.attribution.worker import plan_of
from mhsa.bench.compare.benchmark import SIDES, Benchmark
from mhsa.bench.git.worktrees import Checkout
from mhsa.bench.measure.worker_client import run_worker


@dataclass(frozen=True)
class Asked:
    """What is to be attributed.

    Attributes:
        benchmark: of which.
        measure: in what it differs.
        total: how much of it there is; None for what the profile counts.
        low, high: between which that lies. What both sides take while they are profiled, in turns and unwatched, is at the very
            moments of the profile: if it lies between them, it is the difference that is attributed.
        base: seconds of base where the total is from; 0 if they are not known. The machine may be half as fast a minute later:
            what holds is how much more head takes in proportion, so all three are then taken at the speed of the profile.
    """

    benchmark: Benchmark
    measure: Measure
    total: float | None = None
    low: float = math.inf
    high: float = -math.inf
    base: float = 0.0

    def total_of(self, base: CallProfile, head: CallProfile) -> float | None:
        """Return the difference that is attributed."""
        if self.measure != "seconds" or self.total is None:
            return self.total
        seen = head.seconds - base.seconds
        speed = base.seconds / self.base if self.base > 0 and base.seconds > 0 else 1.0
        return seen if seen > 0 and self.low * speed <= seen <= self.high * speed else self.total * speed


def attributions_of(
    checkouts: Mapping[str, Checkout], asked: Sequence[Asked], *, apart: bool, memory: int | None = None,
    timeout: float = 300.0, show: Callable[[str], None] = lambda words: None,
) -> list[Attribution]:  # fmt: skip
    """Return an attribution of each benchmark, in their order.

    Args:
        checkouts: the files of each side.
        asked: what is to be attributed.
        apart: whether each side has a process of its own, because one cannot load both.
        memory: bytes that a process may take, or None.
        timeout: seconds for each benchmark.
        show: is given words for the progress.
    """
    profiles: dict[str, dict[str, CallProfile]] = {}
    problems: dict[str, str] = {}
    benchmarks = [one.benchmark for one in asked]
    for sides in (SIDES[:1], SIDES[1:]) if apart else (SIDES,):
        left = list(benchmarks)
        while left:  # one that ends the process ends no other
            done, reason = _profiled({side: checkouts[side] for side in sides}, left, memory, timeout, show, profiles, problems)
            if not reason or not left[done:]:
                break
            problems.setdefault(left[done].id, reason)
            left = left[done + 1 :]
    found = []
    for one in asked:
        both = profiles.get(one.benchmark.id, {})
        if one.benchmark.id in problems or len(both) < len(SIDES):
            why = problems.get(one.benchmark.id, "it was not profiled")
            found.append(Attribution(one.measure, one.total or 0.0, problem=f"the profile could not be made: {why}"))
        else:
            base, head = both["base"], both["head"]
            total = one.total if apart else one.total_of(base, head)
            found.append(replace(attribute(base, head, one.measure, total), profiles=both))
    return found


def _profiled(
    checkouts: Mapping[str, Checkout], benchmarks: Sequence[Benchmark], memory: int | None, timeout: float,
    show: Callable[[str], None], profiles: dict[str, dict[str, CallProfile]], problems: dict[str, str],
) -> tuple[int, str]:  # fmt: skip
    """Run a process; return how many benchmarks it did, and why it did not come to its end."""
    done = 0

    def hear(event: dict[str, Any]) -> None:
        nonlocal done
        if "benchmark" not in event:
            return
        done += 1
        if "reason" in event:
            problems.setdefault(event["benchmark"], event["reason"])
            return
        there = profiles.setdefault(event["benchmark"], {})
        there |= {side: CallProfile.of_dict(profile) for side, profile in event["profiles"].items()}

    with tempfile.TemporaryDirectory(prefix="mhsa-", ignore_cleanup_errors=True) as name:
        plan = plan_of(checkouts, [b.as_dict() for b in benchmarks], memory)
        command = [sys.executable, "-P", "-m", "mhsa.bench.compare.attribution.worker", name]
        reason = run_worker(command, Path(name), plan, hear, lambda what, who: show(f"{what} {who}"), timeout)
    return done, reason
