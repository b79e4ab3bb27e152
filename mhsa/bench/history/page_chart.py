"""The picture of one series on the history's page: the ratio at each commit, its levels, and the steps between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mhsa.bench.git.repository import Commit
from mhsa.bench.history.acknowledged import exceeds
from mhsa.bench.history.steps import Step
from mhsa.bench.measure.measurement import REFUSED, Measurement
from mhsa.bench.report import format as wording
from mhsa.reports.html.markup import Markup, tag

# Percent of the width, so that letters keep their size on any screen; pixels downwards.
_LEFT, _RIGHT = 5.5, 98.5
_TOP, _HEIGHT, _AXIS = 22, 150, 36
_TICKS = 4
_LABEL = 7.0  # percent that the name of a commit takes
SIGNS = {"slower": "▲", "faster": "▼", "wrong": "✕", "suspect": "✕"}


def kind_of(step: Step) -> str:
    """Return the class by which a step is coloured: by what it means, or that it is accepted."""
    if step.accepted is not None and not exceeds(step):
        return "accepted"
    return step.words if step.words in SIGNS else "less" if step.words.startswith(("less", "fewer")) else "more-of"


def sign_of(step: Step) -> str:
    """Return the sign of a step: no two kinds differ in their colour alone."""
    sign = SIGNS.get(step.words, "\N{MINUS SIGN}" if step.words.startswith(("less", "fewer")) else "+")
    return f"{sign}✓" if kind_of(step) == "accepted" else sign


@dataclass(frozen=True)
class _Plot:
    """Where a commit and a ratio are."""

    commits: int
    low: float
    high: float

    def x(self, n: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (n + 0.5) / self.commits

    def y(self, ratio: float) -> float:
        share = (math.log(ratio) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return _TOP + _HEIGHT * (1 - share)


def chart(
    commits: Sequence[Commit],
    figures: Sequence[Measurement | None],
    levels: Sequence[tuple[int, int, float]],
    steps: Sequence[tuple[Step, str]],
) -> Markup:
    """Draw a series.

    Args:
        commits: oldest first.
        figures: of each.
        levels: pieces (from, to, ratio) of those that have a ratio, counted without the others.
        steps: each with its sentence.
    """
    ends = [x for m in figures if m is not None and m.ratio for x in (m.ratio, m.low or m.ratio, m.high or m.ratio)]
    low, high = (min(ends), max(ends)) if ends else (1.0, 1.0)
    plot = _Plot(len(commits), min(low / 1.03, 0.98 * high), max(high * 1.03, 1.02 * low))
    known = [n for n, m in enumerate(figures) if m is not None and m.ratio]
    parts = [*_grid(plot), *_levels(plot, known, levels), *_points(plot, commits, figures), *_steps(plot, commits, steps)]
    parts += _names(plot, commits, [step for step, _ in steps])
    title = tag("title", "Ratio to the baseline at each commit; the table below has the same figures")
    svg = tag("svg", title, *parts, width="100%", height=_TOP + _HEIGHT + _AXIS, role="img")
    return tag("figure", svg, class_="history")


def _grid(plot: _Plot) -> Iterator[Markup]:
    """Lines at round ratios, and at 1, where it is as fast as the baseline."""
    raw = (plot.high - plot.low) / _TICKS
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
    digits = max(2, -math.floor(math.log10(step)))
    for n in range(math.ceil(plot.low / step), math.floor(plot.high / step) + 1):
        ratio = n * step
        y = f"{plot.y(ratio):.1f}"
        base = abs(ratio - 1) < 1e-9
        yield tag("line", x1=f"{_LEFT}%", x2="100%", y1=y, y2=y, class_="base" if base else None)
        yield tag("text", f"{ratio:.{digits}f}x", x=f"{_LEFT - 0.6}%", y=f"{plot.y(ratio) + 4:.1f}", text_anchor="end")


def _levels(plot: _Plot, known: Sequence[int], levels: Sequence[tuple[int, int, float]]) -> Iterator[Markup]:
    for start, end, ratio in levels:
        y = f"{plot.y(ratio):.1f}"
        x1, x2 = plot.x(known[start] - 0.45), plot.x(known[end - 1] + 0.45)
        yield tag("line", x1=f"{x1:.2f}%", x2=f"{x2:.2f}%", y1=y, y2=y, class_="level")


def _points(plot: _Plot, commits: Sequence[Commit], figures: Sequence[Measurement | None]) -> Iterator[Markup]:
    for n, (commit, m) in enumerate(zip(commits, figures, strict=True)):
        x = f"{plot.x(n):.2f}%"
        words = f"{commit.sha[:7]} {commit.message}: {wording.shown(m, wording.ratio)}"
        if m is not None and m.ratio and m.outcome == "measured":
            if m.low and m.high:
                yield tag("line", x1=x, x2=x, y1=f"{plot.y(m.low):.1f}", y2=f"{plot.y(m.high):.1f}", class_="interval")
            interval = wording.interval(m)
            title = tag("title", f"{words} ({interval})" if interval else words)
            yield tag("circle", title, cx=x, cy=f"{plot.y(m.ratio):.1f}", r=3)
        else:
            refused = m is not None and m.outcome in REFUSED
            sign = "✕" if refused else "·" if m is None else m.outcome
            class_ = f"sign {m.outcome}" if refused and m is not None else "missing"
            yield tag("text", tag("title", words), sign, x=x, y=_TOP + _HEIGHT + 4, text_anchor="middle", class_=class_)


def _steps(plot: _Plot, commits: Sequence[Commit], steps: Sequence[tuple[Step, str]]) -> Iterator[Markup]:
    numbers = {commit.sha: n for n, commit in enumerate(commits)}
    at: dict[str, list[tuple[Step, str]]] = {}
    for step, words in steps:
        at.setdefault(step.commit.sha, []).append((step, words))
    for sha, here in at.items():
        x = plot.x(numbers[sha] - 0.5)
        first = here[0][0]
        yield tag("line", x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=_TOP - 4, y2=_TOP + _HEIGHT, class_=f"step {kind_of(first)}")
        signs = "".join(dict.fromkeys(sign_of(step) for step, _ in here))
        title = tag("title", "\n".join(words for _, words in here))
        yield tag("text", title, signs, x=f"{x:.2f}%", y=_TOP - 8, text_anchor="middle", class_=f"sign {kind_of(first)}")


def _names(plot: _Plot, commits: Sequence[Commit], steps: Sequence[Step]) -> Iterator[Markup]:
    """The commits at which something changed, and those at the ends, where there is room."""
    numbers = {commit.sha: n for n, commit in enumerate(commits)}
    taken: list[float] = []
    for n in dict.fromkeys([*(numbers[step.commit.sha] for step in steps), 0, len(commits) - 1]):
        x = min(max(plot.x(n), _LEFT + _LABEL / 2), 100 - _LABEL / 2)
        if all(abs(x - other) > _LABEL for other in taken):
            taken.append(x)
            yield tag("text", commits[n].sha[:7], x=f"{x:.2f}%", y=_TOP + _HEIGHT + 24, text_anchor="middle")
