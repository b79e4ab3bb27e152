"""The least time that the baseline is seen to take, where it is not timed in turns with what it is compared with."""

from __future__ import annotations

import functools

import torch

from mhsa.bench.measure.clock import Clock
from mhsa.bench.measure.honesty.fresh_calls import FreshCalls
from mhsa.bench.measure.implementation import Built, build, loaded
from mhsa.bench.measure.measurement import BASELINE, Contender, Pass
from mhsa.subject.subject import Subject

_BLOCKS = 3


@functools.cache
def _subject(device: str) -> Subject:
    return loaded(Contender.known(BASELINE), device)


def of_the_baseline_at(built: Built, passes: Pass) -> float:
    """Return seconds of one call of the baseline at a contender's shape, dtype and device."""
    device = built.trial.subject.device
    baseline = build(Contender.known(BASELINE), _subject(device), built.shape, built.trial.case.dtype, device)
    calls, clock = FreshCalls(baseline, passes, None), Clock(device)
    with torch.set_grad_enabled(passes == "training"):
        number = clock.calibrate(calls)
        return min(clock.block(calls, number) for _ in range(_BLOCKS))
