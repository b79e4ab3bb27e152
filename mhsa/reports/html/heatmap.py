"""Expected, observed and difference side by side: tables whose cells are tinted, with the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mhsa.records.document.kinds import number
from mhsa.reports.html.markup import Markup, join, tag
from mhsa.reports.html.numbers import Matrix, Place, decimals, flat, largest, matrices, minus, shape, shown

Tone = Literal["", "plus", "minus", "wrong", "nan", "quiet"]

_WIDEST = 16  # columns up to which numbers stand in the cells; beyond, colours do, and the numbers are in the titles


@dataclass(frozen=True)
class HeatmapCell:
    """One cell: what stands in it, and how it is drawn; ``strength`` from 0 to 1 is how deep its colour is."""

    text: str
    title: str
    tone: Tone = ""
    strength: float = 0.0
    masked: bool = False
    named: bool = False  # the element that the message names


@dataclass(frozen=True)
class HeatmapData:
    """What is compared.

    Attributes:
        expected: nested lists, the last two axes of which are drawn.
        observed: likewise; None if the subject does not return it.
        bound: of each difference, or None if no single bound holds for all.
        allowed: which keys each query may attend to, [B, Tq, Tk] or one [Tq, Tk]; None if all or if that has no meaning.
        where: the element that the message names.
        axes: letters of the two axes that are drawn.
        names: of the axes before them.
        scale: the number that is drawn deepest; 0 is the largest one expected.
    """

    expected: Any
    observed: Any = None
    bound: Any = None
    allowed: Any = None
    where: Sequence[int] = ()
    axes: tuple[str, str] = ("", "")
    names: tuple[str, ...] = ()
    scale: float = 0.0


def compare(compared: HeatmapData) -> Markup:
    """Draw a comparison: the matrices with something wrong first, the others folded away below."""
    if not flat(compared.expected):
        return tag("p", "There are no numbers: an axis is empty.", class_="hint")
    observed = compared.observed if shape(compared.observed) == shape(compared.expected) else None
    bound = compared.bound if shape(compared.bound) == shape(compared.expected) else None
    seen = dict(matrices(observed)) if observed is not None else {}
    room = dict(matrices(bound)) if bound is not None else {}
    scale = compared.scale or largest(flat(compared.expected)) or largest(flat(observed)) or 1.0
    wrong: list[Markup] = []
    right: list[Markup] = []
    for place, expected in matrices(compared.expected):
        drawing = _Drawing(compared, place, expected, seen.get(place), room.get(place), scale)
        (wrong if drawing.wrong else right).append(drawing.figure())
    loud = sum(not math.isfinite(x) for x in flat(observed)) if observed is not None else 0
    notice = tag("p", f"{loud} of {len(flat(observed))} observed numbers are NaN or infinite.", class_="loud") if loud else None
    if wrong and right:
        title = (
            f"{len(right)} more, where nothing is wrong" if bound is not None else f"{len(right)} more, where nothing differs"
        )
        rest = tag("details", tag("summary", title), *right, class_="more")
        return join([notice, *wrong, rest])
    return join([notice, *wrong, *right])


def grid(caption: str, cells: Sequence[Sequence[HeatmapCell]], axes: tuple[str, str] = ("", "")) -> Markup:
    """Draw one matrix as a table."""
    row, column = (f"{axis}=" if axis else "" for axis in axes)
    compact = max((len(line) for line in cells), default=0) > _WIDEST
    head = [tag("th", f"{column}{j}", scope="col") for j in range(max((len(line) for line in cells), default=0))]
    body = [
        tag("tr", tag("th", f"{row}{i}", scope="row"), *(_drawn(cell, compact=compact) for cell in line))
        for i, line in enumerate(cells)
    ]
    widest = max((len(cell.text) for line in cells for cell in line), default=1)  # so that all columns are alike
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", tag("td"), *head)),
        tag("tbody", *body),
        class_="heat compact" if compact else "heat",
        style=None if compact else f"--w:{widest}",
    )
    return tag("div", table, class_="scroll")


def plain(name: str, nested: Any, cell: Callable[[float, int], HeatmapCell], axes: tuple[str, str]) -> Markup:
    """Draw one tensor without comparing it: a table per sample."""
    every = matrices(nested)
    places = decimals(flat(nested))
    figures = []
    for place, matrix in every:
        caption = name if len(every) == 1 else f"{name}, sample {place[0]}" if len(place) == 1 else f"{name} {list(place)}"
        figures.append(grid(caption, [[cell(x, places) for x in line] for line in matrix], axes))
    return join(figures)


def neutral(x: float, places: int) -> HeatmapCell:
    """Return the cell of a number that is an input."""
    return HeatmapCell(shown(x, places), f"{x:.17g}", "" if math.isfinite(x) else "nan")


def permission(x: float, places: int) -> HeatmapCell:
    """Return the cell of a mask."""
    return HeatmapCell("✓", "may attend") if x else HeatmapCell("·", "masked", masked=True)


def _drawn(cell: HeatmapCell, *, compact: bool) -> Markup:
    classes = " ".join(name for name in (cell.tone, "masked" * cell.masked, "named" * cell.named) if name)
    text = tag("span", cell.text, class_="unseen") if compact and cell.tone != "nan" else cell.text
    said = tag("span", " masked", class_="unseen") if cell.masked else None
    style = f"--v:{cell.strength:.2f}" if cell.strength >= 0.005 else None
    return tag("td", text, said, class_=classes or None, title=cell.title, style=style)


class _Drawing:
    """The tables of one matrix."""

    def __init__(
        self, compared: HeatmapData, place: Place, expected: Matrix, observed: Matrix | None, room: Matrix | None, scale: float
    ) -> None:
        self.compared, self.place, self.scale = compared, place, scale
        self.expected, self.observed, self.room = expected, observed, room
        self.allowed = self._allowed()
        seen = observed if observed is not None else []
        self.difference = [[minus(o, e) for o, e in zip(*rows, strict=True)] for rows in zip(seen, expected, strict=False)]
        self.deepest = min(largest(x for line in self.difference for x in line), scale) or 1.0  # one huge error hides no other
        self.places = decimals(x for rows in (expected, seen) for line in rows for x in line)
        self.close = decimals(x for line in self.difference for x in line)

    def _allowed(self) -> Any:
        allowed = self.compared.allowed
        return allowed[self.place[0]] if len(shape(allowed)) == 3 and self.place else allowed

    @property
    def wrong(self) -> bool:
        """Whether a difference is beyond its bound, or there is any at all where no bound is known."""
        return any(self._beyond(i, j) for i, line in enumerate(self.difference) for j in range(len(line)))

    def figure(self) -> Markup:
        """Return the tables side by side, below the place of the matrix in words."""
        title = ", ".join(f"{name} {n}" for name, n in zip(self.compared.names, self.place, strict=False))
        tables = [self._table("expected", self.expected)]
        if self.observed is not None:
            tables += [self._table("observed", self.observed), self._differences()]
        heading = tag("figcaption", title) if title else None
        return tag("figure", heading, tag("div", *tables, class_="side-by-side"))

    def _table(self, caption: str, rows: Matrix) -> Markup:
        seen = caption == "observed"
        cells = [[self._value(x, i, j, seen=seen) for j, x in enumerate(line)] for i, line in enumerate(rows)]
        return grid(caption, cells, self.compared.axes)

    def _differences(self) -> Markup:
        cells = [[self._delta(x, i, j) for j, x in enumerate(line)] for i, line in enumerate(self.difference)]
        return grid("difference", cells, self.compared.axes)

    def _value(self, x: float, i: int, j: int, *, seen: bool) -> HeatmapCell:
        masked, named = self._masked(i, j), seen and self._named(i, j)
        title = f"{x:.17g}{', a masked key' if masked else ''}"
        if not math.isfinite(x):
            return HeatmapCell(shown(x), title, "nan", 0.0, masked, named)
        text = "·" if masked and x == 0 else shown(x, self.places)
        return HeatmapCell(text, title, "plus" if x >= 0 else "minus", min(abs(x) / self.scale, 1.0), masked, named)

    def _delta(self, x: float, i: int, j: int) -> HeatmapCell:
        masked, named = self._masked(i, j), self._named(i, j)
        bound = number(self.room[i][j]) if self.room is not None else math.nan
        title = f"{x:.17g}" + (f", bound {bound:.2g}" if not math.isnan(bound) else "")
        if not math.isfinite(x):
            return HeatmapCell(shown(x), title, "nan", 0.0, masked, named)
        if not self._beyond(i, j):
            return HeatmapCell("0" if x == 0 else "≈0", title, "quiet", 0.0, masked, named)
        palest = 0.0 if self.room is None else 0.15  # what is known to be wrong is always seen
        strength = min(max(abs(x) / self.deepest, palest), 1.0)
        return HeatmapCell(shown(x, self.close), title, "wrong", strength, masked, named)

    def _beyond(self, i: int, j: int) -> bool:
        x = self.difference[i][j]
        bound = number(self.room[i][j]) if self.room is not None else 0.0
        return not math.isfinite(x) or abs(x) > bound

    def _masked(self, i: int, j: int) -> bool:
        try:
            return self.allowed is not None and not self.allowed[i][j]
        except (IndexError, TypeError):
            return False

    def _named(self, i: int, j: int) -> bool:
        where = tuple(self.compared.where)  # of one number fewer for a vector, which is drawn as one row
        return bool(where) and (*self.place, i, j)[-len(where) :] == where
