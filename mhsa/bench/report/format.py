"""Figures that the reports of ``mhsa bench`` share; ASCII, so that any terminal shows them.

A figure is shown only where the outcome is "measured": a wrong result has no speed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mhsa.bench.measure.measurement import BASELINE, Counters, Measurement
from mhsa.records.shape import Shape
from mhsa.reports.text import printable

NOTHING = "-"
# A name may be folded after a dot, a colon, a slash, an underscore, and before a capital.
_PIECES = re.compile(r"(?:[A-Z]+(?![a-z])|[A-Z]?[^\W_A-Z]+|[A-Z])[\W_]*|[\W_]+")
_WIDE = 0.1  # of the ratio, from end to end: then not even its first decimal is certain, and the interval is shown with it
_UNROUNDED = 999.5  # from here on three digits would round to 1000 of a unit
_TIMES = ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms"), (1.0, "s"))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_POWERS = ("", "k", "M", "G", "T", "P")


@dataclass(frozen=True)
class Group:
    """What can stand in one table: one pass, dtype and device."""

    title: str
    shapes: tuple[Shape, ...]
    implementations: tuple[str, ...]
    cells: Mapping[tuple[Shape, str], Measurement]

    @property
    def remembers(self) -> bool:
        """Whether the peak memory of any measurement is known."""
        return any(m.outcome == "measured" and m.counters.peak is not None for m in self.cells.values())

    def name(self, shape: Shape) -> str:
        """Return the shape's name; with its sizes if another of that name is there, for shapes that exist in one size only."""
        alike = sum(other.name == shape.name for other in self.shapes) > 1
        return f"{shape.name} (H={shape.head} d_model={shape.d_model})" if alike else shape.name


def grouped(measurements: Iterable[Measurement]) -> list[Group]:
    """Return the tables; everything stands in the order in which it was measured first."""
    found: dict[tuple[str, str, str], list[Measurement]] = {}
    for m in measurements:
        found.setdefault((m.passes, m.dtype, m.device), []).append(m)
    return [
        Group(
            ", ".join(key),
            tuple(dict.fromkeys(m.shape for m in some)),
            tuple(dict.fromkeys(m.implementation for m in some)),
            {(m.shape, m.implementation): m for m in some},
        )
        for key, some in found.items()
    ]


def shown(m: Measurement | None, figure: Callable[[Measurement], str | None]) -> str:
    """Return what stands in a cell: the figure, or the word for why there is none."""
    if m is None:
        return NOTHING
    return figure(m) or NOTHING if m.outcome == "measured" else m.outcome


def time(m: Measurement) -> str | None:
    """Return the time of one call with its unit."""
    return None if m.seconds is None else seconds(m.seconds)


def ratio(m: Measurement) -> str | None:
    """Return the ratio to the baseline; none for the baseline itself."""
    return None if m.ratio is None or m.implementation == BASELINE else f"{_digits(m.ratio)}x"


def interval(m: Measurement) -> str | None:
    """Return the interval of the ratio."""
    if m.low is None or m.high is None or ratio(m) is None:
        return None
    return f"{_digits(m.low)} to {_digits(m.high)}"


def wide(m: Measurement) -> bool:
    """Say whether the ratio must not be read without its interval."""
    return m.low is not None and m.high is not None and m.ratio is not None and m.high - m.low > _WIDE * m.ratio


def peak(m: Measurement) -> str | None:
    """Return the peak memory with its unit."""
    return None if m.counters.peak is None else size(m.counters.peak)


def flops(m: Measurement) -> str | None:
    """Return the floating point operations with their unit."""
    return None if m.counters.flops is None else f"{_scaled(m.counters.flops, 1000, _POWERS, whole='')}FLOP"


def allocated(m: Measurement) -> str | None:
    """Return the allocated bytes, with their unit."""
    return None if m.counters.allocated is None else size(m.counters.allocated)


def speed(m: Measurement) -> str | None:
    """Return TFLOP/s, derived from the counted operations and the time."""
    if m.counters.flops is None or not m.seconds:
        return None
    return f"{m.counters.flops / m.seconds / 1e12:#.3g}"


# The columns of counters, in this order; one without any figure is left out.
COUNTERS: Mapping[str, Callable[[Measurement], str | None]] = {
    "operators": lambda m: _count(m.counters.operators),
    "kernels": lambda m: _count(m.counters.kernels),
    "FLOPs": flops,
    "TFLOP/s": speed,
    "allocated": allocated,
    "instructions": lambda m: _count(m.counters.instructions),
}


def counted(group: Group) -> list[str]:
    """Return the columns of counters that some measurement of the table has."""
    known = [m for m in group.cells.values() if m.outcome == "measured" and m.counters != Counters()]
    return [name for name, figure in COUNTERS.items() if any(figure(m) is not None for m in known)]


def pieces(name: str) -> list[str]:
    """Return the parts of a name between which it may be folded; together they are the name."""
    return _PIECES.findall(printable(name))


def seconds(x: float) -> str:
    """Return a time with three digits and its unit."""
    unit, name = next(((u, n) for u, n in _TIMES if x / u < _UNROUNDED), _TIMES[-1])
    return f"{_digits(x / unit)} {name}"


def size(n: int) -> str:
    """Return bytes with three digits and their unit."""
    return _scaled(n, 1024, _SIZES, whole=" B")


def _scaled(n: float, base: int, units: Sequence[str], whole: str) -> str:
    if n < _UNROUNDED:
        return f"{n:.0f}{whole or ' '}"
    power = 0
    while n >= _UNROUNDED and power < len(units) - 1:
        n /= base
        power += 1
    return f"{_digits(n)} {units[power]}"


def _count(n: int | None) -> str | None:
    """A number of things: exact up to a million, which a reader may want to explain to the last one."""
    if n is None:
        return None
    return str(n) if n < 10**6 else _scaled(n, 1000, _POWERS, whole="")


def _digits(x: float) -> str:
    """Three digits, as far as they stand behind the point."""
    return f"{x:.2f}" if x < 9.995 else f"{x:.1f}" if x < 99.95 else f"{x:.0f}"
