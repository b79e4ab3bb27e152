"""What is seen while a run goes on: one live line on a terminal, a plain one now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console

from mhsa.records.power_record import recorded
from mhsa.reports.live_line import LiveLine
from mhsa.run.child import Event

_UNMEASURED = 1.0  # seconds of a property that quick leaves out


class Progress(LiveLine):
    """Takes note of events; use it as a context.

    Args:
        console: to draw on.
        names: of the subjects, in order.
        properties: how many there are for each, until it is known how many are planned.
    """

    def __init__(self, console: Console, names: Sequence[str], properties: int) -> None:
        super().__init__(console)
        self.names = names
        self.planned = dict.fromkeys(range(1, len(names) + 1), properties)
        self.done = 0
        self.cases = 0
        self.failed = 0
        self.spent = 0.0  # of the seconds that the recorded measurement expects
        self.judging_since: float | None = None
        self.costs = recorded().costs

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        now = time.monotonic()
        if event.planned:
            self.planned[event.subject] = event.planned
            self.judging_since = self.judging_since or now
        if event.result is not None:
            self.done += 1
            self.cases += event.result.cases
            self.failed += event.result.outcome == "fail"
            self.spent += self.costs.get(event.id, _UNMEASURED)
        self.show(lambda: self.line(event, now), now)

    def line(self, event: Event, now: float) -> str:
        """What is running, how far it is, and how long it may still take."""
        what = {"loading": "loading torch and the subjects", "running": "", "done": ""}.get(event.kind, event.kind)
        if self.judging_since is None:  # nothing is known yet of how much there is to do
            return f"{now - self.started:.0f} s: {what}"
        if event.subject:
            what = f"{self.names[event.subject - 1]} {event.id}"
        failures = f", {self.failed} failed" if self.failed else ""
        left = self.left(now)
        times = f"{now - self.started:.0f} s" + (f", about {left:.0f} s left" if left is not None else "")
        return f"{self.done} of {sum(self.planned.values())} properties{failures}, {times}{': ' if what else ''}{what}"

    def left(self, now: float) -> float | None:
        """Seconds that are left, if the rest goes on as what was done did; None until a tenth is done."""
        if self.judging_since is None or self.done * 10 < sum(self.planned.values()):
            return None
        mean = sum(self.costs.values()) / max(len(self.costs), 1)
        rest = mean * (sum(self.planned.values()) - self.done)
        return (now - self.judging_since) * rest / self.spent if self.spent else None
