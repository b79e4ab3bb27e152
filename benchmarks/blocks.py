"""What a process' median of log ratios is off by: its own blocks, which more time mends, and the process, which it does not.

``python benchmarks/blocks.py`` (five minutes) compares identical code in fresh processes, as ``mhsa compare`` does.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Iterator

import torch

from mhsa.bench.measure.clock import Call, Clock
from mhsa.bench.measure.implementation import Loaded, build, call_of
from mhsa.bench.measure.machine import describe_machine, one_line
from mhsa.bench.measure.measurement import PASSES, Contender
from mhsa.records.shape import shape_of
from mhsa.run.process_limits import keep_memory

SHAPES = ("exercise", "encoder 128", "encoder 512")
PROCESSES = 12
SECONDS = (0.5, 1.0, 3.0, 6.0)  # of blocks


def main() -> None:
    """Print the table."""
    medians: dict[str, list[list[float]]] = {}
    scatter: dict[str, list[float]] = {}
    for number in range(PROCESSES):
        print(f"process {number + 1} of {PROCESSES}", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, __file__, "one"], capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            name, ratios = json.loads(line)
            kept = [ratios[: max(3, round(len(ratios) * s / SECONDS[-1]))] for s in SECONDS]
            medians.setdefault(name, []).append([statistics.median(k) for k in kept])
            low, _, high = statistics.quantiles(ratios, n=4)
            # The standard error of a median of normal numbers, whose quartiles are 1.349 standard deviations apart.
            scatter.setdefault(name, []).append(1.2533 * (high - low) / 1.349 / math.sqrt(len(ratios)))
    print(f"On {one_line(describe_machine('cpu', 1))}; {PROCESSES} processes.\n")
    heads = [f"{s:g} s: sd of medians, standard error" for s in SECONDS]
    print(f"| benchmark | {' | '.join(heads)} |\n|{'---|' * (1 + len(heads))}")
    for name, rows in medians.items():
        error = statistics.median(scatter[name])
        cells = [
            f"{100 * statistics.stdev(column):.1f} %, {100 * error * math.sqrt(SECONDS[-1] / s):.1f} %"
            for s, column in zip(SECONDS, zip(*rows, strict=True), strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def one() -> Iterator[tuple[str, list[float]]]:
    """Yield log ratios of neighbouring blocks of identical code, for each benchmark."""
    torch.set_num_threads(1)
    keep_memory()  # as the processes of mhsa compare do
    loaded = Loaded()
    contender = Contender.known("fused")
    for name in SHAPES:
        for passes in PASSES:
            calls = []
            for _ in range(2):
                subject = loaded(contender, "cpu")
                assert not isinstance(subject, str), subject
                calls.append(call_of(build(contender, subject, shape_of(name), "float32", "cpu"), passes))
            with torch.set_grad_enabled(passes == "training"):
                yield f"{passes}, {name}", _ratios(calls)


def _ratios(calls: list[Call]) -> list[float]:
    clock = Clock("cpu")
    number = max(map(clock.calibrate, calls))
    ratios: list[float] = []
    spent = 0.0
    while spent < SECONDS[-1]:
        took = {n: clock.block(calls[n], number) for n in ((0, 1) if len(ratios) % 2 else (1, 0))}
        ratios.append(math.log(took[1] / took[0]))
        spent += number * sum(took.values())
    return ratios


if __name__ == "__main__":
    if sys.argv[1:] == ["one"]:
        for found in one():
            print(json.dumps(found), flush=True)
    else:
        main()
