"""How much ratios of identical code scatter by the wall clock, and without what other processes took of the processor.

``python benchmarks/scatter.py`` (a minute and a half): a process beside it keeps each core busy, as on a shared machine.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time

import torch

from mhsa.bench.measure.clock import Clock
from mhsa.bench.measure.cpu_wait import waited
from mhsa.bench.measure.machine import describe_machine, one_line
from mhsa.records.shape import Shape, shape_of

SHAPES = ("exercise", "encoder 128", "encoder 512")
PROCESSES = 8
SECONDS = 1.0  # of blocks, for a shape in a process


def main() -> None:
    """Print the table."""
    found: dict[str, list[list[float]]] = {}
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        for _ in range(PROCESSES):
            done = subprocess.run([sys.executable, __file__, "one"], capture_output=True, text=True, check=True)
            for line in done.stdout.splitlines():
                name, *numbers = line.split("\t")
                found.setdefault(name, []).append([float(number) for number in numbers])
    finally:
        for process in busy:
            process.kill()
    print(f"On {one_line(describe_machine('cpu', 1))}; {len(busy)} busy processes beside; {PROCESSES} processes.\n")
    print("| shape | sd of a ratio, wall clock | without waiting | sd of a process' median, wall clock | without waiting |")
    print("|---|---|---|---|---|")
    for name, rows in found.items():
        wall, ours, of_wall, of_ours = zip(*rows, strict=True)
        cells = [statistics.median(of_wall), statistics.median(of_ours), statistics.stdev(wall), statistics.stdev(ours)]
        print(f"| {name} | {' | '.join(f'{100 * cell:.1f} %' for cell in cells)} |")


def one() -> None:
    """Print for each shape the medians of log ratios of a process, and their standard deviations, by either clock."""
    torch.set_num_threads(1)
    with torch.no_grad():
        for shape in map(shape_of, SHAPES):
            ratios = _ratios(shape)
            print(shape.name, *map(statistics.median, ratios), *map(statistics.stdev, ratios), sep="\t")


def _ratios(shape: Shape) -> tuple[list[float], list[float]]:
    calls = [_call(shape) for _ in range(2)]
    number = max(Clock("cpu").calibrate(call) for call in calls)
    ratios: tuple[list[float], list[float]] = ([], [])
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or len(ratios[0]) < 3:
        sums = [[0.0, 0.0], [0.0, 0.0]]  # of each call, by either clock
        for n in (0, 1, 1, 0) if len(ratios[0]) % 2 else (1, 0, 0, 1):
            start, before = time.perf_counter(), waited()
            for _ in range(number):
                calls[n]()
            took = time.perf_counter() - start
            sums[n][0] += took
            sums[n][1] += took - min(waited() - before, 0.99 * took)
        for clock in (0, 1):
            ratios[clock].append(math.log(sums[1][clock] / sums[0][clock]))
    return ratios


def _call(shape: Shape):  # type: ignore[no-untyped-def]
    module = torch.nn.MultiheadAttention(shape.d_model, shape.head, batch_first=True)
    x = torch.randn(shape.batch, shape.length, shape.d_model)
    return lambda: module(x, x, x, need_weights=False)


if __name__ == "__main__":
    one() if sys.argv[1:] == ["one"] else main()
