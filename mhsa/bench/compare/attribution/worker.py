"""The process that profiles benchmarks at one commit, or at both in turns, after their times have been compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mhsa.bench.git.worktrees import Checkout
from mhsa.bench.measure.worker_client import IMPORTING, Reporter

SECONDS = 1.0  # of runs of a benchmark at one commit
_FEWEST, _MOST = 5, 60  # runs of each kind


def plan_of(checkouts: Mapping[str, Checkout], benchmarks: Sequence[dict[str, object]], memory: int | None) -> str:
    """Return what the worker is to do, for :func:`main`.

    Args:
        checkouts: the files of each side.
        benchmarks: :meth:`mhsa.bench.compare.benchmark.Benchmark.as_dict` of each.
        memory: bytes that the process may take, or None.
    """
    return json.dumps({"checkouts": dict(checkouts), "benchmarks": list(benchmarks), "memory": memory})


def main(folder: Path) -> int:
    """Profile what a plan asks for, and say what was found."""
    from mhsa.run.process_limits import end_with_parent, keep_memory, limit_memory

    end_with_parent()
    keep_memory()  # as where the difference was measured
    plan = json.loads((folder / "plan.json").read_text())
    reporter = Reporter(folder)
    reporter.calling("", IMPORTING)
    import torch
    import torch._dynamo  # takes seconds, and torch does it where operators are first looked at

    from mhsa.bench.compare.attribution.both_profiles import profiles_of
    from mhsa.bench.compare.benchmark import Benchmark
    from mhsa.bench.git.isolated_imports import Side
    from mhsa.bench.measure.implementation import Loaded

    torch.set_num_threads(1)
    benchmarks = [Benchmark.of_dict(b) for b in plan["benchmarks"]]
    if torch.device(benchmarks[0].request.device).type == "cpu":
        limit_memory(plan["memory"])
    sides = {side: Side(*map(Path, checkout)) for side, checkout in plan["checkouts"].items()}
    trees = {side: Path(checkout[1]) for side, checkout in plan["checkouts"].items()}
    loaded = Loaded()
    for benchmark in benchmarks:
        reporter.calling(benchmark.id, "profiling")
        found = profiles_of(benchmark, sides, trees, loaded, seconds=SECONDS, fewest=_FEWEST, most=_MOST)
        if isinstance(found, str):
            reporter.report(benchmark=benchmark.id, reason=found)
        else:
            reporter.report(benchmark=benchmark.id, profiles={side: profile.as_dict() for side, profile in found.items()})
    reporter.report(end=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
