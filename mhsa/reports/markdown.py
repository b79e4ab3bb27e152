"""A summary in GitHub's Markdown, for the page of a CI run: every verdict, and what is needed to act on a violation.

Text that comes from subjects is escaped and never begins a line, so it cannot become a heading, a list, a table or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mhsa.records.diagnosis import Diagnosis
from mhsa.records.document.run import RunRecord
from mhsa.records.document.subject import SubjectRecord
from mhsa.reports.markdown_text import code, table, text
from mhsa.reports.phrases import INTERRUPTED, all_figures, commands, declarations, not_judged
from mhsa.reports.text import printable

_SYMBOLS = {"holds": "✅", "violated": "❌", "question": "❔", "unjudged": "⚠️"}
_LANGUAGES = {"in pyproject.toml": "toml", "in the class": "python", "for one run": "sh"}
_ROWS = 20  # failures of a subject that are worth a row; the JSON has all
_CELL = 300  # characters of a cell
_BUDGET = 250_000  # characters of at most four bytes: GitHub discards a summary of more than 1 MiB


def markdown(run: RunRecord) -> str:
    """Return the summary."""
    partial = run.interrupted
    lines = [_heading(run), ""]
    if partial:
        lines += [f"⚠️ **Partial run.** {INTERRUPTED}", ""]
    if run.subjects:
        rows = ((_code(subject.label), _verdict(subject, partial)) for subject in run.subjects)
        lines += [*table(("Subject", "Verdict"), rows), ""]
    size = sum(map(len, lines))
    in_detail = [subject for subject in run.subjects if _needs_section(subject)]
    for number, subject in enumerate(in_detail):
        section = [f"### {_symbol(subject.verdict, partial)} {_code(subject.label)}", "", *_section(subject)]
        size += sum(map(len, section))
        if size > _BUDGET:
            lines += [f"{len(in_detail) - number} more subjects are left out: the summary would be too long.", ""]
            break
        lines += section
    return "\n".join([*lines, *_environment(run.environment)]) + "\n"


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


def _heading(run: RunRecord) -> str:
    counts = {
        verdict: sum(s.verdict == verdict for s in run.subjects) for verdict in ("violated", "unjudged", "question", "holds")
    }
    words = [f"{n} {'hold' if verdict == 'holds' and n > 1 else verdict}" for verdict, n in counts.items() if n]
    worst = next((verdict for verdict, n in counts.items() if n), "unjudged")
    more = " (partial run)" if run.interrupted else ""
    return f"## {_symbol(worst, run.interrupted)} mhsa verify: {', '.join(words) or 'nothing was judged'}{more}"


def _verdict(subject: SubjectRecord, partial: bool) -> str:
    """A verdict with its figures in one line."""
    verdict = subject.verdict
    stated = verdict in ("unjudged", "question")
    words = _text(subject.why.partition("\n\n")[0]) if stated else all_figures(subject.properties)
    words += f"; {_text(subject.then)}" if verdict == "question" and subject.then else ""
    left = f"; {_text(not_judged(subject.not_judged))}" if subject.not_judged else ""
    return f"{_symbol(verdict, partial)} {verdict}{' so far' if verdict == 'holds' and partial else ''}{left}: {words}"


def _symbol(verdict: str, partial: bool) -> str:
    """The verdict's sign; what holds in part of a run does not hold yet."""
    return _SYMBOLS["unjudged" if partial and verdict == "holds" else verdict]


def _needs_section(subject: SubjectRecord) -> bool:
    return subject.verdict == "violated" or bool(subject.warnings) or _asks_at_length(subject)


def _asks_at_length(subject: SubjectRecord) -> bool:
    """Whether a question has more than its line in the table, code to be pasted say."""
    return subject.verdict == "question" and ("\n" in subject.why or bool(subject.declare))


def _section(subject: SubjectRecord) -> Iterator[str]:
    """What there is to say about a subject beyond its line."""
    if _asks_at_length(subject) and "\n" in subject.why:
        yield from _block(subject.why.split("\n"), "text")
    for n, (title, lines) in enumerate(declarations(subject)):
        yield from (f"{'or' if n else 'If that is meant, declare it'} {title}:", "")
        yield from _block(lines.split("\n"), _LANGUAGES[title])
    if subject.diagnosis is not None:
        yield from _cause(subject.diagnosis)
    failures = subject.of_outcome("fail")
    if failures:
        rows = ((_code(p.id), _text(p.reason), _text(p.facts.words) or "-") for p in failures[:_ROWS])
        yield from (*table(("Property", "Observed", "Smallest case"), rows), "")
        if len(failures) > _ROWS:
            yield from (f"{len(failures) - _ROWS} more properties fail.", "")
        yield from (f"To see {_code(failures[0].id)} again:", "")
        yield from _block(commands(failures[0]))
    notes = [f"- ⚠️ warning: {_text(words)}" for words in subject.warnings]
    notes += [f"- could not be judged: {_code(p.id)}: {_text(p.reason)}" for p in subject.of_outcome("error")]
    if notes:
        yield from (*notes, "")


def _cause(diagnosis: Diagnosis) -> Iterator[str]:
    titles = {"confirmed": "Likely cause, confirmed by numbers:", "similar": "Likely cause, perhaps:"}
    title = titles.get(diagnosis.kind, "Cause not known.")
    names = " or ".join(_code(cause.name) for cause in diagnosis.causes) + ("." if diagnosis.causes else "")
    words = (_text(sentence) for sentence in diagnosis.words)
    yield from (" ".join(filter(None, (f"**{title}**", names, *words))), "")
    for cause in diagnosis.causes:
        common = "" if cause.shared is None else f" ({100 * cause.shared:.0f} % of the failed properties in common)"
        formula = f"computes {_code(cause.computes)}, must be {_code(cause.must_be)}"
        yield f"- {_code(cause.name)}{common}: {_text(cause.summary)} It {formula}."
    if diagnosis.causes:
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
