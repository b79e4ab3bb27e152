"""GitHub workflow commands for the results of a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, zip_longest

from mhsa.records.document.run import RunRecord
from mhsa.records.document.subject import SubjectRecord
from mhsa.reports.phrases import INTERRUPTED, NO_SUBJECT, not_judged, question, summary
from mhsa.reports.text import LONGEST, cut, printable

_MOST = 10  # annotations of one kind that GitHub shows for a step; it drops the others without a word


def annotate(run: RunRecord) -> list[str]:
    """Return workflow commands, each to be printed on a line of its own: what is wrong or not judged, then the warnings.

    All subjects' first errors come before any second one, because GitHub shows only the first ten of a step.
    """
    errors = [command("error", "mhsa: interrupted", INTERRUPTED)] if run.interrupted else []
    if not run.subjects and not errors:
        errors = [command("error", "mhsa: unjudged", NO_SUBJECT)]
    rounds = zip_longest(*(list(_errors(run, subject)) for subject in run.subjects))
    errors += [line for line in chain.from_iterable(rounds) if line is not None]
    notices = [_not_judged(s, "notice") for s in run.subjects if s.not_judged and not (run.strict and s.open)]
    return errors + [line for subject in run.subjects for line in _warnings(subject)] + notices


def _errors(run: RunRecord, subject: SubjectRecord) -> Iterator[str]:
    failures = subject.of_outcome("fail")
    if subject.verdict == "question":
        yield command("error", f"{subject.label}: question", question(subject), subject.place)
    for failure in failures[:_MOST]:
        yield command("error", f"{subject.label}: {failure.id}", summary(subject, failure), subject.place)
    if not failures and subject.verdict not in ("holds", "question"):
        yield command("error", f"{subject.label}: {subject.verdict}", subject.why, subject.place)
    if subject.open and run.strict:
        yield _not_judged(subject, "error")


def _not_judged(subject: SubjectRecord, kind: str) -> str:
    """What no property tries: an error under --strict, a notice otherwise."""
    words = f"{subject.verdict}; {not_judged(subject.not_judged)}"
    return command(kind, f"{subject.label}: not judged", words, subject.place)


def _warnings(subject: SubjectRecord) -> Iterator[str]:
    name, place = subject.label, subject.place
    failures = subject.of_outcome("fail")
    if len(failures) > _MOST:  # not an error, or it would be the eleventh, which GitHub does not show
        rest = [failure.id for failure in failures[_MOST:]]
        yield command("warning", f"{name}: {len(rest)} more", f"{len(rest)} more properties fail: {', '.join(rest)}", place)
    unjudged = subject.of_outcome("error")
    if unjudged and failures:  # else the verdict says it
        words = "\n".join(f"{p.id}: {p.reason}" for p in unjudged)
        yield command("warning", f"{name}: {len(unjudged)} not judged", words, place)
    for words in subject.warnings:
        yield command("warning", name, words, place)


def command(kind: str, title: str, message: str, place: tuple[str, int] | None = None) -> str:
    """Return one workflow command; the runner undoes the escapes of a property and of the message, which are not the same."""
    properties = {"title": title}
    if place is not None and (file := printable(place[0])):
        properties = {"file": file, "line": str(place[1])} | properties
    words = ",".join(f"{name}={_data(value).replace(':', '%3A').replace(',', '%2C')}" for name, value in properties.items())
    return f"::{kind} {words}::{_data(cut(message, 2 * LONGEST))}"


def _data(text: str) -> str:
    text = re.sub(r"[\x85\u2028\u2029]", "\n", printable(text))  # some readers take these for the end of a line as well
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
