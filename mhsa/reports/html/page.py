"""``mhsa verify --html FILE``: everything a run found, as one page that needs no network and no other file.

Each string of the run is escaped where it enters an element (:mod:`mhsa.reports.html.markup`), and the page's policy lets the
browser run no script but its own, so that nothing in a subject can act in the reader's browser.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

from mhsa.records.catalogue import Property
from mhsa.records.declarations import in_words
from mhsa.reports.html.cause import cause
from mhsa.reports.html.chart import distribution
from mhsa.reports.html.failure import failure
from mhsa.reports.html.markup import Markup, breakable, definitions, join, scrolling, tag
from mhsa.reports.html.numbers import number
from mhsa.reports.html.table import table, words
from mhsa.reports.phrases import BESIDE, declarations, figures, then

_SIGNS = {"holds": "✓", "violated": "✕", "question": "?", "unjudged": "?"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(data: dict[str, Any], statements: Mapping[str, Property]) -> str:
    """Return the page.

    Args:
        data: the run, as docs/json.md describes it; parts that are missing are left out.
        statements: the catalogue by id.
    """
    subjects = [s for s in data.get("subjects") or () if isinstance(s, dict)]
    environment = data.get("environment") or {}
    style, script = _asset("page.css"), _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    title = _title(subjects)
    sections = [_subject(s, n, statements) for n, s in enumerate(subjects, 1)]
    body = [_head(data, title, environment), _overview(subjects) if len(subjects) > 1 else None, *sections]
    return Template(_asset("page.html")).substitute(
        title=tag("title", f"{_name(subjects[0])}: {_verdict(subjects[0])}" if len(subjects) == 1 else title),
        policy=f"{_POLICY}; script-src 'sha256-{digest}'",
        style=style,
        script=script,
        body=join(body),
    )


def _asset(name: str) -> str:
    return files("mhsa.reports.html").joinpath(name).read_text(encoding="utf-8")


def _title(subjects: list[dict[str, Any]]) -> str:
    counts = Counter(_verdict(s) for s in subjects)
    verdicts = [f"{counts[verdict]} {verdict}" for verdict in _SIGNS if counts[verdict]]
    number_of = "1 subject" if len(subjects) == 1 else f"{len(subjects)} subjects"
    return f"{number_of}: {', '.join(verdicts)}" if subjects else "No subject was judged"


def _name(subject: Mapping[str, Any]) -> str:
    return str(subject.get("label") or subject.get("subject") or "unnamed subject")


def _head(data: Mapping[str, Any], title: str, environment: Mapping[str, Any]) -> Markup:
    partial = None
    if data.get("interrupted"):
        text = "The run was interrupted: this report is partial. What had not run by then was not judged."
        partial = tag("p", tag("strong", "Interrupted. "), text, class_="banner", role="alert")
    rows = [(str(name), str(value)) for name, value in environment.items()]
    rows += [("exit code", str(data["exit_code"]))] if data.get("exit_code") is not None else []
    conditions = tag("div", definitions(rows), class_="environment")
    return tag("header", tag("p", "mhsa verify", class_="eyebrow"), tag("h1", breakable(title)), partial, conditions)


def _overview(subjects: list[dict[str, Any]]) -> Markup:
    rows = [
        tag(
            "tr",
            tag("th", tag("a", breakable(_name(s)), href=f"#s{n}"), scope="row"),
            tag("td", _badge(s)),
            tag("td", _left(s), _figures(s)),
        )
        for n, s in enumerate(subjects, 1)
    ]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("subject", "verdict", "properties")))
    return tag("nav", scrolling("Subjects", tag("table", tag("thead", head), tag("tbody", *rows), class_="list subjects")),
               aria_label="Subjects")  # fmt: skip


def _verdict(subject: Mapping[str, Any]) -> str:
    verdict = str(subject.get("verdict"))
    return verdict if verdict in _SIGNS else "unjudged"


def _badge(subject: Mapping[str, Any]) -> Markup:
    verdict = _verdict(subject)
    sign = tag("span", _SIGNS[verdict], aria_hidden="true", class_="sign")
    return tag("span", sign, verdict, class_=f"verdict {verdict}")


def _left(subject: Mapping[str, Any]) -> str:
    """What nothing has tried, before the figures of what was; empty where there is nothing of the kind."""
    left = ", ".join(map(str, subject.get("not_judged") or ()))
    return f"not judged: {left}; " if left else ""


def _figures(subject: Mapping[str, Any]) -> str:
    """The verdict's figures in one line, as on the terminal."""
    properties = subject.get("properties") or ()
    if not properties:
        return "nothing was judged"
    counts = Counter(str(p.get("outcome")) for p in properties)
    said = [figures([(str(p.get("outcome")), int(p.get("cases") or 0)) for p in properties])]
    said += [f"{counts[outcome]} {words(outcome)}" for outcome in BESIDE if counts[outcome]]
    return ", ".join([*said, f"{sum(number(p.get('seconds') or 0) for p in properties):.1f} s"])


