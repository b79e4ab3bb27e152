"""``mhsa verify --html FILE``: the results of a run, as one page that needs no network and no other file.

Each string of the run is escaped where it enters an element (:mod:`mhsa.reports.html.markup`), and the page's policy lets the
browser run no script but its own, so that nothing in a subject can act in the reader's browser.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

from mhsa.records.catalogue import Property
from mhsa.records.declarations import in_words
from mhsa.records.document.run import RunRecord
from mhsa.records.document.subject import Coverage, SubjectRecord
from mhsa.reports.html.cause import cause
from mhsa.reports.html.chart import distribution
from mhsa.reports.html.failure import failure
from mhsa.reports.html.markup import Markup, breakable, command, definitions, join, scrolling, tag
from mhsa.reports.html.table import table, words
from mhsa.reports.phrases import declarations, figures, not_judged, other_outcomes

_SIGNS = {"holds": "✓", "violated": "✕", "question": "?", "unjudged": "?"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(run: RunRecord, statements: Mapping[str, Property]) -> str:
    """Return the page.

    Args:
        run: what was found; parts that are missing are left out.
        statements: the catalogue by id.
    """
    subjects = run.subjects
    style, script = _asset("verdict_page.css"), _asset("verdict_page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    title = _title(subjects)
    sections = [_subject(s, n, statements) for n, s in enumerate(subjects, 1)]
    body = [_head(run, title), _overview(subjects) if len(subjects) > 1 else None, *sections]
    return Template(_asset("verdict_page.html")).substitute(
        title=tag("title", f"{_name(subjects[0])}: {subjects[0].verdict}" if len(subjects) == 1 else title),
        policy=f"{_POLICY}; script-src 'sha256-{digest}'",
        style=style,
        script=script,
        body=join(body),
    )


def _asset(name: str) -> str:
    return files("mhsa.reports.html").joinpath(name).read_text(encoding="utf-8")


def _title(subjects: Sequence[SubjectRecord]) -> str:
    counts = Counter[str](s.verdict for s in subjects)
    verdicts = [f"{counts[verdict]} {verdict}" for verdict in _SIGNS if counts[verdict]]
    number_of = "1 subject" if len(subjects) == 1 else f"{len(subjects)} subjects"
    return f"{number_of}: {', '.join(verdicts)}" if subjects else "No subject was judged"


def _name(subject: SubjectRecord) -> str:
    return subject.label or "unnamed subject"


def _head(run: RunRecord, title: str) -> Markup:
    partial = None
    if run.interrupted:
        text = "The run was interrupted: this report is partial. What had not run by then was not judged."
        partial = tag("p", tag("strong", "Interrupted. "), text, class_="banner", role="alert")
    rows = [(str(name), str(value)) for name, value in run.environment.items()]
    rows += [("exit code", str(run.exit_code))] if run.exit_code is not None else []
    conditions = tag("div", definitions(rows), class_="environment")
    return tag("header", tag("p", "mhsa verify", class_="eyebrow"), tag("h1", breakable(title)), partial, conditions)


def _overview(subjects: Sequence[SubjectRecord]) -> Markup:
    rows = [
        tag(
            "tr",
            tag("th", tag("a", breakable(_name(s)), href=f"#s{n}"), scope="row"),
            tag("td", _badge(s)),
            tag("td", _figures(s)),
        )
        for n, s in enumerate(subjects, 1)
    ]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("subject", "verdict", "properties")))
    return tag("nav", scrolling("Subjects", tag("table", tag("thead", head), tag("tbody", *rows), class_="list subjects")),
               aria_label="Subjects")  # fmt: skip


def _badge(subject: SubjectRecord) -> Markup:
    sign = tag("span", _SIGNS[subject.verdict], aria_hidden="true", class_="sign")
    return tag("span", sign, subject.verdict, class_=f"verdict {subject.verdict}")


def _figures(subject: SubjectRecord) -> str:
    """What was not judged, and the figures of what was, in one line as on the terminal."""
    left = f"{not_judged(subject.not_judged)}; " if subject.not_judged else ""
    if not subject.properties:
        return f"{left}nothing was judged"
    others = [words(each) for each in other_outcomes(subject.properties)]
    return left + ", ".join([figures(subject.properties), *others, f"{subject.seconds:.1f} s"])


def _subject(subject: SubjectRecord, n: int, statements: Mapping[str, Property]) -> Markup:
    failed = subject.of_outcome("fail")
    anchors = {p.id: f"s{n}-{p.id}" for p in failed}
    failures = [failure(p, statements.get(p.id), anchors[p.id], first=p is failed[0]) for p in failed]
    chart = distribution(subject.properties)
    parts = [
        tag("h2", breakable(_name(subject)), id=f"s{n}-name"),
        _origin(subject),
        tag("div", _badge(subject), tag("p", _figures(subject)), class_=f"result {subject.verdict}"),
        _question(subject) if subject.declare else _reason(subject),
        *(tag("p", tag("strong", "Warning. "), text, class_="banner") for text in subject.warnings),
        tag("section", tag("h3", "How it was understood"), definitions(subject.notes)) if subject.notes else None,
        cause(subject.diagnosis) if subject.diagnosis is not None else None,
        _section(_failures_title(subject, len(failures)), *failures, class_="failures") if failures else None,
        _section("Error divided by bound", chart) if chart is not None else None,
        _section("Properties", table(subject.properties, statements, anchors)) if subject.properties else None,
        _coverage(subject.coverage) if subject.coverage is not None else None,
    ]
    return tag("article", *parts, id=f"s{n}", aria_labelledby=f"s{n}-name")


def _reason(subject: SubjectRecord) -> Markup | None:
    return tag("p", subject.reason, class_="reason") if subject.reason else None


def _question(subject: SubjectRecord) -> Markup:
    """What is to be decided, what holds if it is meant, and the lines that declare it."""
    ways = [part for title, lines in declarations(subject) for part in (tag("dt", title), tag("dd", command(lines)))]
    return tag(
        "section",
        tag("h3", "Is this meant?"),
        tag("p", subject.reason),
        tag("p", "Then, ", tag("strong", subject.then), ".") if subject.then else None,
        tag("p", "If it is, declare it:"),
        tag("dl", *ways),
        class_="open-question question",
    )


def _failures_title(subject: SubjectRecord, count: int) -> str:
    under = f" under {in_words(subject.under['declaration'])}" if subject.under is not None else ""
    return f"Failures{under} ({count})"


def _origin(subject: SubjectRecord) -> Markup | None:
    """The subject's spec, where it has another name, and the place of its code."""
    parts = [subject.subject] if subject.subject not in ("", subject.label) else []
    if subject.place is not None:
        file, line = subject.place
        parts.append(f"line {line}" if file in (subject.subject, subject.label) else f"{file}:{line}")
    return tag("p", tag("code", breakable(", ".join(parts))), class_="origin") if parts else None


