"""``python -m benchmarks.attribution`` prints whether the line of each slow-down is named first; exits with 1 below 90 %.

Two commits have a module for each slow-down, and are compared as ``mhsa compare`` does it: rounds until each benchmark is
decided, and then those that are slower are profiled. Named is the first line that this says; right is the one that was changed.
Modules that do the same at both commits are compared, too: no line of theirs may be named. It takes some minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.attribution.slow_downs import SAME, SLOW_DOWNS, SUBJECT
from mhsa.bench.compare import attributed
from mhsa.bench.compare.attribution.attribute import Attribution
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.comparison import Comparison
from mhsa.bench.compare.running import Comparing
from mhsa.bench.compare.settings import Terms
from mhsa.bench.git.worktrees import Checkout
from mhsa.records.request import Request
from mhsa.records.shape import shape_of

_NEEDED = 0.9


def main() -> int:
    """Compare; print a table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", default="", help="only those with this in their name")
    parser.add_argument("--shape", default="encoder 128")
    parser.add_argument("--pass", dest="passes", default="forward", choices=("forward", "training"))
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds for all rounds")
    args = parser.parse_args()
    chosen = [one for one in (*SLOW_DOWNS, *SAME) if args.k in one.name]
    benchmarks = [
        Benchmark(Request(one.name, f"pack.variant{n}:Attention"), args.passes, shape_of(args.shape), "float32")
        for n, one in enumerate(chosen)
    ]
    attributed.MOST = len(chosen)
    with tempfile.TemporaryDirectory(prefix="mhsa-") as name:
        checkouts = {}
        for side in ("base", "head"):
            folder = Path(name).resolve() / side
            (folder / "pack").mkdir(parents=True)
            (folder / "pack" / "__init__.py").write_text("")
            for n, one in enumerate(chosen):
                (folder / "pack" / f"variant{n}.py").write_text(one.head if side == "head" else SUBJECT)
            checkouts[side] = Checkout(str(folder), str(folder), "")
        terms = Terms(budget=args.budget, apart=args.apart)
        comparing = Comparing(terms, Console(stderr=True), checkouts, [b.request for b in benchmarks], benchmarks)
        found = comparing.comparisons(verify=False)
    print(f"{'what was done':<36} {'verdict':<11} {'ratio':>6} {'right':<5} {'share':>5}  named first")
    right = wrong = 0
    for one, comparison in zip(chosen, found, strict=True):
        attribution = comparison.attribution or Attribution("seconds", 0.0, problem=comparison.words)
        first = attribution.lines[0] if attribution.lines else None
        good = first is None if not one.line else first is not None and (first.text, first.gone) == (one.line, one.gone)
        right += good and bool(one.line)
        wrong += not good and not one.line
        named = f"{first.line}: {first.text}; {', '.join(first.reasons)}" if first else attribution.problem
        share = f"{first.share:.0%}" if first else ""
        print(
            f"{one.name:<36} {comparison.verdict:<11} {_ratio(comparison):>6} {'yes' if good else 'NO':<5} {share:>5}  {named}"
        )
    tried = sum(bool(one.line) for one in chosen)
    print(f"right: {right} of {tried}; a line named where nothing was changed: {wrong} of {len(chosen) - tried}")
    return 0 if right >= _NEEDED * tried and not wrong else 1


def _ratio(comparison: Comparison) -> str:
    return f"{comparison.decision.ratio:.2f}x" if comparison.decision else ""


if __name__ == "__main__":
    sys.exit(main())
