"""Sentences about a run that several reports share, so that all of them say it in the same words."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mhsa.reports.text import cut

if TYPE_CHECKING:
    from mhsa.records.document.subject import PropertyRecord, SubjectRecord
    from mhsa.records.results import Outcome, PropertyResult

INTERRUPTED = "The run was interrupted: properties that were not run are not judged."
NO_SUBJECT = "There was no subject, so nothing was judged."

# Outcomes that are counted behind the figures of a verdict.
_OTHER_OUTCOMES: tuple[Outcome, ...] = ("unexpected-pass", "not-applicable", "error")


def figures(properties: Iterable[PropertyResult]) -> str:
    """Return the figures of a verdict: what holds, or how much fails; what fails as expected is counted by itself."""
    results = list(properties)
    outcomes = Counter(p.outcome for p in results)
    holding = [p.cases for p in results if p.outcome in ("pass", "unexpected-pass")]
    failed, expected = outcomes["fail"], outcomes["expected-failure"]
    judged = len(holding) + failed + expected
    held = f"{len(holding)} {'property' if len(holding) == 1 else 'properties'}"
    words = f"{failed} of {judged} properties fail" if failed else f"{held} on {sum(holding)} cases"
    more = " more" * bool(failed)
    return words + (f"; {expected}{more} fail{'s' * (expected == 1)} as expected" if expected else "")


def other_outcomes(properties: Iterable[PropertyResult]) -> list[str]:
    """Return how many properties have each outcome that the figures leave out: ``2 not-applicable``."""
    outcomes = Counter(p.outcome for p in properties)
    return [f"{outcomes[outcome]} {outcome}" for outcome in _OTHER_OUTCOMES if outcomes[outcome]]


def all_figures(properties: Sequence[PropertyResult]) -> str:
    """Return the figures of a verdict with the other outcomes in brackets."""
    others = other_outcomes(properties)
    return f"{figures(properties)}{' (' + ', '.join(others) + ')' if others else ''}"


def not_judged(parts: Iterable[str]) -> str:
    """Return the sentence that names what a user can reach and no property tries; empty where there is nothing of the kind."""
    names = ", ".join(parts)
    return f"not judged: {names}" if names else ""


def declarations(subject: SubjectRecord) -> list[tuple[str, str]]:
    """Return the ways to declare what a question is about: where, and the lines to paste there."""
    titles = {"pyproject.toml": "in pyproject.toml", "class": "in the class", "option": "for one run"}
    command = shlex.join(["mhsa", "verify", subject.label])
    lines = subject.declare
    return [(title, f"{command} {lines[w]}" if w == "option" else lines[w]) for w, title in titles.items() if w in lines]


def question(subject: SubjectRecord) -> str:
    """Return all of a question as text: what was seen, what then holds, and what to declare."""
    ways = [f"{title}:\n\n{lines}" for title, lines in declarations(subject)]
    return "\n\n".join(filter(None, [subject.why, subject.then, *(["If that is meant, declare it"] if ways else []), *ways]))


def cause(subject: SubjectRecord) -> str:
    """Return the likely cause in one line, empty where it is not known."""
    if subject.diagnosis is None:
        return ""
    words = " or ".join(f"{each.name} ({each.summary.rstrip('.')})" for each in subject.diagnosis.causes)
    return f"perhaps {words}" if words and subject.diagnosis.kind != "confirmed" else words


def commands(failure: PropertyRecord) -> list[str]:
    """Return the commands that show a failure again: its saved case, if there is one, and the property."""
    replay = [shlex.join(["mhsa", "replay", failure.facts.file])] if failure.facts.file else []
    return replay + ([failure.reproduce] if failure.reproduce else [])


def summary(subject: SubjectRecord, failure: PropertyRecord) -> str:
    """Return a failure in a few lines: what was observed, the smallest case, the likely cause, and how to see it again."""
    command = (commands(failure) or [""])[0]
    rows = [("smallest", failure.facts.words), ("cause", cause(subject)), ("reproduce", command)]
    return "\n".join([cut(failure.reason), *(f"{name}: {words}" for name, words in rows if words)])
