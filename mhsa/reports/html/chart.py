"""How near the properties came to their bounds: one block per property and dtype over a logarithmic axis."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from mhsa.records.results import PropertyResult
from mhsa.reports.html.markup import Markup, join, scrolling, tag

# Percent of the width, so that the chart fits any screen while its letters keep their size.
_ZERO, _LEFT, _WIDTH = 0.0, 7.0, 93.0
_BINS = 72
_LOWEST, _HIGHEST = -9, 18  # decades; what lies beyond is drawn at the edge
_LABEL, _TOP, _HEIGHT, _AXIS = 14, 30, 92, 20  # pixels: the bound's label, a row's title, a row's blocks, and the axis
_TALLEST = 7.0
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class _Scale:
    """The axis: whole decades from ``low`` to ``high``, each cut into bins, so that no bin lies on both sides of the bound."""

    low: int
    high: int

    @property
    def bins(self) -> int:
        return max(1, _BINS // (self.high - self.low))

    def bin(self, ratio: float) -> int:
        """Return where a ratio is drawn; -1 is an exact zero."""
        if ratio == 0:
            return -1
        # A ratio of 1 is within the bound, so each bin holds its upper end.
        place = math.ceil((math.log10(ratio) - self.low) * self.bins) - 1
        return min(max(place, 0), (self.high - self.low) * self.bins - 1)

    def left(self, place: int) -> float:
        """Return the left edge of a bin in percent."""
        return _ZERO if place < 0 else _LEFT + place * self.width

    @property
    def width(self) -> float:
        """Width of a bin in percent."""
        return _WIDTH / ((self.high - self.low) * self.bins)

    def tick(self, decade: int) -> float:
        return _LEFT + _WIDTH * (decade - self.low) / (self.high - self.low)


def distribution(properties: Sequence[PropertyResult]) -> Markup | None:
    """Draw error/bound of all properties, one row per dtype; None if nothing was compared."""
    rows: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for p in properties:
        for dtype, x in p.worst_by_dtype.items():
            if math.isfinite(x) and x >= 0:
                rows[dtype].append((x, p.id))
    if not rows:
        return None
    scale = _scale([ratio for ratios in rows.values() for ratio, _ in ratios])
    note = "Each block is a property at its worst case. Left of 1 the error is within its bound; "
    note += "at 0 nothing differs at all. Point at a block for its name."
    not_drawn = sum(p.outcome == "fail" and not p.worst_by_dtype for p in properties)
    note += f" Not drawn: {not_drawn} failed properties without a finite ratio." if not_drawn else ""
    return join([tag("figure", _svg(rows, scale), class_="chart"), tag("p", note, class_="hint"), _figures(rows)])


def _scale(ratios: Sequence[float]) -> _Scale:
    decades = [math.log10(x) for x in ratios if x > 0]
    low = min((math.floor(x) for x in decades), default=-3)
    high = max((math.ceil(x) for x in decades), default=1)
    return _Scale(min(max(low, _LOWEST), -2), max(min(high, _HIGHEST), 1))


def _svg(rows: Mapping[str, list[tuple[float, str]]], scale: _Scale) -> Markup:
    stacks = {dtype: _stacks(ratios, scale) for dtype, ratios in rows.items()}
    most = max(len(stack) for by_bin in stacks.values() for stack in by_bin.values())
    pitch = min(_TALLEST, _HEIGHT / most)
    row = round(_TOP + pitch * most)
    height = _LABEL + row * len(rows) + _AXIS
    parts: list[Markup] = [_bound(scale, height)]
    for n, (dtype, by_bin) in enumerate(stacks.items()):
        base = _LABEL + row * (n + 1)
        parts.append(tag("text", dtype, x=f"{_ZERO}%", y=base - row + 18, class_="dtype"))
        parts.append(tag("line", x1=f"{_ZERO}%", x2=f"{_LEFT + _WIDTH}%", y1=base, y2=base, class_="base"))
        for place, stack in by_bin.items():
            parts += [_block(scale, place, ratio, name, base - pitch * (k + 1), pitch) for k, (ratio, name) in enumerate(stack)]
    return tag(
        "svg",
        tag("title", "Error divided by bound, per dtype"),
        *parts,
        *_axis(scale, rows, height),
        width="100%",
        height=height,
        role="img",
    )


def _stacks(ratios: Sequence[tuple[float, str]], scale: _Scale) -> dict[int, list[tuple[float, str]]]:
    stacks: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for ratio, name in sorted(ratios):
        stacks[scale.bin(ratio)].append((ratio, name))
    return stacks


def _block(scale: _Scale, place: int, ratio: float, name: str, y: float, pitch: float) -> Markup:
    return tag(
        "rect",
        tag("title", f"{name}: {ratio:.2g}"),
        x=f"{scale.left(place):.2f}%",
        y=f"{y:.1f}",
        width=f"{max(scale.width, 1.0) * 0.86:.2f}%",
        height=f"{pitch - (1 if pitch > 3 else 0.4 * (pitch > 1)):.1f}",
        class_="over" if ratio > 1 else "within",
    )


def _bound(scale: _Scale, height: int) -> Markup:
    x = scale.tick(0)
    side = {"text_anchor": "end", "dx": -6} if x > 60 else {"dx": 6}
    line = tag("line", x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=0, y2=height - _AXIS + 4, class_="bound")
    return join([line, tag("text", "1 = the bound", x=f"{x:.2f}%", y=11, class_="bound", **side)])


def _axis(scale: _Scale, rows: Mapping[str, Any], height: int) -> list[Markup]:
    ratios = [ratio for pairs in rows.values() for ratio, _ in pairs]
    step = math.ceil((scale.high - scale.low) / 6)
    beyond = max(ratios) > 10.0**scale.high  # then the edge is labelled, and what would stand too near is not
    ticks = [t for t in range(scale.low, scale.high + 1) if t % step == 0 and not (beyond and 0 < scale.high - t < step)]
    ticks += [scale.high] if beyond and scale.high not in ticks else []
    y = height - 4
    parts = [tag("text", "0", x=f"{_ZERO}%", y=y)] if 0.0 in ratios else []
    for decade in ticks:
        label = "1" if decade == 0 else "10" if decade == 1 else f"10{str(decade).translate(_SUPERSCRIPTS)}"
        label = f"≥ {label}" if beyond and decade == scale.high else label
        end = decade == scale.high
        parts.append(tag("text", label, x=f"{scale.tick(decade):.2f}%", y=y, text_anchor="end" if end else "middle"))
    return parts


def _figures(rows: Mapping[str, list[tuple[float, str]]]) -> Markup:
    """The same in figures, for readers who cannot see the chart."""
    names = {"dtype": None, "properties": "figure", "median": "figure", "worst": "figure", "of": None}
    head = tag("tr", *(tag("th", name, scope="col", class_=class_) for name, class_ in names.items()))
    body = []
    for dtype, ratios in rows.items():
        worst, name = max(ratios)
        figures = (len(ratios), f"{median(ratio for ratio, _ in ratios):.2g}", f"{worst:.2g}")
        cells = [tag("td", figure, class_="figure") for figure in figures]
        body.append(tag("tr", tag("th", dtype, scope="row"), *cells, tag("td", tag("code", name), class_="name")))
    table = tag("table", tag("thead", head), tag("tbody", *body), class_="list")
    return scrolling("Error divided by bound, in figures", table)