def _section(title: str, *children: Markup, class_: str | None = None) -> Markup:
    return tag("section", tag("h3", title), *children, class_=class_)


def _coverage(coverage: Coverage) -> Markup:
    """The lines of the subject that no case executed: nothing is known of them."""
    share = f"{coverage.executed} of {coverage.statements} statements of "
    sentence = tag("p", share, tag("code", coverage.file), " were executed.")
    missing = set(coverage.missing)
    if not missing:
        return _section("Coverage", sentence)
    rows: list[Markup] = []
    previous = None
    for line in sorted(coverage.lines.keys() | missing):
        if previous is not None and line > previous + 1:
            rows.append(tag("tr", tag("td"), tag("td"), tag("td", "⋯"), class_="gap"))
        mark = tag("td", "✕", tag("span", " never executed", class_="unseen")) if line in missing else tag("td")
        cells = (tag("th", line, scope="row"), mark, tag("td", tag("code", coverage.lines.get(line, ""))))
        rows.append(tag("tr", *cells, class_="missing" if line in missing else None))
        previous = line
    warning = tag("p", "Nothing is known of the lines marked ✕: no case executed them.", class_="hint")
    listing = tag("table", tag("tbody", *rows), class_="source")
    return _section("Coverage", sentence, warning, scrolling("Lines that were never executed", listing))
