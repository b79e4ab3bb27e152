"""What the pages of ``mhsa bench`` and ``mhsa history`` have in common: a document without a script, its head, sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from string import Template

from mhsa.reports.html.markup import Child, Markup, definitions, join, tag

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def document(title: str, body: Iterable[Child], *styles: tuple[str, str]) -> str:
    """Return a page that needs no network and no other file.

    Args:
        title: of the window.
        body: what is on the page.
        styles: package and name of each style sheet, behind that of all pages.
    """
    sheets = [("mhsa.reports.html", "verdict_page.css"), ("mhsa.bench.report", "bench_page.css"), *styles]
    return Template(_asset("mhsa.reports.html", "verdict_page.html")).substitute(
        title=tag("title", title), policy=_POLICY, style="".join(_asset(*sheet) for sheet in sheets), script="", body=join(body)
    )


def head(command: str, title: str, *conditions: Mapping[str, str | int]) -> Markup:
    """Return the head of a page: which command made it, what it is about, and under which conditions."""
    boxes = (tag("div", definitions((k, str(v)) for k, v in some.items()), class_="environment") for some in conditions)
    return tag("header", tag("p", command, class_="eyebrow"), tag("h1", title), *boxes)


def section(title: str, *children: Child, class_: str | None = None) -> Markup:
    """Return a part of a page below its title."""
    return tag("section", tag("h3", title), *children, class_=class_)


def many(n: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def _asset(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")
