"""The process that measures for ``mhsa bench``."""

from __future__ import annotations

import contextlib
import json
import sys
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mhsa.bench.git.worktrees import Checkout
from mhsa.bench.measure.measurement import Contender, Pass
from mhsa.bench.measure.worker_client import IMPORTING, Reporter
from mhsa.records.request import Request
from mhsa.records.shape import Shape


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        contenders: the implementations; the baseline is measured whether it is among them or not.
        cells: (shape, dtype, device), in order.
        left_out: (number of a cell, name) of implementations that ended the process there.
        done: cells that need not be measured again.
        threads: of torch, in one process. One, unless threads are what is measured: figures then depend on the code, and not
            on how many cores happen to be idle.
        memory: bytes that may be taken, or None.
        checked: whether results are compared with the oracle before they are timed. False only where the same is measured
            again, in a fresh process, after results were compared.
        keeping: whether the process keeps memory that is freed, so that processes differ less: where figures of several are
            compared. What pages cost is then missing, and freed memory in pieces that fit nothing may double what is taken.
            ``mhsa bench`` compares within a process what a program with such a module will take, pages included.
        slow_down: by which share contenders with a folder are made slower, to see whether that is found; 0 costs them the
            microseconds that any share does, None nothing.
        checkout: of the commit that contenders with a folder are from; their modules are found there, and no others of their
            names.
    """

    contenders: tuple[Contender, ...]
    cells: tuple[tuple[Shape, str, str], ...]
    passes: tuple[Pass, ...]
    budget: float
    counted: bool = True
    callgrind: bool = False
    threads: int = 1
    memory: int | None = None
    checked: bool = True
    keeping: bool = False
    slow_down: float | None = None
    checkout: Checkout | None = None
    left_out: tuple[tuple[int, str], ...] = ()
    done: int = 0

    def as_json(self) -> str:
        """Return it for the worker."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> Plan:
        """Return what :meth:`as_json` was made from."""
        data: dict[str, Any] = json.loads(text)
        data["contenders"] = tuple(Contender(**{**c, "request": Request.of_dict(c["request"])}) for c in data["contenders"])
        data["cells"] = tuple((Shape(**shape), dtype, device) for shape, dtype, device in data["cells"])
        data["passes"] = tuple(data["passes"])
        data["checkout"] = Checkout(*data["checkout"]) if data["checkout"] else None
        data["left_out"] = tuple((n, name) for n, name in data["left_out"])
        return cls(**data)


def main(folder: Path) -> int:
    """Measure what a plan asks for, and say what was found."""
    from mhsa.run.process_limits import end_with_parent, keep_memory, limit_memory

    end_with_parent()
    plan = Plan.of_json((folder / "plan.json").read_text())
    if plan.keeping:
        keep_memory()
    reporter = Reporter(folder)
    reporter.calling("", IMPORTING)
    import torch

    if plan.checked or plan.counted:
        import torch._dynamo  # takes seconds, and torch does it where operators are first looked at

    from mhsa.bench.git.isolated_imports import Side
    from mhsa.bench.measure.cell import Bench, Cell
    from mhsa.bench.measure.machine import describe_machine

    torch.set_num_threads(plan.threads)
    device = plan.cells[0][2]
    reporter.report(machine=describe_machine(device, plan.threads, keeping=plan.keeping))
    if torch.device(device).type == "cpu":  # CUDA reserves far more than it uses
        limit_memory(plan.memory)
    side = Side(*map(Path, plan.checkout)) if plan.checkout else None

    def within(contender: Contender) -> AbstractContextManager[object]:
        return side if side and contender.request.folder else contextlib.nullcontext()

    bench = Bench(
        plan.passes, plan.budget, counted=plan.counted, callgrind=plan.callgrind, checked=plan.checked,
        slow_down=plan.slow_down, calling=reporter.calling, within=within,
    )  # fmt: skip
    for n, (shape, dtype, device) in enumerate(plan.cells):
        if n < plan.done:
            continue
        reporter.report(cell=n)
        here = [c for c in plan.contenders if (n, c.name) not in plan.left_out]
        for measurement in bench.measure(Cell(shape, dtype, device), here):
            reporter.report(measured=measurement.as_dict())
    reporter.report(end=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
