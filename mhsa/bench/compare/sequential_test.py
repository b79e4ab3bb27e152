"""Slower, not slower, or cannot tell: what a list of log ratios, one of each process, says. docs/gate.md derives the rule.

A limit is the mean plus or minus a quantile of Student's distribution times the standard error. Every look at the data and
every benchmark has its own share of the error that is allowed (Bonferroni), so the guarantees add up whatever the benchmarks
have in common and however often one looks. Student's limits hold for noise that is normal with a different standard
deviation in each process (Bakirov and Szekely 2005), which a process that another job disturbed is an instance of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np

from mhsa.bench.compare.settings import MOST, THRESHOLD

Verdict = Literal["slower", "not slower", "cannot tell"]

ALARM = 0.01  # of a run in which nothing has changed: one false "slower" in a hundred merges at most
MISSED = 0.02  # of a slow-down as large as the threshold: "not slower"; with 5 %, no 95 % would be left for "slower"
FEWEST = 4  # processes: they show that nothing changed where it is quiet
_STEP = math.sqrt(2)  # from look to look at least: neighbours that share more data take shares of the error and find little
# What of its error has been spent after a share f of the processes is f to this power (Kim and DeMets 1987). Alarms: 93 %
# are left for the last look, which 3 % of 1.8 % needs. Passes: in proportion, most benchmarks have not changed.
_LATE, _EVEN = 8, 1
_HEAVIEST = 0.04  # one-sided; up to 4.16 % Student's limits hold with unequal variances (Ibragimov and Mueller 2010)
_LARGEST = 700.0  # a logarithm whose exponential is finite


@dataclass(frozen=True)
class Decision:
    """What was decided after ``processes``: ``ratio`` is head / base, between the limits ``low`` and ``high``.

    ``high`` below 1 + threshold is "not slower"; else ``low`` above 1 is "slower" where a look may say so. Where a slow-down
    is accepted, both are of head / (base x what is accepted).
    """

    verdict: Verdict
    ratio: float
    low: float
    high: float
    processes: int

    def times(self, accepted: float) -> Decision:
        """Return it with figures of head / base, if it was made of head / (base x ``accepted``)."""
        if accepted == 1:
            return self
        return replace(self, ratio=self.ratio * accepted, low=self.low * accepted, high=self.high * accepted)


@dataclass(frozen=True)
class Reach:
    """Standard deviations from the mean ``down`` and ``up`` to the limits; whether this look ``may_call_slower``."""

    down: float
    up: float
    may_call_slower: bool


def planned_looks(first: int = FEWEST, most: int = MOST) -> tuple[int, ...]:
    """Return the numbers of processes at which one looks: ``first``, and from ``most`` down, a factor sqrt(2) apart."""
    if not 2 <= first <= most:
        raise ValueError(f"the first look needs two processes, the last one no fewer: {first} and {most}")
    looks = [most]
    while (fewer := round(looks[-1] / _STEP)) >= first * _STEP:
        looks.append(fewer)
    return tuple(sorted({first, *looks}))


def decide(
    log_ratios: Sequence[float],
    *,
    threshold: float = THRESHOLD,
    looks: Sequence[int] = planned_looks(),
    benchmarks: int = 1,
    alpha: float = ALARM,
    last: bool = False,
) -> Decision:
    """Decide about one benchmark.

    Args:
        log_ratios: log(head / base), one of each process.
        threshold: the smallest slow-down that matters, 0.03 for 3 %.
        looks: all numbers of processes with an interim analysis, fixed before anything is measured. In between, the
            next one's share of the error is used; it may be used once.
        benchmarks: of the run, also those that are decided.
        alpha: how probable one false "slower" may be in a run in which nothing has changed.
        last: the time is over, so what is left of the error is spent. Nothing in the ratios may be the reason for it.

    A verdict other than "cannot tell" stands: a second call with other arguments spends the error twice.

    Raises:
        ValueError: for data or arguments with which nothing can be decided.
    """
    if not (math.isfinite(threshold) and threshold > 0):
        raise ValueError(f"the threshold must be a number above 0, such as 0.03 for 3 %: {threshold}")
    values = np.asarray(log_ratios, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError("there are no log ratios: at least one process must have been measured")
    if not np.isfinite(values).all():
        raise ValueError(f"a log ratio is not a finite number: {values[~np.isfinite(values)][0]}")
    mean = float(values.mean())
    if values.size == 1:
        _checked(tuple(looks), benchmarks, alpha)
        return Decision("cannot tell", _factor(mean), 0.0, math.inf, 1)
    reach = reach_of(values.size, looks=looks, benchmarks=benchmarks, alpha=alpha, last=last)
    spread = float(values.std(ddof=1))
    low, high = mean - reach.down * spread, mean + reach.up * spread
    verdict: Verdict = "cannot tell"
    if values.size >= min(looks) or last:
        if high < math.log1p(threshold):
            verdict = "not slower"
        elif reach.may_call_slower and low > 0:
            verdict = "slower"
    return Decision(verdict, _factor(mean), _factor(low), _factor(high), values.size)


@cache
def _checked(looks: tuple[int, ...], benchmarks: int, alpha: float) -> tuple[int, ...]:
    if not looks or looks[0] < 2 or any(b <= a for a, b in pairwise(looks)):
        raise ValueError(f"looks must be increasing numbers of processes, from two on: {looks}")
    if benchmarks < 1:
        raise ValueError(f"there must be at least one benchmark: {benchmarks}")
    if not 0 < alpha <= _HEAVIEST:
        raise ValueError(f"alpha must be above 0 and at most {_HEAVIEST}, up to where the limits are proven: {alpha}")
    return looks


def _levels(processes: int, looks: Sequence[int], benchmarks: int, alpha: float, last: bool) -> tuple[float, float, bool]:
    """Return the probabilities with which this look may err, calling slower or not, and whether it may call slower at all."""
    looks = _checked(tuple(looks), benchmarks, alpha)
    most, share = looks[-1], alpha / benchmarks
    if processes > most:
        raise ValueError(f"{processes} processes are more than the {most} that were planned")
    # While there is time, no look reports `slower` if a sign test could not: all processes lean to one side by chance with
    # probability 2^-n, and noise that knows two values, which memory's places may give, then leaves next to no spread.
    calling = [n for n in looks if n == most or 0.5**n <= share]
    end = most if last else next(n for n in looks if n >= processes)
    may_call_slower = last or (end in calling and (end == most or 0.5**processes <= share))
    before = max((n for n in calling if n < min(end, processes)), default=0)
    passed = max((n for n in looks if n < min(end, processes)), default=0)
    slower = share * ((end / most) ** _LATE - (before / most) ** _LATE)
    let_pass = MISSED * ((end / most) ** _EVEN - (passed / most) ** _EVEN)
    return slower, let_pass, may_call_slower


def reach_of(processes: int, *, looks: Sequence[int], benchmarks: int, alpha: float = ALARM, last: bool = False) -> Reach:
    """Return how far the limits are from the mean, in standard deviations of single processes."""
    slower, let_pass, may_call_slower = _levels(processes, looks, benchmarks, alpha, last)
    root = math.sqrt(processes)
    up = student(let_pass, processes - 1) / root
    # A look that cannot report `slower` shows the mirror of its upper limit.
    return Reach(student(slower, processes - 1) / root if may_call_slower else up, up, may_call_slower)


@cache
def student(level: float, freedom: int) -> float:
    """Return what Student's t with ``freedom`` degrees exceeds with probability ``level``, which is at most 4 %."""
    if not 0 < level <= _HEAVIEST or freedom < 1:
        raise ValueError(f"no quantile for a level of {level} and {freedom} degrees of freedom")
    low, high = 1.0, 2.0  # 4 % lie beyond 1.75 for any freedom
    while _tail(high, freedom) > level:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle, freedom) > level else (low, middle)
    return (low + high) / 2


def _tail(t: float, freedom: int) -> float:
    """P(T > t), t > 0: half of the incomplete beta function I_x(freedom / 2, 1 / 2) at x = freedom / (freedom + t^2).

    Its power series (Abramowitz and Stegun 1964, 26.5.4; DLMF 8.17.8) has positive terms only, so nothing cancels, however
    small the tail.
    """
    a, b = freedom / 2, 0.5
    x = freedom / (freedom + t * t)
    term = total = 1.0
    k = 0
    while term > 1e-17 * total:
        term *= x * (a + b + k) / (a + 1 + k)
        total += term
        k += 1
    front = a * math.log(x) + b * math.log1p(-x) - math.log(a) - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    return math.exp(front) * total / 2


def _factor(logarithm: float) -> float:
    return math.exp(min(logarithm, _LARGEST))
