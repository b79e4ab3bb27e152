"""``mhsa bench --html FILE``: the figures of a run as one page that needs no network and no other file.

Each string is escaped where it enters an element (:mod:`mhsa.reports.html.markup`), and the page has no script at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mhsa.bench.measure.measurement import BASELINE, Measurement
from mhsa.bench.report import format as wording
from mhsa.bench.report import sentences
from mhsa.bench.report.chart import MatplotlibMissing, as_svg, draw
from mhsa.bench.report.inline_svg import inline
from mhsa.bench.report.page_parts import document, head, many, section
from mhsa.bench.report.page_table import prettier, tables
from mhsa.reports.html.markup import Markup, breakable, tag

_CHECKED = (
    "Before an implementation was timed at a shape, its output was compared with the oracle's, in higher precision and with "
    "a derived bound of the error; what is wrong was not timed."
)


def page(measurements: Sequence[Measurement], machine: Mapping[str, str | int]) -> str:
    """Return the page.

    Args:
        measurements: in the order in which they are to stand.
        machine: the conditions, a name and a value each.

    Without matplotlib the page has no picture, and says how to get one.
    """
    reasons = [tag("li", reason) for reason in sentences.reasons(measurements)]
    growth = [
        tag("li", _powers(words), class_="left" if left else None) for words, left in sentences.growth_lines(measurements)
    ]
    checked = [tag("li", words) for words in sentences.checked(measurements)]
    title = _title(measurements)
    body = [
        head("mhsa bench", title, machine),
        section("Checked before it was timed", tag("p", _CHECKED), tag("ul", *checked), class_="checked") if checked else None,
        section("Cost over the sequence length", _picture(measurements)) if checked else None,
        *(section(group.title, tables(group)) for group in wording.grouped(measurements)),
        section("Without figures", tag("ul", *reasons)) if reasons else None,
        section("Growth with the sequence length T", tag("ul", *growth)) if growth else None,
        section("How to read this", *(tag("p", words) for words in sentences.READING), class_="reading"),
    ]
    return document(f"mhsa bench: {title}", body)


def _title(measurements: Sequence[Measurement]) -> str:
    names = {m.implementation for m in measurements} - {BASELINE}
    shapes = {m.shape for m in measurements}
    return f"{many(len(names), 'implementation')} at {many(len(shapes), 'shape')}" if measurements else "Nothing was measured"


def _powers(sentence: str) -> Markup:
    return Markup(re.sub(r"T\^(\d+\.\d+)", r"T<sup>\1</sup>", breakable(prettier(sentence))))


def _picture(measurements: Sequence[Measurement]) -> Markup:
    """The same picture twice: for broad and for narrow screens."""
    try:
        broad, narrow = (as_svg(draw(measurements, {}, title="", columns=columns)) for columns in (2, 1))
    except MatplotlibMissing as missing:
        return tag("p", f"Not drawn: {missing}.", class_="hint")
    label = "Time and peak memory over the sequence length; the tables below have the same figures."
    drawn = (tag("div", inline(svg, name, label), class_=name) for svg, name in ((broad, "broad"), (narrow, "narrow")))
    return tag("figure", *drawn, class_="picture")
