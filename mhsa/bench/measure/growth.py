"""With which power of the sequence length time and memory grow, and from where on that is more than attention needs.

Attention needs memory that is linear in the length T, as a core that never holds all scores shows (Rabe and Staats,
arXiv:2112.05682; Dao et al., arXiv:2205.14135), and time that is quadratic: every query is multiplied with every key.

The exponent between two lengths is the slope of log cost over log length. If cost = b T + c T^2, the slope between T and r T
is above 1.5 exactly where the quadratic term is more than half of the cost at the geometric mean of the two: solve
r^1.5 = (r b + r^2 c T) / (b + c T) for c T / b, which is r^-1/2. So halfway between the class and the next power is where the
term that does not belong there takes over, and no taste is in the number. Likewise 2.5 for time. A constant, which every
call has, only lowers a slope, so it can hide a term at short lengths but never feign one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from mhsa.bench.measure.measurement import Measurement
from mhsa.records.shape import Shape

Quantity = Literal["time", "memory"]
QUANTITIES: tuple[Quantity, ...] = ("time", "memory")
CLASSES: Mapping[Quantity, int] = {"time": 2, "memory": 1}  # the power of the length that attention needs
FEWEST = 3  # lengths: two give one slope, which can neither be confirmed nor contradicted
_NAMES: Mapping[int, str] = {1: "linear", 2: "quadratic"}
_HALFWAY = 0.5  # above the class; see the top of this file
_NOTICED = 0.1  # above the class: by the same reckoning a tenth of the cost, and less is not worth a sentence
_SHOWN = 0.005  # less is 0.00
_NORMAL = 1.96  # standard errors to the end of a 95 % interval
# Relative, at 95 %. Two lengths are timed minutes apart, and the interval of a ratio, which compares neighbouring blocks,
# does not see what the machine changed in between. 5 % at both ends makes a doubling's exponent uncertain by 0.1: little
# compared with the 0.5 between a class and where it is left.
_DRIFT = 0.05


@dataclass(frozen=True)
class Point:
    """What a call costs at one length, in seconds or bytes; ``error`` is relative, half of a 95 % interval."""

    length: int
    cost: float
    error: float = 0.0


@dataclass(frozen=True)
class Slope:
    """An exponent over the lengths from ``first`` to ``last``; ``error`` is half of its 95 % interval."""

    exponent: float
    error: float
    first: int
    last: int

    def __str__(self) -> str:
        shown = f"T^{self.exponent:.2f}"
        return f"{shown} +- {self.error:.2f}" if self.error >= _SHOWN else shown


@dataclass(frozen=True)
class Growth:
    """How one cost of one implementation grows.

    Attributes:
        slope: over the lengths from which on the class is left, or else over the last three; None if there are too few.
        last: of the last step, usually a doubling.
        leaves: the length from which on every step is beyond the class; None if the class is kept.
        lengths: how many there are.
    """

    quantity: Quantity
    slope: Slope | None
    last: Slope | None
    leaves: int | None
    lengths: int

    @property
    def kept(self) -> bool:
        """Whether nothing speaks against the class."""
        if self.slope is None or self.leaves is not None or self.suspected:
            return False
        return not _above(self.slope, self.quantity, _NOTICED)

    @property
    def suspected(self) -> bool:
        """Whether the last step is beyond the limit, be it alone or not."""
        return self.last is not None and _above(self.last, self.quantity, _HALFWAY)

    @property
    def words(self) -> str:
        """What was found, as the end of a sentence that begins with the implementation's name."""
        if self.slope is None or self.last is None:
            return f"{self.quantity}: {self.lengths} of the at least {FEWEST} lengths that growth is fitted to"
        possible = _NAMES[CLASSES[self.quantity]]
        if self.leaves is not None:
            return f"{self.quantity} grows as {self.slope} from {self.leaves} on: {possible} is possible"
        found = f"{self.quantity} grows as {self.slope} from {self.slope.first} to {self.slope.last}"
        if self.suspected:
            return f"{found}, but as {self.last} from {self.last.first} on: one step alone, so measure a longer sequence"
        if not self.kept:
            return f"{found}: less than half of it is more than {possible}"
        return f"{found}: {'about' if _above(self.slope, self.quantity, _SHOWN) else 'at most'} {possible}"


def steps(points: Iterable[Point]) -> list[Slope]:
    """Return the exponent between each length and the next, with the error that the errors of both costs give it."""
    found = _usable(points)
    slopes = []
    for a, b in pairwise(found):
        width = math.log(b.length / a.length)
        slopes.append(Slope(math.log(b.cost / a.cost) / width, math.hypot(a.error, b.error) / width, a.length, b.length))
    return slopes


