"""What ``mhsa diagnose`` shows: one subject, what fails, why, and where to look."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from mhsa.catalogue import Property
from mhsa.causes import Diagnosis
from mhsa.explanation import print_diagnosis, print_picture
from mhsa.request import Request
from mhsa.results import SubjectResult
from mhsa.terminal import print_failure, print_notes, print_table, verdict_line


def print_story(
    console: Console, result: SubjectResult, diagnosis: Diagnosis | None, request: Request, known: dict[str, Property]
) -> None:
    """Print the failed properties, the smallest case of the first, the cause, and the weights where they differ."""
    print_notes(console, result)
    failures = [found for found in result.properties if found.outcome == "fail"]
    if failures:
        print_table(console, failures)
        print_failure(console, failures[0], request, known.get(failures[0].id), numbers=True)
    if diagnosis is not None:
        print_diagnosis(console, diagnosis)
        if not diagnosis.causes and failures[0].id in known:
            line = Text("    look at  ", style="dim").append(known[failures[0].id].statement, style="default")
            console.print(line, soft_wrap=True)
        if diagnosis.picture is not None:
            print_picture(console, diagnosis.picture)
        else:
            console.print(Text("    The weights are right in each of the small calls that were drawn.", style="dim"))
    console.print()
    if not failures and result.verdict == "holds":
        console.print(Text("  Nothing fails, so there is nothing to diagnose."))
    console.print(verdict_line(result), soft_wrap=True)
