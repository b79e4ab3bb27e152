"""The tables of the page: one of times and one of peak memory, a row per shape, and one of all that was counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mhsa.bench.measure.measurement import REFUSED, Measurement
from mhsa.bench.report import format as wording
from mhsa.bench.report.format import Group
from mhsa.reports.html.markup import Markup, escape, join, scrolling, tag

_EMPTY = "\N{EN DASH}"
_SIGNS = {"wrong": "✕ wrong", "suspect": "✕ suspect", "n/a": "n/a"}


def tables(group: Group) -> Markup:
    """Return the tables of one pass, dtype and device, each below its title; what is not known has none."""
    parts = [
        tag("h4", "Time of one call, its ratio to the baseline, and the ratio's 95 % interval"),
        _grid(group, "time", _time),
    ]
    if group.remembers:
        parts += [tag("h4", "Peak memory"), _grid(group, "peak memory", lambda m: prettier(wording.peak(m) or _EMPTY))]
    names = wording.counted(group)
    if names:
        summary = tag("summary", f"Counted: {', '.join(names)}")
        parts.append(tag("details", summary, _counted(group, names), class_="more"))
    return join(parts)


def folding(name: str) -> Markup:
    """Return a name that is folded only where one would do so by hand."""
    return Markup(tag("wbr").join(map(escape, wording.pieces(name))))


def prettier(figure: str) -> str:
    """Return a figure or a sentence with the signs that a page may use and a terminal may lack."""
    return figure.replace("+-", "±").removesuffix(" us") + " µs" * figure.endswith(" us")


def _grid(group: Group, what: str, figure: Callable[[Measurement], Markup | str]) -> Markup:
    names = (tag("th", folding(name), scope="col") for name in group.implementations)
    rows = []
    for shape in group.shapes:
        cells = [_cell(group.cells.get((shape, name)), figure) for name in group.implementations]
        sizes = tag("span", str(shape), class_="sizes")
        rows.append(tag("tr", tag("th", group.name(shape), sizes, scope="row"), *cells))
    head = tag("thead", tag("tr", tag("th", "shape", scope="col"), *names))
    return scrolling(f"{group.title}: {what}", tag("table", head, tag("tbody", *rows), class_="list grid"))


def _cell(m: Measurement | None, figure: Callable[[Measurement], Markup | str]) -> Markup:
    if m is None:
        return tag("td", _EMPTY, class_="figure missing")
    if m.outcome != "measured":
        return tag("td", _SIGNS[m.outcome], class_="figure wrong" if m.outcome in REFUSED else "figure missing")
    return tag("td", figure(m), class_="figure")


def _time(m: Measurement) -> Markup:
    ratio, interval = wording.ratio(m), wording.interval(m)
    uncertain = "interval uncertain" if wording.wide(m) else "interval"
    return join(
        [
            tag("span", prettier(wording.time(m) or _EMPTY)),
            tag("span", ratio, class_="ratio") if ratio else None,
            tag("span", interval, class_=uncertain) if interval else None,
        ]
    )


def _counted(group: Group, names: Sequence[str]) -> Markup:
    """A row per implementation below each shape's name."""
    head = tag("tr", tag("th", "implementation", scope="col"), *(tag("th", name, scope="col") for name in ("blocks", *names)))
    bodies = []
    for shape in group.shapes:
        rows = [tag("tr", tag("th", tag("span", group.name(shape)), scope="rowgroup", colspan=len(names) + 2), class_="shape")]
        for name in group.implementations:
            m = group.cells.get((shape, name))
            if m is not None and m.outcome == "measured":
                figures = [str(m.blocks or _EMPTY), *(wording.COUNTERS[name](m) or _EMPTY for name in names)]
                cells = (tag("td", figure, class_="figure") for figure in figures)
                rows.append(tag("tr", tag("th", folding(name), scope="row"), *cells))
        bodies.append(tag("tbody", *rows))
    table = tag("table", tag("thead", head), *bodies, class_="list grid counted")
    return scrolling(f"{group.title}: counted", table)
