"""The process that compares two versions for ``mhsa compare``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mhsa.bench.compare.settings import Terms
from mhsa.bench.git.worktrees import Checkout
from mhsa.bench.measure.worker_client import IMPORTING, Reporter


def plan_of(
    checkouts: Mapping[str, Checkout], benchmarks: Sequence[dict[str, object]], budget: float, *, first: bool, terms: Terms
) -> str:
    """Return what the worker is to do, for :func:`main`.

    Args:
        checkouts: the files of each side.
        benchmarks: :meth:`mhsa.bench.compare.benchmark.Benchmark.as_dict` of each.
        budget: seconds of blocks for each.
        first: whether results are compared with the oracle, and operators, memory and so on are counted.
        terms: of the comparison.
    """
    return json.dumps(
        {
            "checkouts": dict(checkouts), "benchmarks": list(benchmarks), "budget": budget, "first": first,
            "slow_down": terms.slow_down, "memory": terms.memory,
        }
    )  # fmt: skip


def main(folder: Path) -> int:
    """Compare what a plan asks for, and say what was found."""
    from mhsa.run.process_limits import end_with_parent, keep_memory, limit_memory

    end_with_parent()
    # What clearing pages costs at one block and not at the next is the largest noise where scores are formed. Head that takes
    # more memory is told so by what is counted, which is exact.
    keep_memory()
    plan = json.loads((folder / "plan.json").read_text())
    reporter = Reporter(folder)
    reporter.calling("", IMPORTING)
    import torch

    if plan["first"]:
        import torch._dynamo  # takes seconds, and torch does it where operators are first looked at

    from mhsa.bench.compare.benchmark import Benchmark
    from mhsa.bench.compare.pairing import Pairing
    from mhsa.bench.git.isolated_imports import Side

    # Everything of mhsa is imported before a side is: a side may have a package of that name, too.
    from mhsa.bench.measure.machine import describe_machine

    torch.set_num_threads(1)  # figures then depend on the code, not on how many cores happen to be idle
    benchmarks = [Benchmark.of_dict(b) for b in plan["benchmarks"]]
    device = benchmarks[0].request.device
    reporter.report(machine=describe_machine(device, 1, keeping=True))
    if torch.device(device).type == "cpu":
        limit_memory(plan["memory"])
    sides = {side: Side(*map(Path, checkout)) for side, checkout in plan["checkouts"].items()}
    pairing = Pairing(
        sides, {name: str(side.folder) for name, side in sides.items()}, plan["budget"],
        checked=plan["first"], slow_down=plan["slow_down"], calling=reporter.calling,
    )  # fmt: skip
    for benchmark in benchmarks:
        pair = pairing.measure(benchmark, counted=plan["first"])
        reporter.report(benchmark=benchmark.id, pair=asdict(pair))
    reporter.report(end=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
