"""Measures in a child process, and goes on after a contender that ends it or takes too long.

This process imports neither torch nor any contender.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mhsa.bench.measure.measurement import BASELINE, Measurement
from mhsa.bench.measure.worker import Plan
from mhsa.bench.measure.worker_client import run_worker

TIMEOUT = 300.0  # seconds that one step (a check, a block of calls) may take, unless --timeout says otherwise
_TRIES = 3  # processes that may end in one cell without naming an implementation


@dataclass(frozen=True)
class Moment:
    """How far a run is: in which cell of how many, which implementation is called for what, and what was measured last."""

    cell: int
    name: str
    what: str
    measured: Measurement | None = None


@dataclass
class Run:
    """What a run has given."""

    measurements: list[Measurement] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False


def run(plan: Plan, listen: Callable[[Moment], None] = lambda moment: None, timeout: float = TIMEOUT) -> Run:
    """Measure everything in a plan; every contender has a measurement in every cell and pass in the end.

    An interrupted run says so and gives what it has.
    """
    result = Run()
    try:
        with tempfile.TemporaryDirectory(prefix="mhsa-", ignore_cleanup_errors=True) as folder:
            ended = 0
            while plan.done < len(plan.cells):
                child = _Child(plan, Path(folder), result, listen, timeout)
                reason = child.run()
                if not reason:
                    break
                ended = ended + 1 if child.cell == plan.done else 1
                plan = _without(plan, child, result, reason, hopeless=ended >= _TRIES + len(plan.contenders))
    except KeyboardInterrupt:
        result.interrupted = True
    return result


class _Child:
    def __init__(self, plan: Plan, folder: Path, result: Run, listen: Callable[[Moment], None], timeout: float) -> None:
        self.plan, self.folder, self.result, self.listen, self.timeout = plan, folder, result, listen, timeout
        self.cell = plan.done
        self.name, self.what = "", "importing torch"
        self.here: list[Measurement] = []

    def run(self) -> str:
        """Return why it did not come to its end; empty if it did."""
        command = [sys.executable, "-P", "-m", "mhsa.bench.measure.worker", str(self.folder)]
        return run_worker(command, self.folder, self.plan.as_json(), self._hear, self._look, self.timeout)

    def _look(self, what: str, name: str) -> None:
        self.what, self.name = what, name
        self.listen(Moment(self.cell, self.name, self.what))

    def _hear(self, event: dict[str, Any]) -> None:
        if "machine" in event:
            self.result.machine = self.result.machine or event["machine"]
        elif "cell" in event:
            self.cell = event["cell"]
            self.here = []
        elif "measured" in event:
            found = Measurement.of_dict(event["measured"])
            self.here.append(found)
            self.result.measurements.append(found)
            self.listen(Moment(self.cell, found.implementation, "measured", found))


def _without(plan: Plan, child: _Child, result: Run, reason: str, *, hopeless: bool) -> Plan:
    """Return the plan of the next process, which goes on without the implementation that ended this one in its cell."""
    shape, dtype, device = plan.cells[child.cell]
    known = [c.name for c in plan.contenders]
    # What was measured in the cell that was not finished is measured again, with the rest of it.
    for found in child.here:
        result.measurements.remove(found)
    if child.name not in known or child.name == BASELINE or hopeless:
        dead = [name for name in known if (child.cell, name) not in plan.left_out]
        done = child.cell + 1
    else:
        dead, done = [child.name], child.cell
    words = f"{reason} while {child.name or 'it'} was in: {child.what}"
    for name in dead:
        result.measurements += [Measurement(name, p, shape, dtype, device, reason=words) for p in plan.passes]
    return replace(plan, done=done, left_out=(*plan.left_out, *((child.cell, name) for name in dead)))
