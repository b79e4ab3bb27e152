"""``mhsa compare --html FILE``: verdicts, the lines that make the difference, flame graphs: one page without a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

from mhsa.bench.compare.attribution.attribute import Attribution, NamedLine, shown
from mhsa.bench.compare.attribution.words import OF, details
from mhsa.bench.compare.comparison import Comparison
from mhsa.bench.compare.page.flame_frames import frames_of
from mhsa.bench.compare.page.flame_graph import flame_graph
from mhsa.bench.compare.report import HEAD, remarks, rows, sentence
from mhsa.reports.html.markup import Markup, breakable, definitions, join, scrolling, tag

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_CLASSES = {"not slower": "fine", "cannot tell": "open", "n/a": "open"}
_READING = (
    "Times decide the verdict, before anything is profiled. Then the subject is called at both commits in turns while its "
    "lines and operators are followed: a statement that has only moved is the same, and one that is executed as often and "
    "calls the same operators with tensors of the same form is not named unless it clearly takes longer all the same.",
    "A share is that of the measured difference. The amount of a line includes that of lines which are the same and cost more "
    "through it: they are given float64 by it, say, or it is a loop around them.",
    "A flame graph shows head's call: the subject's functions, their lines, and what these call, below each other and as wide "
    "as the time.",
)


def page(
    comparisons: Sequence[Comparison], machine: Mapping[str, str | int], commits: Mapping[str, str], notes: Sequence[str]
) -> str:
    """Return the page.

    Args:
        comparisons: in the order in which they are to stand.
        machine: the conditions, a name and a value each.
        commits: what is compared: base and head.
        notes: what there is to say besides.
    """
    words = [tag("li", breakable(line)) for line in (*remarks(comparisons), *notes)]
    body = [
        _head(comparisons, machine, commits),
        tag("section", tag("h3", "Benchmarks"), _table(comparisons), tag("ul", *words) if words else None),
        *(_section(c, c.attribution) for c in comparisons if c.attribution),
        tag("section", tag("h3", "How to read this"), *(tag("p", words) for words in _READING)),
    ]
    return Template(_asset("mhsa.reports.html", "verdict_page.html")).substitute(
        title=tag("title", f"mhsa compare: {sentence(comparisons)}"),
        policy=_POLICY,
        style=_asset("mhsa.reports.html", "verdict_page.css") + _asset("mhsa.bench.compare.page", "compare_page.css"),
        script="",
        body=join(body),
    )


def _asset(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _head(comparisons: Sequence[Comparison], machine: Mapping[str, str | int], commits: Mapping[str, str]) -> Markup:
    conditions = definitions([*commits.items(), *((name, str(value)) for name, value in machine.items())])
    title = tag("h1", sentence(comparisons))
    return tag("header", tag("p", "mhsa compare", class_="eyebrow"), title, tag("div", conditions, class_="environment"))


def _table(comparisons: Sequence[Comparison]) -> Markup:
    kinds = [None, "figure", "figure", "figure", "figure", None]
    head = tag("tr", *(tag("th", name, scope="col", class_=kind) for name, kind in zip(HEAD, kinds, strict=True)))
    body = []
    for c, row in zip(comparisons, rows(comparisons), strict=True):
        cells = [tag("td", breakable(cell), class_=kind) for cell, kind in zip(row[:-1], kinds, strict=False)]
        body.append(tag("tr", *cells, tag("td", row[-1], class_=_CLASSES.get(c.verdict, "bad"))))
    return scrolling("benchmarks", tag("table", tag("thead", head), tag("tbody", *body), class_="list"))


def _section(comparison: Comparison, attribution: Attribution) -> Markup:
    base, head = attribution.profiles.get("base"), attribution.profiles.get("head")
    parts: list[Markup | None] = [tag("h3", f"What makes the difference in {comparison.benchmark}")]
    if attribution.problem:
        parts.append(tag("p", f"No line is named: {attribution.problem}."))
    else:
        total = shown(attribution.total, attribution.measure)
        parts.append(tag("p", f"Head takes {total} more; shares are {OF[attribution.measure]}."))
        parts.append(_lines(attribution))
    if base and head:
        difference = attribution.total if attribution.measure == "seconds" else abs(head.seconds - base.seconds)
        label = f"Flame graph of one call of {comparison.benchmark} at head, coloured by the difference to base"
        key = (("more", "more than at base"), ("less", "less"), ("same", "the same"))
        parts.append(tag("p", *(join([tag("span", words, class_=kind), " "]) for kind, words in key), class_="key hint"))
        parts.append(scrolling(label, flame_graph(frames_of(base, head), difference, label)))
    return tag("section", *parts)


def _lines(attribution: Attribution) -> Markup:
    head = tag(
        "tr", tag("th", "share", scope="col", class_="figure"), tag("th", "line", scope="col"),
        tag("th", "more", scope="col", class_="figure"), tag("th", "what", scope="col"),
    )  # fmt: skip
    rows = [_line(line, attribution) for line in attribution.lines]
    return scrolling("lines", tag("table", tag("thead", head), tag("tbody", *rows), class_="list lines"))


def _line(line: NamedLine, attribution: Attribution) -> Markup:
    where = tag("span", breakable(line.where), class_="detail")
    what = [tag("span", breakable(words), class_="detail" if n else None) for n, words in enumerate(details(line))]
    return tag(
        "tr", tag("td", f"{line.share:.0%}", class_="figure"), tag("td", tag("code", line.text), where),
        tag("td", shown(line.amount, attribution.measure), class_="figure"), tag("td", *what),
    )  # fmt: skip
