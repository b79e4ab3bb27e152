"""A differential flame graph as SVG: as wide as head's time, coloured by how much of that is more or less than at base."""

from __future__ import annotations

from collections.abc import Iterator

from mhsa.bench.compare.page.flame_frames import FlameFrame
from mhsa.bench.report import format as wording
from mhsa.reports.html.markup import Markup, join, tag
from mhsa.reports.line_folding import short

_WIDTH, _ROW = 1200.0, 22.0  # of the picture, and of a frame in it
_LETTER = 6.6  # the width of one, at most
_SHORTEST = 3  # letters: a shorter piece of a name says nothing
_CLEAR = 0.02  # of the difference: less is no change


def flame_graph(whole: FlameFrame, difference: float, label: str) -> Markup:
    """Return the picture; every frame has all that is known of it as its title."""
    height = _ROW * whole.depth
    frames = join(_drawn(whole, 0.0, 0, _WIDTH / whole.seconds if whole.seconds else 0.0, difference))
    return tag(
        "svg", frames, class_="flame", viewBox=f"0 0 {_WIDTH:g} {height:g}", width=f"{_WIDTH:g}", height=f"{height:g}",
        role="img", aria_label=label,
    )  # fmt: skip


def _drawn(frame: FlameFrame, left: float, row: int, scale: float, difference: float) -> Iterator[Markup]:
    width = frame.seconds * scale
    yield _box(frame, left, row, width, difference)
    for child in frame.children:
        yield from _drawn(child, left, row + 1, scale, difference)
        left += child.seconds * scale


def _box(frame: FlameFrame, left: float, row: int, width: float, difference: float) -> Markup:
    share = frame.change / difference if difference > 0 else 0.0
    kind = "more" if share > _CLEAR else "less" if share < -_CLEAR else "same"
    change = "" if kind == "same" else f"{'+' if share > 0 else '-'}{wording.seconds(abs(frame.change))}"
    title = f"{frame.name}\n{wording.seconds(frame.seconds)} at head" + (f", {change} against base" if change else "")
    opacity = f"{min(0.55, 0.15 + 0.4 * abs(share)):.2f}" if change else "1"
    box = tag(
        "rect", x=f"{left + 0.5:.1f}", y=f"{row * _ROW + 0.5:.1f}", width=f"{max(width - 1.0, 0.5):.1f}",
        height=f"{_ROW - 1.0:g}", rx="2", class_=kind, fill_opacity=opacity,
    )  # fmt: skip
    words = f"{change} {frame.name}" if change else frame.name
    letters = int((width - 10) / _LETTER)
    words = short(words, letters) if letters > _SHORTEST else ""
    text = tag("text", words, x=f"{left + 5:.1f}", y=f"{row * _ROW + 15.5:.1f}") if words else None
    return tag("g", tag("title", title), box, text)
