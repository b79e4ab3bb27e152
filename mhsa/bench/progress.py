"""What is seen while ``mhsa bench`` measures: who is called for what, how far it is, and how long it may still take."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from mhsa.bench.run import Moment
from mhsa.bench.worker import Plan

_EVERY = 10.0  # seconds between two plain lines, where there is no terminal
# Seconds of one contender in one pass, beside the blocks: to check it, per score and at least. They only weigh the cells
# against each other; how long all takes is known from those that are done.
_CHECKED, _SCORE = 0.5, 2e-8


class Progress:
    """Takes note of moments; use it as a context."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.plan = plan
        self.weights = [plan.budget * 2 + _CHECKED + _SCORE * shape.scores for shape, _, _ in plan.cells]
        self.steps = len(plan.contenders) * len(plan.passes)  # of a cell
        self.measured = 0
        self.cell = 0
        self.started = self.said = time.monotonic()
        self.since: float | None = None  # when torch was there
        self.spinner = Spinner("dots", text="")
        self.live = Live(self.spinner, console=console, transient=True, refresh_per_second=8)
        self.enabled = console.is_terminal

    def __enter__(self) -> Progress:
        """Begin to draw."""
        if self.enabled:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the line."""
        if self.enabled:
            self.live.stop()

    def __call__(self, moment: Moment) -> None:
        """Take note of a moment."""
        now = time.monotonic()
        if moment.what != "importing torch" and self.since is None:
            self.since = now
        if moment.cell != self.cell:
            self.cell, self.measured = moment.cell, 0
        self.measured += moment.measured is not None
        if self.enabled:
            self.spinner.update(text=Text(self.line(moment, now)))
        elif now - self.said > _EVERY:
            self.said = now
            print(f"  {self.line(moment, now)}", file=sys.stderr, flush=True)

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
