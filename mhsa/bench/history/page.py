"""``mhsa history --html FILE``: the history as one page that needs no network and no other file."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence

from mhsa.bench.compare.accepted.acceptance import Acceptance
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.git.repository import Commit
from mhsa.bench.history.page_chart import chart, kind_of, sign_of
from mhsa.bench.history.report import Series, acceptance_of, level, sentence
from mhsa.bench.history.steps import Step, levels
from mhsa.bench.measure.measurement import Measurement
from mhsa.bench.report import format as wording
from mhsa.bench.report.page_parts import document, head, many, section
from mhsa.bench.report.page_table import prettier
from mhsa.reports.html.markup import Markup, breakable, command, join, scrolling, tag

_READING = (
    "A point is the ratio of the time to that of the baseline at a commit, with the 95 % interval of its median within that "
    "process; 1.00x is as fast as four plain projections and torch's scaled_dot_product_attention, and larger is worse. A line "
    "is a level: where the ratio does not change but by chance. A process' ratio has a standard deviation of 2 to 4 %, so a "
    "single point that lies off is no change.",
    "A step is a place to look at, no verdict: mhsa compare gives one. Of what is counted (operators, memory) every difference "
    "is one. ✓ stands at those that somebody has accepted, with a reason: mhsa compare --accept, or a line in the message.",
)


def page(
    commits: Sequence[Commit],
    series: Sequence[tuple[Benchmark, Series]],
    machines: Sequence[Mapping[str, str | int]],
    steps: Sequence[Step],
    accepted: Sequence[tuple[int, Acceptance]],
    notes: Sequence[str],
    *,
    solved: bool,
) -> str:
    """Return the page.

    Args:
        commits: oldest first.
        series: each benchmark, and what is known of it at each commit.
        machines: conditions, one of each device.
        steps: what changed, with what is accepted.
        accepted: with which commit each acceptance came in.
        notes: on the whole run, and why figures are missing.
        solved: whether asv is there, which finds the levels.
    """
    of = {b.id: [step for step in steps if step.benchmark == b.id] for b, _ in series}
    looked = solved and len(commits) > 1
    title = _title(commits, steps, looked=looked)
    body = [
        head("mhsa history", title, *({**_range(commits), **machine} for machine in machines)),
        section("What changed", _changes(commits, steps)) if steps else None,
        section("Accepted", *_accepted(commits, accepted)) if accepted else None,
        *(_series(b.id, commits, figures, of[b.id], solved=solved) for b, figures in series),
        section("Notes", tag("ul", *(tag("li", note) for note in notes))) if notes else None,
        section("How to read this", *(tag("p", words) for words in _READING), class_="reading"),
    ]
    return document(f"mhsa history: {title}", body, ("mhsa.bench.history", "history_page.css"))


def _title(commits: Sequence[Commit], steps: Sequence[Step], *, looked: bool) -> str:
    known = [step for step in steps if kind_of(step) == "accepted"]
    measured = many(len(commits), "commit")
    words = f"{many(len(steps), 'step')} in {measured}" if steps else f"No step in {measured}" if looked else measured
    return f"{words}, {len(known)} accepted" if known else words


def _range(commits: Sequence[Commit]) -> dict[str, str | int]:
    if not commits:
        return {}
    first, last = commits[0], commits[-1]
    return {"from": f"{first.sha[:7]} of {_day(first)}", "to": f"{last.sha[:7]} of {_day(last)}"}


def _changes(commits: Sequence[Commit], steps: Sequence[Step]) -> Markup:
    """All steps by commit, the newest first."""
    rows: dict[Commit, list[Step]] = {}
    numbers = {commit: n for n, commit in enumerate(commits)}
    for step in sorted(steps, key=lambda step: -numbers[step.commit]):
        rows.setdefault(step.commit, []).append(step)
    body = []
    for commit, here in rows.items():
        by_words: dict[str, list[str]] = {}
        for step in here:
            by_words.setdefault(_what(step), []).append(step.benchmark)
        items = (tag("li", Markup(words), " ", breakable(", ".join(names))) for words, names in by_words.items())
        changes = tag("ul", *items)
        body.append(tag("tr", tag("th", _name(commit), scope="row"), tag("td", commit.message), tag("td", changes)))
    heads = tag("tr", *(tag("th", name, scope="col") for name in ("commit", "message", "what changed there")))
    return scrolling("what changed", tag("table", tag("thead", heads), tag("tbody", *body), class_="list changes"))


def _what(step: Step) -> Markup:
    kind = kind_of(step)
    words = f"{sign_of(step)} {step.words}{' (accepted)' if kind == 'accepted' else ''}"
    return tag("span", words, class_=f"what {kind}")


def _accepted(commits: Sequence[Commit], accepted: Sequence[tuple[int, Acceptance]]) -> Iterator[Markup]:
    rows = []
    for n, acceptance in reversed(accepted):
        figures = tag("ul", *(tag("li", breakable(name), f": {some}") for name, some in acceptance.figures.items()))
        where = tag("span", acceptance.where, class_="when where")
        rows.append(
            tag("tr", tag("th", _name(commits[n]), where, scope="row"), tag("td", acceptance.reason), tag("td", figures))
        )
    heads = tag("tr", *(tag("th", name, scope="col") for name in ("came in with", "reason", "what is accepted")))
    yield scrolling("accepted", tag("table", tag("thead", heads), tag("tbody", *rows), class_="list changes"))


def _series(
    name: str, commits: Sequence[Commit], figures: Series, steps: Sequence[Step], *, solved: bool
) -> Markup:  # fmt: skip
    known = [m for m in figures if m is not None and m.outcome == "measured" and m.ratio]
    pieces = levels(known) if solved else []
    parts = [chart(commits, figures, pieces, [(step, sentence(step)) for step in steps])] if known else []
    parts += [_steps(steps)] if steps else []
    parts += (
        []
        if steps or not solved or len(known) < 2
        else [tag("p", "No step: the ratio is level, and what is counted does not change.")]
    )
    summary = tag("summary", f"In figures: {many(len(commits), 'commit')}")
    return section(name, *parts, tag("details", summary, _table(name, commits, figures), class_="more"))


def _steps(steps: Sequence[Step]) -> Markup:
    """What changed from what to what, by commit, and whether that is accepted, or how to be sure of it."""
    by_commit: dict[Commit, list[Step]] = {}
    for step in steps:
        by_commit.setdefault(step.commit, []).append(step)
    return tag("ul", *(_at_commit(commit, here) for commit, here in by_commit.items()), class_="steps")


def _at_commit(commit: Commit, steps: Sequence[Step]) -> Markup:
    lines = [tag("p", _name(commit), f" {commit.message}")]
    for step in steps:
        values = "" if step.before is None else f" from {level(step, step.before)} to {level(step, step.after)}"
        between = f", or up to {many(step.between, 'commit')} before it, without a figure" if step.between else ""
        reason = f": {step.reason}" if step.reason else ""
        lines.append(tag("p", _what(step), prettier(f"{values}{between}{reason}")))
    why = {acceptance_of(step): step.accepted.where for step in steps if step.accepted is not None}
    lines += [tag("p", f"✓ {words} ", tag("span", f"({where})", class_="when")) for words, where in why.items()]
    sure = {(s.last.sha, s.commit.sha): None for s in steps if s.last is not None and kind_of(s) in ("slower", "faster")}
    lines += [command(f"mhsa compare {before[:10]} {after[:10]}") for before, after in sure]
    return tag("li", *lines, class_=kind_of(steps[0]))


def _table(name: str, commits: Sequence[Commit], figures: Series) -> Markup:
    names = ("commit", "ratio", "95 %", "time", "peak memory", "message")
    classes = (None, "figure", "figure", "figure", "figure", None)
    heads = tag("tr", *(tag("th", n, scope="col", class_=c) for n, c in zip(names, classes, strict=True)))
    rows = []
    for commit, m in reversed(list(zip(commits, figures, strict=True))):
        cells = [tag("td", prettier(cell), class_="figure") for cell in _cells(m)]
        rows.append(tag("tr", tag("th", _name(commit), scope="row"), *cells, tag("td", commit.message, class_="message")))
    return scrolling(f"{name}: all commits", tag("table", tag("thead", heads), tag("tbody", *rows), class_="list commits"))


def _cells(m: Measurement | None) -> list[str]:
    if m is None or m.outcome != "measured":
        return [wording.shown(m, wording.ratio), "", "", ""]
    return [wording.shown(m, figure) for figure in (wording.ratio, wording.interval, wording.time, wording.peak)]


def _name(commit: Commit) -> Markup:
    return join([tag("code", commit.sha[:7]), " ", tag("span", _day(commit), class_="when")])


def _day(commit: Commit) -> str:
    return datetime.datetime.fromtimestamp(commit.date, datetime.UTC).date().isoformat()
