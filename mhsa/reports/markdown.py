"""A summary in GitHub's Markdown, for the page of a CI run: every verdict, and what is needed to act on a violation.

Text that comes from subjects is escaped and never begins a line, so it cannot become a heading, a list, a table or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mhsa.reports.markdown_text import code, table, text
from mhsa.reports.phrases import (
    BESIDE,
    INTERRUPTED,
    commands,
    declarations,
    figures,
    label,
    not_judged,
    printable,
    reason,
    smallest,
    then,
    why,
    with_outcome,
)

_SYMBOLS = {"holds": "✅", "violated": "❌", "question": "❔", "unjudged": "⚠️"}
_LANGUAGES = {"in pyproject.toml": "toml", "in the class": "python", "for one run": "sh"}
_ROWS = 20  # failures of a subject that are worth a row: who needs more looks into the JSON
_CELL = 300  # characters of a cell
_BUDGET = 250_000  # characters of at most four bytes: GitHub throws a summary of more than 1 MiB away


def markdown(data: dict[str, Any]) -> str:
    """Return the summary."""
    subjects, partial = data.get("subjects", []), bool(data.get("interrupted"))
    lines = [_heading(subjects, partial), ""]
    if partial:
        lines += [f"⚠️ **Partial run.** {INTERRUPTED}", ""]
    if subjects:
        rows = ((_code(label(subject)), _verdict(subject, partial)) for subject in subjects)
        lines += [*table(("Subject", "Verdict"), rows), ""]
    size = sum(map(len, lines))
    telling = [subject for subject in subjects if _needs_section(subject)]
    for number, subject in enumerate(telling):
        section = [f"### {_symbol(subject['verdict'], partial)} {_code(label(subject))}", "", *_section(data, subject)]
        size += sum(map(len, section))
        if size > _BUDGET:
            lines += [f"{len(telling) - number} more subjects are left out: the summary would be too long.", ""]
            break
        lines += section
    return "\n".join([*lines, *_environment(data.get("environment", {}))]) + "\n"


def append_to_step_summary(summary: str, environ: Mapping[str, str]) -> bool:
    """Append to the file that GitHub shows as the step's summary, and return whether it was done.

    A summary is a courtesy: without that file, or if it cannot be written, the verdict stands as well.
    """
    path = environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return False
    try:
        with open(path, "a", encoding="utf-8", errors="replace") as file:
            file.write(f"\n{summary}\n")  # what another tool left may not end with a newline
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return False
    return True


def _heading(subjects: list[dict[str, Any]], partial: bool) -> str:
    counts = {
        verdict: sum(s["verdict"] == verdict for s in subjects) for verdict in ("violated", "unjudged", "question", "holds")
    }
    words = [f"{n} {'hold' if verdict == 'holds' and n > 1 else verdict}" for verdict, n in counts.items() if n]
    worst = next((verdict for verdict, n in counts.items() if n), "unjudged")
    more = " (partial run)" if partial else ""
    return f"## {_symbol(worst, partial)} mhsa verify: {', '.join(words) or 'nothing was judged'}{more}"


def _verdict(subject: dict[str, Any], partial: bool) -> str:
    """A verdict with its figures in one line."""
    verdict = subject["verdict"]
    words = _text(why(subject).partition("\n\n")[0]) if verdict in ("unjudged", "question") else _figures(subject)
    words += f"; {_text(then(subject))}" if verdict == "question" and then(subject) else ""
    left = f"; not judged: {_text(not_judged(subject))}" if not_judged(subject) else ""
    return f"{_symbol(verdict, partial)} {verdict}{' so far' if verdict == 'holds' and partial else ''}{left}: {words}"


def _symbol(verdict: str, partial: bool) -> str:
    """The verdict's sign; what holds in part of a run does not hold yet."""
    return _SYMBOLS["unjudged" if partial and verdict == "holds" else verdict]


def _figures(subject: dict[str, Any]) -> str:
    words = figures([(found["outcome"], found.get("cases", 0)) for found in subject.get("properties", [])])
    more = [f"{n} {outcome}" for outcome in BESIDE if (n := len(with_outcome(subject, outcome)))]
    return f"{words}{' (' + ', '.join(more) + ')' if more else ''}"


def _needs_section(subject: dict[str, Any]) -> bool:
    return subject["verdict"] == "violated" or bool(subject.get("warnings")) or _asks_at_length(subject)


def _asks_at_length(subject: dict[str, Any]) -> bool:
    """Whether a question has more than its line in the table, code to be pasted say."""
    return subject["verdict"] == "question" and ("\n" in why(subject) or bool(declarations(subject)))


def _section(data: dict[str, Any], subject: dict[str, Any]) -> Iterator[str]:
    """What there is to say about a subject beyond its line."""
    if _asks_at_length(subject) and "\n" in why(subject):
        yield from _block(why(subject).split("\n"), "text")
    for n, (title, lines) in enumerate(declarations(subject)):
        yield from (f"{'or' if n else 'If that is meant, declare it'} {title}:", "")
        yield from _block(lines.split("\n"), _LANGUAGES[title])
    yield from _cause(subject.get("diagnosis"))
    failures = with_outcome(subject, "fail")
    if failures:
        rows = ((_code(p["id"]), _text(reason(p)), _text(smallest(p)) or "-") for p in failures[:_ROWS])
        yield from (*table(("Property", "Observed", "Smallest case"), rows), "")
        if len(failures) > _ROWS:
            yield from (f"{len(failures) - _ROWS} more properties fail.", "")
        yield from (f"To see {_code(failures[0]['id'])} again:", "")
        yield from _block(commands(failures[0]))
    notes = [f"- ⚠️ warning: {_text(words)}" for words in subject.get("warnings") or ()]
    notes += [f"- could not be judged: {_code(p['id'])}: {_text(reason(p))}" for p in with_outcome(subject, "error")]
    if notes:
        yield from (*notes, "")


def _cause(diagnosis: dict[str, Any] | None) -> Iterator[str]:
    if not diagnosis:
        return
    causes = diagnosis.get("causes") or ()
    titles = {"confirmed": "Likely cause, confirmed by numbers:", "similar": "Likely cause, perhaps:"}
    title = titles.get(diagnosis.get("kind", ""), "Cause not known.")
    names = " or ".join(_code(cause["name"]) for cause in causes) + ("." if causes else "")
    words = (_text(sentence) for sentence in diagnosis.get("words") or ())
    yield from (" ".join(filter(None, (f"**{title}**", names, *words))), "")
    for cause in causes:
        shared = cause.get("shared")
        common = "" if shared is None else f" ({100 * shared:.0f} % of the failed properties in common)"
        formula = f"computes {_code(cause['computes'])}, must be {_code(cause['must_be'])}"
        yield f"- {_code(cause['name'])}{common}: {_text(cause['summary'])} It {formula}."
    if causes:
        yield ""


def _block(lines: list[str], language: str = "sh") -> Iterator[str]:
    """Lines in a fence that is longer than any in them."""
    block = printable("\n".join(lines)).replace("\r", " ")
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", block)), default=0))
    yield from (f"{fence}{language}", *block.split("\n"), fence, "")


def _environment(environment: dict[str, Any]) -> Iterator[str]:
    if not environment:
        return
    rows = ((_text(name), _text(value)) for name, value in environment.items())
    yield from ("<details>", "<summary>Environment</summary>", "", *table(("", ""), rows), "", "</details>")


def _text(words: object) -> str:
    return text(words, _CELL)


def _code(words: object) -> str:
    return code(words, _CELL)
