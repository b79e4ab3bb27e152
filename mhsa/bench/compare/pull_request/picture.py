"""The intervals of a comparison, drawn with letters.

A comment on GitHub shows neither SVG nor pictures within its text, and a diagram of Mermaid has no intervals, is drawn by a
script, and is code in an e-mail and on a telephone. Letters in a block of code are the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from mhsa.bench.compare.comparison import Comparison
from mhsa.bench.compare.sequential_test import Decision
from mhsa.reports.text import printable

_WIDE = 44  # letters from the smallest to the largest ratio: with a name and a verdict no more than a comment is wide
_NAME = 33
_LEAST = 0.01  # of the logarithm, from the end of an interval to the edge
_LARGEST = 16.0  # what is slower is drawn at the edge


def picture(comparisons: Sequence[Comparison], threshold: float) -> list[str]:
    """Return the lines: an interval for each benchmark that has one, and where base and the threshold are; none if none has.

    Args:
        comparisons: in the order of the lines.
        threshold: the smallest slow-down that matters.
    """
    rows = [(c, c.decision) for c in comparisons if c.decision is not None]
    if not rows:
        return []
    marks = {1.0: "|", 1 + threshold: ":"}
    accepted = {c.allowance.figures.ratio for c, _ in rows if c.allowance is not None}
    ends = [_within(x) for _, d in rows for x in (d.low, d.high)]
    axis = _Axis(min(*ends, 1.0), max(*ends, 1 + threshold, *accepted))
    names = _names([printable(c.benchmark) for c, _ in rows])
    broad = max(map(cell_len, names))
    lines = [
        f"{name}{' ' * (broad - cell_len(name))}  {axis.line(c, d, marks)}  {c.verdict}"
        for name, (c, d) in zip(names, rows, strict=True)
    ]
    legend = f"| base   : {100 * threshold:g} % slower   o head   --- interval{'   A accepted' if accepted else ''}"
    return [f"{' ' * broad}  {axis.labels([1.0])}", *lines, f"{' ' * broad}  {legend}"]


def _names(names: Sequence[str]) -> list[str]:
    """Return names without the words that all of them begin or end with; of one that is still too long, its end."""
    words = [name.split() for name in names]
    least = min(map(len, words)) - 1
    different = [n for n in range(least) if len({some[n] for some in words}) > 1]
    begin = different[0] if different else least
    different = [n for n in range(least - begin) if len({some[-1 - n] for some in words}) > 1]
    end = different[0] if different else least - begin
    left = [" ".join(some[begin : len(some) - end]) for some in words] if len(names) > 1 else list(names)
    return [name if cell_len(name) <= _NAME else f"...{name[3 - _NAME :]}" for name in left]


class _Axis:
    """Ratios on a line of letters, by their logarithms."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = math.log(low) - _LEAST, math.log(high) + _LEAST

    def place(self, ratio: float) -> int:
        share = (math.log(_within(ratio)) - self.low) / (self.high - self.low)
        return min(max(round(share * (_WIDE - 1)), 0), _WIDE - 1)

    def line(self, c: Comparison, d: Decision, marks: dict[float, str]) -> str:
        letters = [" "] * _WIDE
        low, high = self.place(d.low), self.place(d.high)
        letters[low : high + 1] = ["-"] * (high + 1 - low)
        for ratio, letter in marks.items():
            letters[self.place(ratio)] = letter
        if c.allowance is not None and c.allowance.figures.ratio > 1:
            letters[self.place(c.allowance.figures.ratio)] = "A"
        letters[self.place(d.ratio)] = "o"
        return "".join(letters)

    def labels(self, ratios: Sequence[float]) -> str:
        """The ratios at the ends of the line, and others where there is room."""
        letters = [" "] * _WIDE
        for ratio in (math.exp(self.low), math.exp(self.high), *ratios):
            words = f"{ratio:.2f}x"
            start = min(max(self.place(ratio) - len(words) // 2, 0), _WIDE - len(words))
            if set(letters[max(start - 1, 0) : start + len(words) + 1]) == {" "}:
                letters[start : start + len(words)] = words
        return "".join(letters)


def _within(ratio: float) -> float:
    return min(max(ratio, 1 / _LARGEST), _LARGEST)
