"""The live line of ``mhsa bench``: which implementation is called for what, how far the run is, and how long it may take."""

from __future__ import annotations

import time

from rich.console import Console

from mhsa.bench.measure.run import Moment
from mhsa.bench.measure.worker import Plan
from mhsa.reports.live_line import LiveLine

# Seconds of one contender in one pass, without the blocks: to check it, per score and at least. They only weigh the cells
# against each other; how long all takes is known from those that are done.
_CHECKED, _SCORE = 0.5, 2e-8


class BenchProgress(LiveLine):
    """Takes note of moments; use it as a context."""

    def __init__(self, console: Console, plan: Plan) -> None:
        super().__init__(console)
        self.plan = plan
        self.weights = [plan.budget * 2 + _CHECKED + _SCORE * shape.scores for shape, _, _ in plan.cells]
        self.steps = len(plan.contenders) * len(plan.passes)  # of a cell
        self.measured = 0
        self.cell = 0
        self.since: float | None = None  # when torch was there

    def __call__(self, moment: Moment) -> None:
        """Take note of a moment."""
        now = time.monotonic()
        if moment.what != "importing torch" and self.since is None:
            self.since = now
        if moment.cell != self.cell:
            self.cell, self.measured = moment.cell, 0
        self.measured += moment.measured is not None
        self.show(lambda: self.line(moment, now), now)

    def line(self, moment: Moment, now: float) -> str:
        """Return it in words."""
        shape, dtype, _ = self.plan.cells[min(self.cell, len(self.plan.cells) - 1)]
        left = self.left(now)
        times = f"{now - self.started:.0f} s" + (f", about {left:.0f} s left" if left is not None else "")
        doing = f"{moment.what} {moment.name}" if moment.name else moment.what
        return f"{self.cell + 1} of {len(self.plan.cells)} shapes  {times}  {shape.name}, {dtype}: {doing}"

    def left(self, now: float) -> float | None:
        """Seconds that are left, if the rest goes on as what was done did; None until something is done."""
        part = self.measured / self.steps * self.weights[self.cell]
        done = sum(self.weights[: self.cell]) + part
        if self.since is None or not done:
            return None
        return (now - self.since) * (sum(self.weights) - done) / done
