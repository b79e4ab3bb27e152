"""Times of several calls, as ratios to one of them: blocks of milliseconds that alternate in one process.

Separate processes draw a bias of 10 to 15 % each, which no repetition within them removes; two things that take turns in one
process share it. Every block of a contender stands between two blocks of the baseline, whose mean is what it is divided by: a
drift of the machine's speed that is linear over three blocks cancels.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mhsa.bench.measure.clock import Call, Clock

_LEAST = 3  # blocks, so that a median says something
_PATIENCE = 8.0  # times its budget that a contender may take for them; what is slower than that is known to be slow
_MOST = 400  # blocks: by then the interval of a median is a twentieth of the spread


@dataclass(frozen=True)
class Timing:
    """``seconds`` of one call and its ``ratio`` to the baseline's, medians over ``blocks``, with the ratio's 95 % interval."""

    seconds: float
    ratio: float
    low: float
    high: float
    blocks: int


def take_turns(
    clock: Clock,
    baseline: Call,
    calls: Mapping[str, Call],
    budget: float,
    calling: Callable[[str], None] = lambda name: None,
    within: Callable[[str], AbstractContextManager[object]] = lambda name: contextlib.nullcontext(),
) -> dict[str, Timing]:
    """Time calls in turns with the baseline.

    Args:
        clock: of the device.
        baseline: what they are compared with.
        calls: by name.
        budget: seconds for the blocks of each.
        calling: is called with the name that is about to be called; "" stands for the baseline.
        within: gives a context for the blocks of each; what it takes to enter is not timed.
    """
    calling("")
    of_baseline = clock.calibrate(baseline)
    counts = {}
    for name, call in calls.items():
        calling(name)
        with within(name):
            counts[name] = clock.calibrate(call)
    spent = dict.fromkeys(calls, 0.0)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    ratios: dict[str, list[float]] = {name: [] for name in calls}
    before = clock.block(baseline, of_baseline)
    order = list(calls)
    while waiting := [name for name in order if _goes_on(len(ratios[name]), spent[name], budget)]:
        for name in waiting:
            calling(name)
            with within(name):
                found = clock.block(calls[name], counts[name])
            calling("")
            after = clock.block(baseline, of_baseline)
            seconds[name].append(found)
            ratios[name].append(found / ((before + after) / 2))
            spent[name] += found * counts[name] + after * of_baseline
            before = after
        order.reverse()  # so that none always comes after the same neighbour
    return {name: _timing(seconds[name], ratios[name]) for name in calls}


def _goes_on(blocks: int, spent: float, budget: float) -> bool:
    if blocks < _LEAST:
        return blocks == 0 or spent < _PATIENCE * budget
    return spent < budget and blocks < _MOST


def _timing(seconds: Sequence[float], ratios: Sequence[float]) -> Timing:
    low, high = interval(ratios)
    return Timing(statistics.median(seconds), statistics.median(ratios), low, high, len(ratios))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a 95 % interval of the median: two of the values, as far from the ends as the binomial distribution allows.

    (Conover, Practical Nonparametric Statistics, 1999, section 3.2.) Fewer than six values give all of their range, which
    covers the median with less than 95 %.
    """
    ordered = sorted(values)
    n = len(ordered)
    low, below = 0, 1  # of 2^n ways for the median to lie above or below each value, those with at most ``low`` below
    while (more := below + math.comb(n, low + 1)) * 40 <= 2**n:
        low, below = low + 1, more
    return ordered[low], ordered[n - 1 - low]
