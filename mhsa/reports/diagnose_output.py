"""What ``mhsa diagnose`` shows: one subject, what fails, why, and where to look."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from mhsa.records.catalogue import Property
from mhsa.records.diagnosis import Diagnosis
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.reports.diagnosis import diagnosis_lines, print_picture
from mhsa.reports.failure import failure_lines
from mhsa.reports.failure_groups import first_and_others
from mhsa.reports.line_folding import hanging, show
from mhsa.reports.tables import property_table
from mhsa.reports.terminal import note_lines, verdict_lines


def print_story(
    console: Console, result: SubjectResult, diagnosis: Diagnosis | None, request: Request, known: dict[str, Property]
) -> None:
    """Print the failed properties, the smallest case of the first, the cause, and the weights where they differ."""
    width = console.width
    lines = note_lines(result, width, verbose=True)
    failures = first_and_others([found for found in result.properties if found.outcome == "fail"])
    if failures:
        lines += property_table(failures, width)
        lines += failure_lines(failures[0], request, known.get(failures[0].id), width, numbers=True)
    if diagnosis is not None:
        lines += diagnosis_lines(diagnosis, width)
        if not diagnosis.causes and failures[0].id in known:
            lines += hanging("    look at  ", known[failures[0].id].statement, width)
    show(console, lines)
    if diagnosis is not None:
        if diagnosis.picture is not None:
            print_picture(console, diagnosis.picture)
        else:
            console.print(Text("    The weights are right in each of the small calls that were drawn.", style="dim"))
    console.print()
    if not failures and result.verdict == "holds":
        console.print(Text("  Nothing fails, so there is nothing to diagnose."))
    show(console, verdict_lines(result, width))
