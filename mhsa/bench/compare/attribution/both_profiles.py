"""Profiles of one benchmark at every commit that this process has, in turns: what the machine does meanwhile hits both."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch

from mhsa.bench.compare.attribution.profile_record import CallProfile
from mhsa.bench.compare.attribution.profiler import Profiler
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.building import built_at
from mhsa.bench.git.isolated_imports import Side
from mhsa.bench.measure.cell import reason_of
from mhsa.bench.measure.implementation import Loaded, call_of


def profiles_of(
    benchmark: Benchmark, sides: Mapping[str, Side], trees: Mapping[str, Path], loaded: Loaded,
    *, seconds: float, fewest: int, most: int,
) -> dict[str, CallProfile] | str:  # fmt: skip
    """Return a profile of each side, or why there is none.

    Args:
        benchmark: what is called.
        sides: in which each commit's modules are found.
        trees: the folder of each commit's files, whose lines are the subject's own.
        loaded: what this process has loaded until now.
        seconds: of runs at each side, but for the fewest.
        fewest, most: runs at each side.
    """
    profilers: dict[str, Profiler] = {}
    training = benchmark.passes == "training"
    with torch.set_grad_enabled(training):
        for name, side in sides.items():
            built = built_at(loaded, benchmark, name, side, str(side.folder))
            if isinstance(built, str):
                return f"{name}: {built}"
            try:
                with side:
                    call = call_of(built, benchmark.passes)
                    profilers[name] = Profiler(call, trees[name], benchmark.request.device, backward=training)
            except Exception as error:
                return f"{name}: {reason_of(error)}"
        begin = time.monotonic()
        runs = 0
        while runs < fewest or (runs < most and time.monotonic() - begin < seconds * len(sides)):
            for name in list(sides) if runs % 2 == 0 else list(sides)[::-1]:
                try:
                    with sides[name]:
                        profilers[name].once()
                except Exception as error:
                    return f"{name}: {reason_of(error)}"
            runs += 1
    return {name: profiler.result() for name, profiler in profilers.items()}
