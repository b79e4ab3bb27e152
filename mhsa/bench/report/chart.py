"""Time and peak memory over the sequence length, as a picture; needs matplotlib, which is imported only when one is drawn.

What is not drawn is named below the panels with its reason, and no two lines differ in their colour alone.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import IO, TYPE_CHECKING, Any

from mhsa.bench.measure.growth import family, longest
from mhsa.bench.measure.measurement import BASELINE, Measurement
from mhsa.bench.report import sentences
from mhsa.bench.report.panel import COSTS, INK, MUTED, PAPER, draw_panel
from mhsa.records.distribution import install_hint
from mhsa.reports.text import cut, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design", 2008: distinct with any kind of colour vision. Their yellow is too pale on white, and
# their black is the ink's. In grey, and beyond the sixth line, the markers tell.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p")
# Inches: a panel with its labels, the margin, a line of text, and what one of its letters takes on average.
_HEIGHT, _MARGIN, _LINE, _LETTER = 3.7, 0.15, 0.19, 0.069
_WIDE, _ALONE = 5.4, 3.7  # of a panel; one column is for a telephone, where letters must not shrink with the picture
_NAME, _REASON = 48, 300  # letters of a name and of a reason: the tables have them whole
_AROUND = (0.85, 0.62, 0.15, 0.4)  # inches that a panel's letters need: left, below, right, above
_SAMPLE = 8  # letters that the line before a name in the legend takes, with the gaps
_DPI = 150


class MatplotlibMissing(RuntimeError):
    """A picture is wanted, and matplotlib is not installed."""

    def __init__(self) -> None:
        super().__init__(f"a picture needs the package matplotlib: {install_hint('bench')}")


def draw(
    measurements: Sequence[Measurement],
    machine: Mapping[str, str | int],
    *,
    title: str = "Cost of one call",
    columns: int = 2,
) -> Figure:
    """Draw time on the left and peak memory on the right, a row for each pass, dtype and device that was measured.

    A line holds only shapes that differ in nothing but the length: the family of which most lengths were measured.

    Args:
        measurements: also those without figures, for the notes.
        machine: the conditions, a name and a value each; they stand below the title.
        title: nothing if it stands next to the picture, on a page.
        columns: 1 puts the panels below each other, for a narrow page.

    Raises:
        MatplotlibMissing: it is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401  # whether it is there at all
    except ImportError:
        raise MatplotlibMissing from None
    with _settings():
        return _drawn(measurements, sentences.machine_line(machine), title, columns)


def save_png(figure: Figure, path: str | PathLike[str] | IO[bytes]) -> None:
    """Write the picture as PNG; the same picture gives the same bytes."""
    with _settings():
        figure.savefig(path, format="png", dpi=_DPI, facecolor=PAPER, metadata={"Software": None})


def as_svg(figure: Figure) -> str:
    """Return the picture as an SVG document; the same picture gives the same text."""
    text = io.StringIO()
    with _settings():
        figure.savefig(text, format="svg", facecolor=PAPER, metadata={"Date": None, "Creator": None})
    return text.getvalue()


