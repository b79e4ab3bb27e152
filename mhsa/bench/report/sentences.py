"""Sentences that the reports of ``mhsa bench`` share: why figures are missing, how costs grow, what was checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mhsa.bench.measure.growth import growths
from mhsa.bench.measure.measurement import Measurement
from mhsa.records.shape import Shape
from mhsa.reports.text import printable

READING = (
    "A time is that of one call, the median of blocks. Its ratio is to the baseline, four plain projections and torch's "
    "scaled_dot_product_attention, of which a block was timed before and after each block: 1.00x is as fast as that, and "
    "larger is worse. The interval, 95 %, is of the median over blocks; where it holds 1, no difference was shown.",
    "Peak memory is the most that a call held at one time beyond what was there before it; allocated is all that it asked "
    "for, freed or not; operators are the calls that torch's dispatcher was given. Of all three, larger is worse, and the "
    "clock's noise does not move them.",
    "FLOPs are those of matrix products and attention as torch's own counter has them: a multiply-add is two, and causal "
    "attention counts whole, not halved. TFLOP/s are FLOPs divided by the time: an implementation that "
    "computes more than is needed has more of them, so they rank nothing.",
    "Growth is the exponent of the sequence length T, fitted to the longest sequences. Attention needs memory that is linear "
    "in T and time that is at most quadratic; more is said where the term that is not needed is more than half of the cost.",
)


def machine_line(machine: Mapping[str, str | int]) -> str:
    """Return the conditions under which everything was measured, in one line."""
    return printable("  ".join(f"{name} {value}" for name, value in machine.items()))


def reasons(measurements: Sequence[Measurement]) -> list[str]:
    """Return, once each, why figures are missing, and where."""
    tried: dict[tuple[str, str], list[str]] = {}
    missing: dict[tuple[str, str], dict[str, list[str]]] = {}
    short = places(measurements)
    for m in measurements:
        place = short[m.passes, m.dtype, m.device]
        tried.setdefault((m.implementation, place), []).append(m.shape.name)
        if m.outcome != "measured":
            missing.setdefault((m.implementation, m.words), {}).setdefault(place, []).append(m.shape.name)
    lines = []
    for (implementation, words), where in missing.items():
        alike: dict[str, list[str]] = {}
        for place, names in where.items():
            every = names == tried[implementation, place] and len(names) > 1
            alike.setdefault("every shape" if every else ", ".join(dict.fromkeys(names)), []).append(place)
        every_place = len({place for name, place in tried if name == implementation})
        where_missing = (
            names if len(some) == every_place else f"{names}: {' and '.join(some)}" for names, some in alike.items()
        )
        lines.append(printable(f"{implementation}: {' '.join(words.split())} ({'; '.join(where_missing)})"))
    return lines


def growth_lines(measurements: Sequence[Measurement]) -> list[tuple[str, bool]]:
    """Return what is known of growth, a line each, and whether it tells of a class that is left.

    Those with too few lengths share one line; it is missing if nothing was measured at all.
    """
    lines: list[tuple[str, bool]] = []
    few: list[str] = []
    short = places(measurements)
    for (implementation, passes, dtype, device), found in growths(measurements).items():
        known = [growth for growth in found if growth.slope is not None]
        subject = ", ".join(filter(None, (implementation, short[passes, dtype, device])))
        ranges = {(growth.slope.first, growth.slope.last) for growth in known if growth.slope is not None}
        if len(known) > 1 and len(ranges) == 1 and all(growth.kept for growth in known):
            shown = ", ".join(f"{growth.quantity} as {growth.slope}" for growth in known)
            lines.append((printable(f"{subject}: {shown}, from {' to '.join(map(str, *ranges))}"), False))
        else:
            lines += [(printable(f"{subject}: {growth.words}"), growth.leaves is not None) for growth in known]
        few += [] if known else [implementation]
    if few:
        names = printable(", ".join(dict.fromkeys(few)))
        words = "not fitted: it needs three shapes that differ in nothing but the length, long 2048, 4096 and 8192 say"
        lines.append((f"{names}: {words}", False))
    return lines


def places(measurements: Iterable[Measurement]) -> dict[tuple[str, str, str], str]:
    """Return each pass, dtype and device of a run in words, without those that are the same in all of it."""
    every = list(dict.fromkeys((m.passes, m.dtype, m.device) for m in measurements))
    differs = [len(set(values)) > 1 for values in zip(*every, strict=True)]
    return {key: ", ".join(word for word, different in zip(key, differs, strict=True) if different) for key in every}


def common(measurements: Iterable[Measurement]) -> str:
    """Return the pass, dtype and device that are the same in a whole run, in words."""
    every = {(m.passes, m.dtype, m.device) for m in measurements}
    return ", ".join(values[0] for values in zip(*every, strict=True) if len(set(values)) == 1)


def checked(measurements: Iterable[Measurement]) -> list[str]:
    """Return, for each shape, how many queries of what was then timed were compared with the oracle before."""
    rows: dict[Shape, dict[int, list[str]]] = {}
    for m in measurements:
        if m.outcome == "measured":
            names = rows.setdefault(m.shape, {}).setdefault(m.rows, [])
            names += [] if m.implementation in names else [m.implementation]
    lines = []
    for shape, counts in rows.items():
        parts = [f"{_of(n, shape.asked)}{': ' + ', '.join(names) if len(counts) > 1 else ''}" for n, names in counts.items()]
        lines.append(printable(f"{shape.name}: {'; '.join(parts)}"))
    return lines


def _of(rows: int, length: int) -> str:
    return f"all {length} queries" if rows >= length else f"{rows} of {length} queries" if rows else "not compared"
