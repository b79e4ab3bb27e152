"""A round of sides that share a process: one process, which gives a ratio for each benchmark."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mhsa.bench.compare.rounds import BenchmarkRounds
from mhsa.bench.compare.settings import Terms
from mhsa.bench.compare.unchanged_code import WORDS, are_the_same
from mhsa.bench.compare.worker import plan_of
from mhsa.bench.git.worktrees import Checkout
from mhsa.bench.measure.worker_client import run_worker

_BLOCKS = 3.0  # seconds of blocks for a benchmark at most: where it is quiet, a tenth of that is enough


class Together:
    """Adds rounds; ``machine`` describes where."""

    def __init__(self, checkouts: Mapping[str, Checkout], terms: Terms, show: Callable[[str], None]) -> None:
        self.checkouts, self.terms, self.show = checkouts, terms, show
        self.machine: dict[str, Any] = {}

    def __call__(self, left: Sequence[BenchmarkRounds], number: int, words: str) -> None:
        """Add a round; what ends the process ends the benchmark that it was at."""
        by_id = {found.benchmark.id: found for found in left}
        current = ["", ""]

        def hear(event: dict[str, Any]) -> None:
            if "machine" in event:
                self.machine = self.machine or event["machine"]
            if "pair" in event:
                self._note(by_id.pop(event["benchmark"]), event["pair"])

        def look(what: str, name: str) -> None:
            current[:] = [what, name]
            self.show(f"{words}: {what} {name}")

        plan = plan_of(
            self.checkouts, [found.benchmark.as_dict() for found in left], _BLOCKS, first=number == 1, terms=self.terms
        )
        with tempfile.TemporaryDirectory(prefix="mhsa-", ignore_cleanup_errors=True) as folder:
            command = [sys.executable, "-P", "-m", "mhsa.bench.compare.worker", folder]
            reason = run_worker(command, Path(folder), plan, hear, look, self.terms.timeout)
        if not reason:
            return
        what, name = current
        # Who came after the one that ended it has no ratio of this round, and goes on in the next.
        for found in [by_id[name]] if name in by_id else by_id.values():
            found.end("n/a", {"both": f"{reason} in: {what}"})

    def _note(self, found: BenchmarkRounds, pair: Mapping[str, Any]) -> None:
        if pair["outcome"] != "timed":
            found.end(pair["outcome"], pair["reasons"])
            return
        found.log_ratios.append(pair["log_ratio"])
        found.seconds.append((pair["seconds"][0], pair["seconds"][1]))
        found.counters = found.counters or pair["counters"]
        if self.terms.changed is not None and are_the_same(self.terms.changed, pair["used"]):
            found.end("same", {"both": WORDS})
