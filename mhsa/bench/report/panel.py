"""One panel of the picture: a cost over the sequence length on logarithmic axes, with guides for T and T^2."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mhsa.bench.measure.measurement import Measurement
from mhsa.bench.report import format as wording

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The page gives these the colours of its own theme, so they are the light ones there (mhsa/reports/html/verdict_page.css).
PAPER, INK, MUTED, RULE = "#ffffff", "#1b1e23", "#596069", "#dcdfe4"
_FAN = 4  # the guides span the last two doublings: enough to lay a ruler along
_TICKS = 7  # on an axis, at most
# What is drawn: the figure, its words on the axis, and the base of the logarithm, by which units are counted.
COSTS: Mapping[str, tuple[Callable[[Measurement], float | None], Callable[[float], str], int]] = {
    "time": (lambda m: m.seconds, wording.seconds, 10),
    "peak memory": (lambda m: m.counters.peak, lambda x: wording.size(round(x)), 2),
}


def draw_panel(panel: Axes, series: Mapping[str, Sequence[Measurement]], cost: str, styles: Mapping[str, Any]) -> None:
    """Draw one cost of one pass; the axes are logarithmic, so a power of the length is a straight line."""
    figure, words, base = COSTS[cost]
    lines: dict[str, list[tuple[int, float]]] = {}
    for name, found in series.items():
        points = [(m.shape.length, y) for m in found if (y := figure(m)) is not None and y > 0]
        lines |= {name: points} if points else {}
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        panel.spines[side].set_color(MUTED)
    panel.tick_params(colors=MUTED, labelcolor=INK, labelsize=8.5)
    if not lines:
        panel.set(xticks=[], yticks=[])
        panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center", color=MUTED)
        return
    panel.set_xscale("log", base=2)
    panel.set_yscale("log", base=base)
    for name, points in lines.items():
        panel.plot(*zip(*points, strict=True), **styles[name])
    every = [point for points in lines.values() for point in points]
    lengths = sorted({x for x, _ in every})
    low, high = min(y for _, y in every) / 1.4, max(y for _, y in every) * 1.6
    if len(lengths) > 1:
        low = min(low, _guides(panel, lines, max(lengths[0], lengths[-1] / _FAN), lengths[-1]) / 1.4)
    panel.set_ylim(low, high)
    panel.set_xlim(lengths[0] / 1.15, lengths[-1] * 1.25)  # to the right there is room for the guides' names
    panel.set_xticks(_sparse(lengths), [str(x) for x in _sparse(lengths)], minor=False)
    ticks = _round_numbers(low, high, base)
    panel.set_yticks(ticks, [re.sub(r"\.0+(?= )", "", words(y)) for y in ticks], minor=False)
    panel.minorticks_off()
    panel.grid(color=RULE, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.set_xlabel("sequence length T", size=8.5, color=MUTED)


def _guides(panel: Axes, lines: Mapping[str, Sequence[tuple[int, float]]], first: float, last: int) -> float:
    """Draw how T and T^2 rise, below every line, and return where they begin."""
    # Half of what the steeper one must be to touch the lowest line; a line that begins later cannot be touched before.
    begin = min(y / max(x / first, 1.0) ** 2 for points in lines.values() for x, y in points if x >= first) / 2
    for power, name in ((1, "T"), (2, "T²")):
        end = begin * (last / first) ** power
        panel.plot([first, last], [begin, end], color=MUTED, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=2)
        panel.annotate(name, (last, end), (4, 0), textcoords="offset points", size=8.5, color=MUTED, va="center")
    return begin


def _sparse(lengths: Sequence[int]) -> list[int]:
    """The lengths that are labelled: so few that no label touches another."""
    apart = math.log(lengths[-1] / lengths[0]) / _TICKS
    kept = [lengths[-1]]
    for length in reversed(lengths[:-1]):
        kept += [length] if math.log(kept[-1] / length) >= apart * 0.99 else []
    return kept[::-1]


def _round_numbers(low: float, high: float, base: int) -> list[float]:
    """Ticks at whole powers of the base, or at 1, 2, 5 times those where there would be only a few."""
    powers = range(math.floor(math.log(low, base)), math.ceil(math.log(high, base)) + 1)
    step = math.ceil(len(powers) / _TICKS)
    within = [float(base) ** n for n in powers if n % step == 0 and low <= float(base) ** n <= high]
    if len(within) > 2 or base != 10:
        return within
    finer = [digit * 10.0**n for n in powers for digit in (1, 2, 5)]
    return [y for y in finer if low <= y <= high]