def fit(points: Iterable[Point]) -> Slope:
    """Return the least-squares line through log cost over log length; every length weighs the same.

    Its error is what the errors of the costs give it, or what their scatter about the line does if that is more: a line
    is not the whole truth where two terms mix, and then the scatter says so (Birge, Phys. Rev. 40, 207, 1932).

    Raises:
        ValueError: there are fewer than two lengths.
    """
    found = _usable(points)
    if len(found) < 2:
        raise ValueError(f"{len(found)} lengths; a slope needs at least two with a cost above zero")
    x = np.log([p.length for p in found])
    y = np.log([p.cost for p in found])
    x -= x.mean()
    square = float(x @ x)
    exponent = float(x @ y) / square
    scatter = y - y.mean() - exponent * x
    stated = math.sqrt(float(np.sum((x * [p.error for p in found]) ** 2))) / square
    free = len(found) - 2
    seen = _NORMAL * math.sqrt(float(scatter @ scatter) / free / square) if free else 0.0
    return Slope(exponent, max(stated, seen), found[0].length, found[-1].length)


def classify(points: Iterable[Point], quantity: Quantity) -> Growth:
    """Say how a cost grows, and from which length on it leaves its class.

    The class is left if at least the last two steps are beyond the limit with their whole intervals; one step may be a
    library that changes its algorithm at some size. The exponent is then fitted to the lengths from there on, where the
    term that does not belong there is more than half of the cost.
    """
    found = _usable(points)
    if len(found) < FEWEST:
        return Growth(quantity, None, None, None, len(found))
    slopes = steps(found)
    beyond = 0
    while beyond < len(slopes) and _above(slopes[-1 - beyond], quantity, _HALFWAY):
        beyond += 1
    left = beyond >= FEWEST - 1
    fitted = found[-1 - beyond :] if left else found[-FEWEST:]
    return Growth(quantity, fit(fitted), slopes[-1], fitted[0].length if left else None, len(found))


def growths(measurements: Sequence[Measurement]) -> dict[tuple[str, str, str, str], list[Growth]]:
    """Return the growth of time and of peak memory by implementation, pass, dtype and device.

    Only shapes that differ in nothing but the length tell of growth; of several such series the one with most lengths is
    taken. What was not measured is left out.
    """
    found: dict[tuple[str, str, str, str], list[Growth]] = {}
    for key, series in longest(measurements).items():
        time = [Point(m.shape.length, m.seconds, _error(m)) for m in series if m.seconds is not None]
        memory = [Point(m.shape.length, float(m.counters.peak)) for m in series if m.counters.peak is not None]
        grown = [classify(time, "time")] if time else []
        found[key] = [*grown, classify(memory, "memory")] if memory else grown
    return found


def longest(measurements: Sequence[Measurement]) -> dict[tuple[str, str, str, str], list[Measurement]]:
    """Return, by implementation, pass, dtype and device, what was measured at most lengths of one batch, heads and width."""
    every: dict[tuple[str, str, str, str], dict[tuple[int, int, int, int], dict[int, Measurement]]]
    every = defaultdict(lambda: defaultdict(dict))
    for m in measurements:
        if m.outcome == "measured":
            every[m.implementation, m.passes, m.dtype, m.device][family(m.shape)].setdefault(m.shape.length, m)
    return {
        key: [by_length[n] for n in sorted(by_length)]
        for key, families in every.items()
        for by_length in [max(families.values(), key=len)]
    }


def family(shape: Shape) -> tuple[int, int, int, int]:
    """Return what shapes have in common that differ in nothing but the length: batch, heads, width, and queries if stated."""
    return shape.batch, shape.head, shape.d_model, shape.queries


def _usable(points: Iterable[Point]) -> list[Point]:
    """The points by length, without those that have no logarithm; of one length that was measured twice, the first."""
    by_length: dict[int, Point] = {}
    for point in points:
        if point.length > 0 and 0 < point.cost < math.inf:
            by_length.setdefault(point.length, point)
    return [by_length[length] for length in sorted(by_length)]


def _above(slope: Slope, quantity: Quantity, more: float) -> bool:
    """Whether the whole interval is above the class by more than this part of a power."""
    return slope.exponent - slope.error > CLASSES[quantity] + more


def _error(m: Measurement) -> float:
    """Relative error of a time: the interval of its ratio, and what that cannot see."""
    if m.ratio is None or m.low is None or m.high is None or m.ratio <= 0:
        return _DRIFT
    return math.hypot((m.high - m.low) / 2 / m.ratio, _DRIFT)