def _subject(subject: Mapping[str, Any], n: int, statements: Mapping[str, Property]) -> Markup:
    name = _name(subject)
    properties = [p for p in subject.get("properties") or () if isinstance(p, dict)]
    failed = [p for p in properties if p.get("outcome") == "fail"]
    anchors = {str(p.get("id")): f"s{n}-{p.get('id')}" for p in failed}
    failures = [failure(p, statements.get(str(p.get("id"))), anchors[str(p.get("id"))], first=p is failed[0]) for p in failed]
    diagnosis = subject.get("diagnosis")
    understood = [(str(topic), str(text)) for topic, text in (subject.get("understood") or {}).items()]
    chart = distribution(properties)
    parts = [
        tag("h2", breakable(name), id=f"s{n}-name"),
        _given(subject, name),
        tag("div", _badge(subject), tag("p", _left(subject), _figures(subject)), class_=f"result {_verdict(subject)}"),
        _question(subject) if subject.get("declare") else _reason(subject),
        *(tag("p", tag("strong", "Warning. "), str(text), class_="banner") for text in subject.get("warnings") or ()),
        tag("section", tag("h3", "How it was understood"), definitions(understood)) if understood else None,
        cause(diagnosis) if isinstance(diagnosis, Mapping) else None,
        _section(_failures_title(subject, len(failures)), *failures, class_="failures") if failures else None,
        _section("Error divided by bound", chart) if chart is not None else None,
        _section("Properties", table(properties, statements, anchors)) if properties else None,
        _coverage(subject.get("coverage")),
    ]
    return tag("article", *parts, id=f"s{n}", aria_labelledby=f"s{n}-name")


def _reason(subject: Mapping[str, Any]) -> Markup | None:
    return tag("p", str(subject["reason"]), class_="reason") if subject.get("reason") else None


def _question(subject: Mapping[str, Any]) -> Markup:
    """What is asked, what holds if it is meant, and the lines that say so."""
    given = dict(subject)
    ways = [
        part for title, lines in declarations(given) for part in (tag("dt", title), tag("dd", tag("pre", tag("code", lines))))
    ]
    return tag(
        "section",
        tag("h3", "Is this meant?"),
        tag("p", str(subject.get("reason") or "")),
        tag("p", "Then, ", tag("strong", then(given)), ".") if then(given) else None,
        tag("p", "If it is, declare it:"),
        tag("dl", *ways),
        class_="asks question",
    )


def _failures_title(subject: Mapping[str, Any], count: int) -> str:
    under = subject.get("under") or {}
    return f"Failures under {in_words(under['declaration'])} ({count})" if under else f"Failures ({count})"


def _given(subject: Mapping[str, Any], name: str) -> Markup | None:
    """What was given, where it has another name, and where its code is."""
    given, place = str(subject.get("subject") or ""), subject.get("place") or {}
    file, line = str(place.get("file") or ""), place.get("line")
    said = [given] if given and given != name else []
    if file:
        said.append(f"line {line}" if file in (given, name) else f"{file}:{line}")
    return tag("p", tag("code", breakable(", ".join(said))), class_="given") if said else None


def _section(title: str, *children: Markup, class_: str | None = None) -> Markup:
    return tag("section", tag("h3", title), *children, class_=class_)


def _coverage(coverage: Any) -> Markup | None:
    """The lines of the subject that no case reached: nothing is known of them."""
    if not isinstance(coverage, Mapping):
        return None
    missing = {int(n) for n in coverage.get("missing") or ()}
    share = f"{coverage.get('executed', '?')} of {coverage.get('statements', '?')} statements of "
    said = tag("p", share, tag("code", str(coverage.get("file", "?"))), " were executed.")
    if not missing:
        return _section("Coverage", said)
    source = {int(n): str(text) for n, text in (coverage.get("lines") or {}).items()}
    rows: list[Markup] = []
    previous = None
    for line in sorted(source.keys() | missing):
        if previous is not None and line > previous + 1:
            rows.append(tag("tr", tag("td"), tag("td"), tag("td", "⋯"), class_="gap"))
        mark = tag("td", "✕", tag("span", " never executed", class_="unseen")) if line in missing else tag("td")
        cells = (tag("th", line, scope="row"), mark, tag("td", tag("code", source.get(line, ""))))
        rows.append(tag("tr", *cells, class_="missing" if line in missing else None))
        previous = line
    warning = tag("p", "Nothing is known of the lines marked ✕: no case reached them.", class_="hint")
    listing = tag("table", tag("tbody", *rows), class_="source")
    return _section("Coverage", said, warning, scrolling("Lines that were never executed", listing))
