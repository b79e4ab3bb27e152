"""Measures commits one by one, like a bisection: an interrupted history already shows its shape."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.git.repository import Commit
from mhsa.bench.git.worktrees import Checkout, Trees
from mhsa.bench.history.asv_figures import Key, key_of
from mhsa.bench.history.store import Kept, Store
from mhsa.bench.measure.measurement import Contender, Measurement, Pass
from mhsa.bench.measure.run import Moment, Run, run
from mhsa.bench.measure.worker import Plan
from mhsa.bench.measure.worker_client import IMPORTING
from mhsa.records.errors import UsageError
from mhsa.records.request import Request
from mhsa.reports.live_line import LiveLine
from mhsa.run.process_limits import default_memory

_PATIENCE = 120.0  # seconds for importing torch and asking the driver
_DESCRIBE = """
import json, sys, torch
from mhsa.bench.measure.machine import describe_machine
device = sys.argv[1]
torch.empty(1, device=device)
torch.set_num_threads(1)
print(json.dumps(describe_machine(device, 1, keeping=True)))
"""
# What of a request says how it is judged or called, and not what it is.
_BESIDE = ("label", "folder", "profile", "seed", "dtypes", "device", "expected", "faster")


class MeasuringError(UsageError):
    """Nothing can be measured here, whatever the commit is."""


@dataclass(frozen=True)
class Limits:
    """How long and how much: seconds of blocks for a figure, seconds for a step, bytes."""

    budget: float
    timeout: float
    memory: int | None


def machine_of(device: str) -> dict[str, Any]:
    """Return what describes the machine, from a process of its own: torch is not imported here."""
    command = [sys.executable, "-P", "-c", _DESCRIBE, device]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise MeasuringError(f"torch could not be imported within {_PATIENCE:g} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise MeasuringError(f"nothing can be measured on {device}: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def key(benchmark: Benchmark) -> Key:
    """Return the parameters that a benchmark's figures are kept under."""
    return (benchmark.request.label, benchmark.passes, benchmark.shape.name, benchmark.dtype, benchmark.request.device)


def identity(request: Request) -> str:
    """Return what a subject is, as far as its declaration says it."""
    return json.dumps({k: v for k, v in request.as_dict().items() if k not in _BESIDE and v}, sort_keys=True)


def bisected(n: int) -> Iterator[int]:
    """Yield 0 to n - 1: the last, the first, then the middle of each gap, the larger gaps first."""
    yield from dict.fromkeys([n - 1, 0] if n else [])
    gaps = deque([(0, n - 1)])
    while gaps:
        low, high = gaps.popleft()
        if high - low > 1:
            middle = (low + high) // 2
            yield middle
            gaps += [(low, middle), (middle, high)]


def plans(benchmarks: Sequence[Benchmark], checkout: Checkout, limits: Limits) -> Iterator[tuple[Plan, list[Benchmark]]]:
    """Yield what the fewest processes measure all benchmarks at a commit: one, unless they are no full table."""
    cells: dict[tuple[str, str, str], dict[str, list[Benchmark]]] = {}
    for b in benchmarks:
        cells.setdefault((b.request.device, b.dtype, b.shape.name), {}).setdefault(b.request.label, []).append(b)
    groups: dict[tuple[Any, ...], list[Benchmark]] = {}
    for (device, _, _), by_label in cells.items():
        alike: dict[tuple[Pass, ...], list[str]] = {}
        for label, some in by_label.items():
            alike.setdefault(tuple(b.passes for b in some), []).append(label)
        for passes, labels in alike.items():
            groups.setdefault((device, passes, *labels), []).extend(b for label in labels for b in by_label[label])
    for (device, passes, *_), some in groups.items():
        requests = {b.request.label: b.request for b in some}
        yield (
            Plan(
                contenders=tuple(Contender(n, replace(r, folder=checkout.folder)) for n, r in requests.items()),
                cells=tuple(dict.fromkeys((b.shape, b.dtype, device) for b in some)),
                passes=passes, budget=limits.budget, memory=limits.memory or default_memory(), checkout=checkout,
                keeping=True,  # every commit has a process of its own
            ),
            some,
        )  # fmt: skip


