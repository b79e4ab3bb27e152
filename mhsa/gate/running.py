"""Two versions of the configured subjects: verified, then measured in processes until everything is decided."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from mhsa.bench.attending import attend
from mhsa.bench.measurement import PASSES
from mhsa.bench.run import TIMEOUT
from mhsa.bench.shape import shape_of
from mhsa.commits.worktrees import Place
from mhsa.configuration import ConfigurationError, find, read
from mhsa.gate.benchmark import Benchmark, Pair, benchmarks_of
from mhsa.gate.comparison import Comparison, increases_of
from mhsa.gate.deciding import FEWEST, MOST, Decision, decide, planned_looks
from mhsa.gate.options import SHAPES
from mhsa.gate.worker import plan_of
from mhsa.limits import default_memory
from mhsa.options import Options
from mhsa.refusing import refuse
from mhsa.request import Request
from mhsa.runner import run
from mhsa.verifying import named

_BLOCKS = 1.0  # seconds of blocks for a benchmark in a process: a median over some sixty quads


@dataclass
class _Found:
    """What was found of one benchmark until now."""

    benchmark: Benchmark
    pairs: list[Pair] = field(default_factory=list)
    said: str = ""
    decision: Decision | None = None


class Comparing:
    """Verifies both sides, and adds processes until everything is decided or the time is over."""

    def __init__(self, given: argparse.Namespace, console: Console, places: dict[str, Place]) -> None:
        self.given, self.console, self.places = given, console, places
        self.folders = {side: Path(place.folder) for side, place in places.items()}
        self.machine: dict[str, Any] = {}
        self.notes: list[str] = []
        self.looks = planned_looks()
        self.requests = self._requests()
        self.found = {b.id: _Found(b) for b in self._benchmarks()}

    def comparisons(self) -> list[Comparison]:
        """Return a comparison of every benchmark."""
        wrong = self._verify() if self.given.verify else {}
        self._measure([b for b in (f.benchmark for f in self.found.values()) if b.request.label not in wrong])
        return [
            Comparison(name, outcome="wrong", reasons=wrong[found.benchmark.request.label])
            if found.benchmark.request.label in wrong
            else self._comparison(found)
            for name, found in self.found.items()
        ]

    def _requests(self) -> tuple[Request, ...]:
        """Return the subjects, as they are configured at HEAD."""
        try:
            configuration = read(find(self.folders["head"]))
        except ConfigurationError as error:
            refuse(str(error))
        requests = named(self.given.subjects, configuration) if self.given.subjects else configuration.requests
        if not requests:
            refuse("nothing is configured at HEAD: name what is to be compared with --subject, or run mhsa init")
        device = self.given.device
        return tuple(replace(r, folder="", device=device or r.device) for r in requests)

    def _benchmarks(self) -> list[Benchmark]:
        try:
            shapes = tuple(shape_of(name) for name in self.given.shape or SHAPES)
        except ValueError as error:
            refuse(f"--shape: {error}")
        dtypes = tuple(dict.fromkeys(self.given.dtype)) or ("float32",)
        every = list(benchmarks_of(self.requests, tuple(dict.fromkeys(self.given.passes)) or PASSES, shapes, dtypes))
        chosen = [b for b in every if self.given.keyword in b.id]
        if not chosen:
            refuse(f"no benchmark has {self.given.keyword!r} in its name; there are: {'; '.join(b.id for b in every)}")
        return chosen

    def _verify(self) -> dict[str, dict[str, str]]:
        """Judge both sides by the quick profile; return what is wrong, by label and side."""
        asked = [
            replace(r, label=f"{r.label} at {side}", folder=str(folder))
            for r in self.requests
            for side, folder in self.folders.items()
        ]
        options = Options(requests=tuple(asked), memory=self.given.memory or default_memory(), shrink=False)
        with self.console.status(f"verifying {', '.join(r.label for r in self.requests)} at both commits, some seconds each"):
            results = run(options)
        wrong: dict[str, dict[str, str]] = {}
        for (request, side), result in zip(((r, s) for r in self.requests for s in self.folders), results, strict=True):
            if result.verdict == "violated":
                failed = [p.id for p in result.properties if p.outcome == "fail"]
                words = f"wrong: {len(failed)} properties fail, {failed[0]} first (mhsa verify tells more)"
                wrong.setdefault(request.label, {})[side] = words
            elif result.verdict == "unjudged":
                self.notes.append(f"{result.label} could not be verified: {result.reason or 'a property could not be judged'}")
        return wrong

    def _measure(self, benchmarks: Sequence[Benchmark]) -> None:
        """Add processes: all benchmarks in the first ones, then those that are undecided, while there is time."""
        started = time.monotonic()
        left = list(benchmarks)
        took = 0.0
        for number in range(1, MOST + 1):
            spent = time.monotonic() - started
            if not left or (number > FEWEST and spent + took > self.given.budget):
                break
            if number == 2:  # how many fit is known, and looks are planned for so many before anything is looked at
                self.looks = planned_looks(most=min(MOST, max(FEWEST, int(self.given.budget / took))))
            self._process(left, first=number == 1, words=f"process {number}, {spent:.0f} of {self.given.budget:g} s")
            took = time.monotonic() - started - spent
            left = [b for b in left if self._goes_on(self.found[b.id], number if number in self.looks else 0)]
        for benchmark in left:
            self._decide(self.found[benchmark.id], last=True)

    def _goes_on(self, found: _Found, look: int) -> bool:
        """Whether a benchmark is still to be decided, after a look at what there is, if this is the time for one."""
        if found.said or any(p.outcome != "timed" for p in found.pairs):
            return False
        if look:
            self._decide(found, last=False)
        return found.decision is None or found.decision.verdict == "cannot tell"

    def _decide(self, found: _Found, *, last: bool) -> None:
        ratios = [p.log_ratio for p in found.pairs]
        if ratios:
            found.decision = decide(
                ratios, threshold=self.given.threshold / 100, looks=self.looks, benchmarks=len(self.found), last=last
            )

    def _process(self, benchmarks: Sequence[Benchmark], *, first: bool, words: str) -> None:
        current = ["", ""]

        def hear(event: dict[str, Any]) -> None:
            if "machine" in event:
                self.machine = self.machine or event["machine"]
            if "pair" in event:
                self.found[event["benchmark"]].pairs.append(
                    Pair(**{**event["pair"], "seconds": tuple(event["pair"]["seconds"])})
                )

        with (
            tempfile.TemporaryDirectory(prefix="mhsa-", ignore_cleanup_errors=True) as folder,
            self.console.status(words) as status,
        ):

            def look(what: str, name: str) -> None:
                current[:] = [what, name]
                status.update(f"{words}: {what} {name}")

            plan = plan_of(
                self.places, [b.as_dict() for b in benchmarks], _BLOCKS,
                counted=first, memory=self.given.memory or default_memory(),
            )  # fmt: skip
            command = [sys.executable, "-P", "-m", "mhsa.gate.worker", folder]
            reason = attend(command, Path(folder), plan, hear, look, self.given.timeout or TIMEOUT)
        if reason:
            what, name = current
            for benchmark in benchmarks:
                if name in ("", benchmark.id):
                    self.found[benchmark.id].said = f"{reason} in: {what}"

    def _comparison(self, found: _Found) -> Comparison:
        """Return what is known of a benchmark."""
        name, pairs = found.benchmark.id, found.pairs
        for pair in pairs:
            if pair.outcome != "timed":
                return Comparison(name, outcome=pair.outcome, reasons=pair.reasons)
        if found.said or not pairs:
            return Comparison(name, outcome="n/a", reasons={"both": found.said or "it was not measured"})
        seconds = [statistics.median(p.seconds[n] for p in pairs) for n in (0, 1)]
        return Comparison(name, found.decision, (seconds[0], seconds[1]), increases_of(pairs[0].counters))
