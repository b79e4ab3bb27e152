"""The words about a run that its reports for machines share: JUnit, Markdown and annotations."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mhsa.records.results import what_then

if TYPE_CHECKING:
    from mhsa.records.results import Outcome

LONGEST = 1000  # characters of what was observed: more is read by nobody, and annotations are cut after about 4000
# What XML 1.0 forbids or advises against: control characters, and lone surrogates, which cannot be printed either.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

INTERRUPTED = "The run was interrupted: properties that were not run are not judged."


# Outcomes that stand in brackets after the figures.
BESIDE: tuple[Outcome, ...] = ("unexpected-pass", "not-applicable", "error")


def figures(found: Sequence[tuple[str, int]]) -> str:
    """Return the figures of a verdict: what holds, or how much fails; what fails as expected is counted by itself.

    Args:
        found: outcome and number of cases of each property.
    """
    outcomes = Counter(outcome for outcome, _ in found)
    holding = [cases for outcome, cases in found if outcome in ("pass", "unexpected-pass")]
    failed, expected = outcomes["fail"], outcomes["expected-failure"]
    judged = len(holding) + failed + expected
    held = f"{len(holding)} {'property' if len(holding) == 1 else 'properties'}"
    words = f"{failed} of {judged} properties fail" if failed else f"{held} on {sum(holding)} cases"
    more = " more" * bool(failed)
    return words + (f"; {expected}{more} fail{'s' * (expected == 1)} as expected" if expected else "")


def printable(text: object) -> str:
    """Return the text without what can neither be written as XML nor printed."""
    return _FORBIDDEN.sub("", str(text))


def short(text: str, most: int = LONGEST) -> str:
    """Return the text, cut where it is longer than a report should be."""
    return text if len(text) <= most else text[:most] + " ..."


def label(subject: dict[str, Any]) -> str:
    """Return the subject's name in reports."""
    return str(subject.get("label") or subject["subject"])


def with_outcome(subject: dict[str, Any], *outcomes: str) -> list[dict[str, Any]]:
    """Return the properties with one of these outcomes."""
    return [found for found in subject.get("properties", []) if found["outcome"] in outcomes]


def why(subject: dict[str, Any]) -> str:
    """Return why a subject does not hold although none of its properties fails."""
    return str(subject.get("reason") or "no reason was given")


def then(subject: dict[str, Any]) -> str:
    """Return what holds under the declaration that a question suggests, empty where nothing was judged so."""
    return what_then(subject["under"]) if subject.get("under") else ""


def declarations(subject: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the ways to declare what a question is about: where, and the lines to paste there."""
    titles = {"pyproject.toml": "in pyproject.toml", "class": "in the class", "option": "for one run"}
    lines = subject.get("declare") or {}
    command = shlex.join(["mhsa", "verify", label(subject)])
    return [(title, f"{command} {lines[w]}" if w == "option" else lines[w]) for w, title in titles.items() if w in lines]


def question(subject: dict[str, Any]) -> str:
    """Return all of a question as text: what was seen, what then holds, and what to declare."""
    ways = [f"{title}:\n\n{lines}" for title, lines in declarations(subject)]
    return "\n\n".join(filter(None, [why(subject), then(subject), *(["If that is meant, declare it"] if ways else []), *ways]))


def not_judged(subject: dict[str, Any]) -> str:
    """Return what a user can reach and nothing has tried, in words, empty where there is nothing of the kind."""
    return ", ".join(printable(words) for words in subject.get("not_judged") or ())


def is_open(subject: dict[str, Any]) -> bool:
    """Return whether something was not judged that nobody has accepted: what --strict does not let pass."""
    return bool(set(subject.get("not_judged") or ()) - set(subject.get("accepted") or ()))


def reason(found: dict[str, Any]) -> str:
    """Return what is wrong with a property, or why it was not judged as usual."""
    return str(found.get("reason") or "")


def smallest(found: dict[str, Any]) -> str:
    """Return the smallest case on which a property failed, empty where there is none."""
    return str(((found.get("counterexample") or {}).get("case") or {}).get("words", ""))


def cause(subject: dict[str, Any]) -> str:
    """Return the likely cause in one line, empty where it is not known."""
    diagnosis = subject.get("diagnosis") or {}
    causes = diagnosis.get("causes") or ()
    words = " or ".join(f"{each['name']} ({each['summary'].rstrip('.')})" for each in causes)
    return f"perhaps {words}" if words and diagnosis.get("kind") != "confirmed" else words


def commands(found: dict[str, Any]) -> list[str]:
    """Return the commands that show a failure again: its saved case, if there is one, and the property."""
    file = (found.get("counterexample") or {}).get("file")
    again = [str(found["reproduce"])] if found.get("reproduce") else []
    return ([shlex.join(["mhsa", "replay", str(file)])] if file else []) + again


def story(subject: dict[str, Any], found: dict[str, Any]) -> str:
    """Return a failure in a few lines: what was observed, the smallest case, the likely cause, and how to see it again."""
    rows = [("smallest", smallest(found)), ("cause", cause(subject)), ("reproduce", (commands(found) or [""])[0])]
    return "\n".join([short(reason(found)), *(f"{name}: {words}" for name, words in rows if words)])
