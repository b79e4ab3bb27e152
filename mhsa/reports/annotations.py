"""GitHub workflow commands for the results of a run.

A report is a pure function of the data that docs/json.md describes: what it says can be made again from a saved file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any

from mhsa.reports.phrases import (
    INTERRUPTED,
    LONGEST,
    is_open,
    label,
    not_judged,
    printable,
    question,
    reason,
    short,
    story,
    why,
    with_outcome,
)

_MOST = 10  # annotations of one kind that GitHub shows for a step; it drops the others without a word


def annotate(data: dict[str, Any]) -> list[str]:
    """Return workflow commands, each to be printed on a line of its own: what is wrong or not judged, then the warnings.

    All subjects' first errors come before any second one, because GitHub shows only the first ten of a step.
    """
    subjects = data.get("subjects", [])
    errors = [_command("error", "mhsa: interrupted", INTERRUPTED)] if data.get("interrupted") else []
    if not subjects and not errors:
        errors = [_command("error", "mhsa: unjudged", "There was no subject, so nothing was judged.")]
    rounds = zip_longest(*(list(_errors(data, subject)) for subject in subjects))
    errors += [line for line in chain.from_iterable(rounds) if line is not None]
    left = [_left(s, "notice") for s in subjects if not_judged(s) and not (data.get("strict") and is_open(s))]
    return errors + [line for subject in subjects for line in _warnings(subject)] + left


def _errors(data: dict[str, Any], subject: dict[str, Any]) -> Iterator[str]:
    failures = with_outcome(subject, "fail")
    if subject["verdict"] == "question":
        yield _command("error", f"{label(subject)}: question", question(subject), subject.get("place"))
    for found in failures[:_MOST]:
        yield _command("error", f"{label(subject)}: {found['id']}", story(subject, found), subject.get("place"))
    if not failures and subject["verdict"] not in ("holds", "question"):
        yield _command("error", f"{label(subject)}: {subject['verdict']}", why(subject), subject.get("place"))
    if is_open(subject) and data.get("strict"):
        yield _left(subject, "error")


def _left(subject: dict[str, Any], kind: str) -> str:
    """What nothing has tried: an error under --strict, a notice otherwise."""
    words = f"{subject['verdict']}; not judged: {not_judged(subject)}"
    return _command(kind, f"{label(subject)}: not judged", words, subject.get("place"))


def _warnings(subject: dict[str, Any]) -> Iterator[str]:
    name, place = label(subject), subject.get("place")
    failures = with_outcome(subject, "fail")
    if len(failures) > _MOST:  # no error, or it would be the eleventh, which GitHub does not show
        rest = [found["id"] for found in failures[_MOST:]]
        yield _command("warning", f"{name}: {len(rest)} more", f"{len(rest)} more properties fail: {', '.join(rest)}", place)
    lost = with_outcome(subject, "error")
    if lost and failures:  # else the verdict says it
        words = "\n".join(f"{found['id']}: {reason(found)}" for found in lost)
        yield _command("warning", f"{name}: {len(lost)} not judged", words, place)
    for words in subject.get("warnings") or ():
        yield _command("warning", name, words, place)


def _command(kind: str, title: str, message: str, place: dict[str, Any] | None = None) -> str:
    """One workflow command; the runner undoes the escapes of a property and of the message, which are not the same."""
    properties = {"title": title}
    file = printable((place or {}).get("file") or "")
    if file:
        properties = {"file": file, "line": str((place or {}).get("line") or 1)} | properties
    words = ",".join(f"{name}={_data(value).replace(':', '%3A').replace(',', '%2C')}" for name, value in properties.items())
    return f"::{kind} {words}::{_data(short(message, 2 * LONGEST))}"


def _data(text: str) -> str:
    text = re.sub(r"[\x85\u2028\u2029]", "\n", printable(text))  # some readers take these for the end of a line as well
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
