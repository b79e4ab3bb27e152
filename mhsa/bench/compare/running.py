"""Verifies and measures two versions of the configured subjects, and returns a comparison for each benchmark."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from mhsa.bench.compare.accepted.acceptance import Acceptance, allowance_of
from mhsa.bench.compare.attributed import attributed
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.both_commits import BothCommits
from mhsa.bench.compare.comparison import Comparison, beyond, increases_of
from mhsa.bench.compare.rounds import BenchmarkRounds
from mhsa.bench.compare.settings import THRESHOLD, Terms
from mhsa.bench.compare.undecided import about_undecided
from mhsa.bench.git.worktrees import Checkout
from mhsa.bench.measure.measurement import REFUSED
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.reports.live_line import LiveLine
from mhsa.run.runner import run
from mhsa.run.workers import default_workers


class Comparing:
    """Verifies both sides, and measures until everything is decided or the time is over.

    Args:
        terms: of the comparison.
        console: where progress is shown.
        checkouts: the files of each side.
        requests: the subjects, as head configures them.
        benchmarks: what is measured of them.

    Attributes:
        accepted: what is accepted of head.
    """

    def __init__(
        self,
        terms: Terms,
        console: Console,
        checkouts: dict[str, Checkout],
        requests: Sequence[Request],
        benchmarks: Sequence[Benchmark],
    ) -> None:
        self.terms, self.console, self.checkouts = terms, console, checkouts
        self.folders = {side: Path(checkout.folder) for side, checkout in checkouts.items()}
        self.machine: dict[str, Any] = {}
        self.notes: list[str] = []
        self.accepted: Sequence[Acceptance] = ()
        self.requests, self.benchmarks = tuple(requests), list(benchmarks)

    def comparisons(self, *, verify: bool) -> list[Comparison]:
        """Return a comparison of every benchmark; ``verify`` both sides first."""
        wrong = self.verify() if verify else {}
        with LiveLine(self.console) as line:
            measuring = BothCommits(
                self.checkouts, self.benchmarks, self.terms, lambda words: line.show(lambda: words, time.monotonic())
            )
            for found in measuring.found:
                found.allowance = allowance_of(found.benchmark.id, self.accepted)
                if reasons := wrong.get(found.benchmark.request.label):
                    found.end("wrong", reasons)
            measuring.measure()
            self.notes += self._of_no_benchmark()
            comparisons = attributed(
                [(f.benchmark, comparison_of(f, self.terms.threshold_of(apart=f.apart))) for f in measuring.found],
                self.checkouts, self.terms, lambda words: line.show(lambda: words, time.monotonic()), self.notes,
            )  # fmt: skip
        self.machine = measuring.machine
        self.notes += [*measuring.notes, *about_undecided(measuring.found, self.terms)]
        already = [f for f in measuring.found if f.outcome == "wrong" and len(f.reasons) == 2]
        for label in dict.fromkeys(found.benchmark.request.label for found in already):
            self.notes.append(
                f"{label} is wrong at base, too, so that did not begin with head: mhsa verify says what is wrong; --no-verify "
                "times what is right at the benchmarks' shapes all the same"
            )
        return comparisons

    def _of_no_benchmark(self) -> list[str]:
        """What is accepted of benchmarks that are not among these."""
        ids = [benchmark.id for benchmark in self.benchmarks]
        return [
            f"accepted of {', '.join(acceptance.figures)}, which was not measured: {acceptance.reason} ({acceptance.where})"
            for acceptance in self.accepted
            if not any(acceptance.of(identity) for identity in ids)
        ]

    def verify(self) -> dict[str, dict[str, str]]:
        """Judge both sides by the quick profile; return what is wrong, by label and side."""
        results: dict[str, list[SubjectResult]] = {}
        with self.console.status(f"verifying {', '.join(r.label for r in self.requests)} at both commits, some seconds each"):
            for side, folder in self.folders.items():  # a process each: both have modules of the same names
                requests = [replace(r, label=f"{r.label} at {side}", folder=str(folder)) for r in self.requests]
                workers = default_workers(requests)
                results[side] = run(Options(tuple(requests), workers=workers, memory=self.terms.memory, shrink=False))
        wrong: dict[str, dict[str, str]] = {}
        conventions: dict[str, dict[str, Any]] = {}  # of base, by label: what its reading needs declared
        of_both = [(side, *pair) for side, found in results.items() for pair in zip(self.requests, found, strict=True)]
        for side, request, result in of_both:
            if result.verdict == "violated":
                failed = [p.id for p in result.properties if p.outcome == "fail"]
                words = f"wrong: {len(failed)} properties fail, {failed[0]} first (mhsa verify says more)"
                wrong.setdefault(request.label, {})[side] = words
            elif result.verdict == "unjudged" or (result.verdict == "question" and not _holds_as_read(result)):
                self.notes.append(f"{result.label} could not be verified: {result.reason or 'a property could not be judged'}")
            elif side == "base":
                conventions[request.label] = result.declaration
            elif result.declaration != conventions.get(request.label, result.declaration):
                wrong.setdefault(request.label, {})[side] = f"wrong: it is read otherwise than base: {result.reason}"
        return wrong


def _holds_as_read(result: SubjectResult) -> bool:
    """Whether a question has a declaration under which every property holds that was judged."""
    return result.under is not None and result.under["passed"] == result.under["judged"]


def comparison_of(found: BenchmarkRounds, threshold: float = THRESHOLD) -> Comparison:
    """Return what is known of a benchmark; ``threshold`` is the smallest slow-down that matters."""
    name = found.benchmark.id
    if found.outcome not in ("timed", "same") or not found.log_ratios:
        reasons = found.reasons or {"both": "it was not measured"}
        outcome = found.outcome if found.outcome in REFUSED else "n/a"
        return Comparison(name, outcome=outcome, reasons=reasons, allowance=found.allowance)
    base, head = (statistics.median(seconds) for seconds in zip(*found.seconds, strict=True))
    rounds = tuple(math.exp(ratio) for ratio in found.log_ratios)
    if found.outcome == "same":
        return Comparison(
            name, seconds=(base, head), outcome="same", reasons=found.reasons, apart=found.apart, rounds=rounds,
            allowance=found.allowance,
        )  # fmt: skip
    every = increases_of(found.counters)
    plain = Comparison(name, found.decision, (base, head), every, apart=found.apart, rounds=rounds)
    if found.allowance is None or found.decision is None:
        return replace(plain, allowance=found.allowance)
    accepted, high = found.allowance.figures, found.decision.high
    return replace(
        plain, increases=beyond(every, accepted.more), allowance=found.allowance,
        # What is not slower than base is not slower than more than base either, so this spends none of the error.
        needed=high >= 1 + threshold or bool(every), slack=high * (1 + threshold) < accepted.ratio,
    )  # fmt: skip