@contextmanager
def _settings() -> Iterator[None]:
    """matplotlib as it comes, whatever the user's own settings are, with three that matter here; all are put back."""
    import matplotlib.style

    with matplotlib.style.context("default"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name in letters that the font lacks is drawn as boxes: no reason for noise
        matplotlib.rcParams["text.parse_math"] = False  # a name may hold dollar signs
        matplotlib.rcParams["svg.hashsalt"] = "mhsa"  # ids would be drawn anew in each run
        matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text, which can be searched and set in the page's font
        yield


def _series(measurements: Sequence[Measurement]) -> dict[tuple[str, str, str, str], list[Measurement]]:
    """The lines: all of one family of shapes; an implementation that exists in another size only has a line of that."""
    families: dict[tuple[int, int, int, int], list[Measurement]] = {}
    for m in measurements:
        if m.outcome == "measured":
            families.setdefault(family(m.shape), []).append(m)
    if not families:
        return {}
    most = max(families, key=lambda sizes: (len({m.shape.length for m in families[sizes]}), len(families[sizes])))
    found = longest([m for m in measurements if family(m.shape) == most])
    names = {name for name, *_ in found}
    others = longest([m for m in measurements if m.implementation not in names])
    for (name, *place), some in others.items():
        shape = some[0].shape
        found[f"{name} (H={shape.head} d_model={shape.d_model})", place[0], place[1], place[2]] = some
    return found


def _drawn(measurements: Sequence[Measurement], machine: str, title: str, columns: int) -> Figure:
    from matplotlib.figure import Figure

    series = _series(measurements)
    places, common = sentences.places(measurements), sentences.common(measurements)
    styles = _styles([name for name, *_ in series])
    breadth = _WIDE if columns > 1 else _ALONE
    width = breadth * columns
    letters = int((width - 2 * _MARGIN) / _LETTER)
    conditions = textwrap.wrap(machine, letters)
    notes = [line for note in _notes(measurements, series) for line in textwrap.wrap(cut(note, _REASON), letters)]
    columns = max(1, letters // (max(map(len, styles), default=0) + _SAMPLE))
    head = _MARGIN + 1.6 * _LINE * bool(title)
    top = head + _LINE * len(conditions)
    above = top + _LINE * (0.3 + 1.1 * math.ceil(len(styles) / columns))
    below = _MARGIN + _LINE * len(notes)
    rows = math.ceil(len(places) * len(COSTS) / columns)
    height = above + rows * _HEIGHT + below
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    title = f"{title} ({common})" if title and common else title
    figure.text(_MARGIN / width, 1 - _MARGIN / height, printable(title), size=13, weight="bold", color=INK, va="top")
    _write(figure, conditions, 1 - head / height)
    _write(figure, notes, below / height)
    for n, (place, cost) in enumerate((place, cost) for place in places for cost in COSTS):
        x, y = n % columns * breadth + _AROUND[0], below + (rows - 1 - n // columns) * _HEIGHT + _AROUND[1]
        size = (breadth - _AROUND[0] - _AROUND[2], _HEIGHT - _AROUND[1] - _AROUND[3])
        panel = figure.add_axes((x / width, y / height, size[0] / width, size[1] / height), facecolor=PAPER)
        lines = {name: found for (name, *rest), found in series.items() if tuple(rest) == place}
        draw_panel(panel, lines, cost, styles)
        heading = printable(": ".join(filter(None, (places[place], cost))))
        written = panel.set_title(heading, size=10, weight="bold", color=INK, loc="left")
        written.set_x((_MARGIN - _AROUND[0]) / size[0])  # where the ticks' labels begin: all letters are on one edge
    _legend(figure, styles, columns, (_MARGIN / width, 1 - top / height))
    return figure


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each line is drawn: marks are hollow, and larger on the lines below, so that none is hidden by one that equals it.

    The baseline alone is dashed and grey, with a mark that no shape has, on top of all.
    """
    others = [name for name in dict.fromkeys(names) if name != BASELINE]
    styles: dict[str, dict[str, Any]] = {}
    for n, name in enumerate(others):
        below = (len(others) - 1 - n) / max(len(others) - 1, 1)  # 1 for the first, 0 for the last
        styles[name] = {"color": _COLOURS[n % len(_COLOURS)], "marker": _MARKERS[n % len(_MARKERS)], "zorder": 3 + n,
                        "markerfacecolor": "none", "markersize": 6 + 5 * below}  # fmt: skip
    if BASELINE in names:
        styles[BASELINE] = {"color": MUTED, "linestyle": (0, (4, 3)), "marker": "|", "zorder": 4 + len(others),
                         "markersize": 14}  # fmt: skip
    return {name: {"linewidth": 1.6, "markeredgewidth": 1.5, **style} for name, style in styles.items()}


def _legend(figure: Figure, styles: Mapping[str, Mapping[str, Any]], columns: int, place: tuple[float, float]) -> None:
    """One for all panels, above them, where it covers no line."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **style) for style in styles.values()]
    names = [cut(printable(name), _NAME) for name in styles]
    figure.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=place,
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=3.2,
        borderaxespad=0,
    )


def _write(figure: Figure, lines: Sequence[str], y: float) -> None:
    """Lines of small text from y downwards."""
    width, height = figure.get_size_inches()
    for n, line in enumerate(lines):
        place = (_MARGIN / width, y - n * _LINE / height)
        figure.text(*place, line, size=8.5, color=MUTED, va="top")


def _notes(measurements: Sequence[Measurement], series: Mapping[Any, Sequence[Measurement]]) -> list[str]:
    """What is not in the picture, and why."""
    drawn = {(m.implementation, m.shape) for some in series.values() for m in some}
    others = [m.shape.name for m in measurements if m.outcome == "measured" and (m.implementation, m.shape) not in drawn]
    notes = [f"Not drawn: {reason}" for reason in sentences.reasons(measurements)]
    if others:
        notes.append(f"Not drawn, as more than the length differs: {printable(', '.join(dict.fromkeys(others)))}")
    return notes
