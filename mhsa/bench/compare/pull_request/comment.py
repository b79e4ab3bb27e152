"""A comparison as Markdown: one comment on a pull request, which a later run finds by its first line, and a job's summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mhsa.bench.compare.attribution.words import TITLE, entries
from mhsa.bench.compare.comparison import ORDER, Comparison, overall
from mhsa.bench.compare.pull_request.marker import MARKER
from mhsa.bench.compare.pull_request.picture import picture
from mhsa.bench.compare.pull_request.what_to_do import what_to_do
from mhsa.bench.compare.report import HEAD, acceptances, remarks, rows, sentence
from mhsa.bench.report.sentences import machine_line
from mhsa.reports.annotations import command
from mhsa.reports.markdown_text import table, text

_SYMBOLS = {
    "wrong": "❌", "suspect": "❌", "slower": "❌", "costs more": "❌", "n/a": "⚠️", "cannot tell": "⚠️", "accepted": "☑️",
    "not slower": "✅",
}  # fmt: skip
_ROWS = 8  # of the table and of the picture: a comment is to fit on a screen; what is behind a click has the others
_BEHIND = 200  # GitHub refuses a comment of more than 65536 letters
_REMARK = 240  # letters: what a wrong result is can take ten lines
_REMARKS = 4
_RIGHT = (1, 2, 3)


def comment(
    comparisons: Sequence[Comparison],
    machine: Mapping[str, str | int],
    commits: Mapping[str, str],
    notes: Sequence[str],
    threshold: float,
) -> str:
    """Return it.

    Args:
        comparisons: what was found.
        machine: that it was measured on.
        commits: the names of base and head.
        notes: on the whole run.
        threshold: the smallest slow-down that matters.
    """
    worst = sorted(comparisons, key=lambda c: ORDER.index(c.verdict))
    lines = [MARKER, f"### {_SYMBOLS[overall(comparisons)]} mhsa compare: {text(sentence(comparisons))}", ""]
    lines += [f"Head `{commits['head']}` against base `{commits['base']}`.", ""]
    lines += [*_table(worst[:_ROWS]), ""]
    if drawn := picture(worst[:_ROWS], threshold):
        lines += ["```text", *(line.replace("`", "'") for line in drawn), "```", ""]
    said = [text(words, _REMARK) for words in (*acceptances(comparisons), *remarks(comparisons), *notes)]
    said = (
        said if len(said) <= _REMARKS + 1 else [*said[:_REMARKS], f"and {len(said) - _REMARKS} more, which the job's log has"]
    )
    lines += [*(f"- {words}" for words in said), ""] if said else []
    for title, details in entries([(c.benchmark, c.attribution) for c in comparisons if c.attribution]):
        lines += [f"- {TITLE}: {text(title)}", *(f"  - {text(words, _REMARK)}" for words in details), ""]
    if advice := what_to_do(comparisons, commits["base"]):
        lines += ["**What to do**", "", *advice, ""]
    if more := worst[_ROWS:]:
        summary = (
            f"{len(more)} more benchmarks, none of them worse{f', the first {_BEHIND} of them' if len(more) > _BEHIND else ''}"
        )
        lines += ["<details>", f"<summary>{summary}</summary>", "", *_table(more[:_BEHIND]), "", "</details>", ""]
    return "\n".join([*lines, f"<sub>{text(machine_line(machine))}</sub>", ""])


def annotated(comparisons: Sequence[Comparison]) -> str:
    """Return the line by which GitHub shows the verdict at the top of the job; nothing where all is well."""
    kind = {"❌": "error", "⚠️": "warning", "☑️": "notice"}.get(_SYMBOLS[overall(comparisons)])
    return command(kind, "mhsa compare", "\n".join([sentence(comparisons), *acceptances(comparisons)])) if kind else ""


def _table(comparisons: Sequence[Comparison]) -> list[str]:
    cells = [[text(row[0]), *(_unbroken(text(cell)) for cell in row[1:])] for row in rows(comparisons)]
    return list(table(list(map(_unbroken, HEAD)), ([*row[:-1], f"**{row[-1]}**"] for row in cells), right=_RIGHT))


def _unbroken(words: str) -> str:
    """A figure with its unit in one line, however narrow the column is."""
    return words.replace(" ", "\N{NO-BREAK SPACE}")