class Line(LiveLine):
    """Says which commit is measured, of how many, and how long the others may take."""

    def __init__(self, console: Console, total: int) -> None:
        super().__init__(console)
        self.total, self.done, self.commit = total, 0, ""
        self.begun = self.started

    def __call__(self, moment: Moment) -> None:
        """Take note of a moment."""
        now = time.monotonic()
        self.show(lambda: self.line(f"{moment.what} {moment.name}".strip(), now), now)

    def line(self, doing: str, now: float) -> str:
        """Return it in words."""
        left = (self.begun - self.started) / self.done * (self.total - self.done) - (now - self.begun) if self.done else None
        times = f"{now - self.started:.0f} s" + (f", about {max(left, 0):.0f} s left" if left is not None else "")
        return f"{self.done} of {self.total} commits, {times}  {self.commit}: {doing}"

    def next(self, commit: str) -> None:
        """Begin with a commit."""
        self.begun, self.commit = time.monotonic(), commit
        self.show(lambda: self.line("checking it out", self.begun), self.begun)


@dataclass
class HistoryMeasurement:
    """What is measured where, and kept at once.

    Attributes:
        stores: one for each device.
        known: by commit, what there is to show.
        measured: commits that were measured in this run, in this order.
        seconds: they took, each.
        interrupted: whether it ended early.
    """

    trees: Trees
    benchmarks: Sequence[Benchmark]
    stores: dict[str, Store]
    limits: Limits

    def __post_init__(self) -> None:
        self.known: dict[str, dict[Key, Kept]] = {}
        self.measured: list[str] = []
        self.seconds: list[float] = []
        self.interrupted = False

    def look(self, commits: Sequence[Commit]) -> None:
        """Read what is there of these benchmarks."""
        wanted = {key(b): identity(b.request) for b in self.benchmarks}
        for commit in commits:
            found = {k: kept for store in self.stores.values() for k, kept in store.load(commit.sha).items()}
            self.known[commit.sha] = {k: kept for k, kept in found.items() if wanted.get(k) == kept.subject}

    def missing(self, commit: Commit, *, again: bool) -> list[Benchmark]:
        """Return what is to be measured at a commit."""
        return [b for b in self.benchmarks if again or key(b) not in self.known[commit.sha]]

    def measure(self, commits: Sequence[Commit], console: Console, *, again: bool) -> None:
        """Measure what is missing."""
        todo = [c for c in (commits[n] for n in bisected(len(commits))) if self.missing(c, again=again)]
        with Line(console, len(todo)) as line:
            try:
                for commit in todo:
                    line.next(f"{commit.sha[:7]} {commit.message[:40]}")
                    self._measure(commit, self.missing(commit, again=again), line)
                    line.done += 1
                    line.begun = time.monotonic()
            except KeyboardInterrupt:
                self.interrupted = True

    def _measure(self, commit: Commit, benchmarks: Sequence[Benchmark], listen: Callable[[Moment], None]) -> None:
        started = time.monotonic()
        try:
            checkout = self.trees.checkout(commit.sha)
            for plan, some in plans(benchmarks, checkout, self.limits):
                found = run(plan, listen, self.limits.timeout)
                if found.interrupted:  # what stands in the other cells may be half of a benchmark's
                    raise KeyboardInterrupt
                self._keep(commit, checkout, found, some, time.monotonic() - started)
        finally:
            self.trees.remove(commit.sha)
        self.measured.append(commit.sha)
        self.seconds.append(time.monotonic() - started)

    def _keep(self, commit: Commit, checkout: Checkout, found: Run, benchmarks: Sequence[Benchmark], took: float) -> None:
        reasons = {m.reason for m in found.measurements}
        if all(reason.endswith(f"in: {IMPORTING}") for reason in reasons):  # says nothing of the commit
            raise MeasuringError(f"nothing can be measured here: {', '.join(reasons)}")
        subjects = {key(b): identity(b.request) for b in benchmarks}
        kept = [Kept(subjects[key_of(m)], _lasting(m, checkout)) for m in found.measurements]
        device = benchmarks[0].request.device
        store = self.stores[device]
        if found.machine:
            store = Store(store.root, found.machine)
        store.save(commit, kept, took)
        self.known[commit.sha] |= {key_of(k.measurement): k for k in kept}


def _lasting(m: Measurement, checkout: Checkout) -> Measurement:
    """Say paths in a reason as the repository has them: the worktree is gone when it is read."""
    return replace(m, reason=m.reason.replace(f"{checkout.tree}/", "").replace(checkout.tree, "."))
