"""A picture of matplotlib's as a part of an HTML page: no id twice, no rule of style for others, and the page's colours."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from mhsa.bench.report.panel import INK, MUTED, PAPER, RULE
from mhsa.reports.html.markup import Markup

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HREF = f"{{{_LINK}}}href"
_COLOURS = {PAPER: "var(--paper)", INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)"}
_COLOUR = re.compile("|".join(_COLOURS))
_DROPPED = (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")  # the style is matplotlib's for its joins; bench_page.css has it


def inline(svg: str, name: str, label: str) -> Markup:
    """Return the picture as an element.

    Args:
        svg: a document that :func:`mhsa.bench.report.chart.as_svg` wrote; it is parsed and written anew, so text in it stays
            text.
        name: of the picture, different for each on a page: its ids begin with it.
        label: what is read aloud in its place.
    """
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag in _DROPPED]:
            parent.remove(child)
        for key, value in list(parent.attrib.items()):
            if key == "id":
                parent.set(key, f"{name}-{value}")
            elif key == _HREF:
                parent.set(key, f"#{name}-{value.removeprefix('#')}")
            else:
                themed = _COLOUR.sub(lambda found: _COLOURS[found[0]], value)
                parent.set(key, themed.replace("url(#", f"url(#{name}-"))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", label)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))
