"""What ``mhsa verify`` shows of a subject: how it was understood, the first failure in full, the others, the verdict."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mhsa.records.catalogue import Property
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.diagnosis import Diagnosis
from mhsa.records.document.subject import Coverage
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.reports.diagnosis import diagnosis_lines
from mhsa.reports.failure import failure_lines
from mhsa.reports.failure_groups import Raised, first_and_others, grouped, observation
from mhsa.reports.line_folding import fold, hanging, labelled, short, show
from mhsa.reports.phrases import all_figures, not_judged
from mhsa.reports.tables import VERDICTS, property_table
from mhsa.reports.text import printable

_SCREEN = 60  # lines of a terminal that a red run fits into, header included
_OTHERS = (5, 15)  # failures that are named after the first: at least, where the rest is long, and at most
_FIRST = ("declared", "call", "parameters", "mask")  # topics of how a subject was understood; the others share a row
_WARNINGS = 5  # of one subject that are worth a line each
_ALWAYS = ("mhsa", "torch", "dtypes", "profile", "seed")  # in the header; the rest is in the JSON, and shown with -v


def print_header(console: Console, environment: dict[str, Any], *, verbose: bool = False) -> None:
    """Print the line that says under which conditions every verdict was reached."""
    names = [name for name in environment if verbose or name in _ALWAYS or (name == "device" and environment[name] != "cpu")]
    words = "  ".join(f"{name} {environment[name]}" for name in names)
    lines = hanging("", words, console.width, style="dim")
    if "cuda" in environment["device"] and "float16" not in environment["dtypes"]:  # the end of bfloat16, too
        note = "kernels that take half formats only are not judged in these dtypes: add --dtype bfloat16"
        lines += hanging("", note, console.width)
    show(console, lines)


def print_subject(
    console: Console,
    result: SubjectResult,
    request: Request,
    known: dict[str, Property],
    diagnosis: Diagnosis | None = None,
    *,
    verbose: bool = False,
    alone: bool = True,
) -> None:
    """Print one subject: what is needed to act, or with ``verbose`` everything; ``alone``: no other subject is shown."""
    width = console.width
    tail = [] if diagnosis is None else diagnosis_lines(diagnosis, width, verbose=verbose)
    tail += [*coverage_lines(result, width), *_warning_lines(result, width, verbose=verbose), *verdict_lines(result, width)]
    head = note_lines(result, width, verbose=verbose, last=2 if len(tail) == 1 else 1)
    head += under_lines(result, width)
    failures = [p for p in result.properties if p.outcome == "fail"]
    if verbose:
        shown = property_table(result.properties, width) if result.properties else []
        for n, failure in enumerate(first_and_others(failures)):  # the numbers of the first only; the JSON has all
            shown += failure_lines(failure, request, known.get(failure.id), width, numbers=n == 0)
    else:
        shown = _failures(result, request, known, width, used=len(head) + len(tail) + 1, alone=alone)
    show(console, [*head, *shown, *tail])


def _failures(
    result: SubjectResult, request: Request, known: Mapping[str, Property], width: int, *, used: int, alone: bool
) -> list[Text]:
    """The first failure in full, every other in one line, and what could not be judged."""
    errors = [p for p in result.properties if p.outcome == "error"]
    groups = grouped([p for p in result.properties if p.outcome == "fail"], request.dtypes or DEFAULT_DTYPES)
    if not groups:
        return []
    first, *others = groups
    failure = first.members[0] if isinstance(first, Raised) else first
    often = str(first) if isinstance(first, Raised) else ""
    lines = failure_lines(failure, request, known.get(failure.id), width, numbers=not often, often=often, most=3)
    if len(lines) > _SCREEN // 2:  # numbers that fill the screen are for -v
        lines = failure_lines(failure, request, known.get(failure.id), width, numbers=False, often=often, most=3)
    least, most = _OTHERS
    rest = [*others, *errors]
    height = sum(max(1, -(-cell_len(line.plain) // width)) for line in lines)  # the terminal wraps commands
    room = max(least, min(most, _SCREEN - used - height - 3)) if alone else least
    return [*lines, *_other_lines(rest, width, room)]


def _other_lines(others: Sequence[PropertyResult | Raised], width: int, most: int) -> list[Text]:
    if not others:
        return []
    shown = others if len(others) <= most + 1 else others[:most]  # a line that says "1 more" could as well name it
    singles = [each.id for each in shown if isinstance(each, PropertyResult)]
    column = max(map(len, singles), default=0)
    column = min(column, width // 2 - 4)  # of what was observed as much is shown
    lines = [Text(), Text("  ALSO FAILED; mhsa properties NAME says what a property means", style="bold red")]
    for each in shown:
        if isinstance(each, Raised):
            lines += hanging("    ", f"{each}; {each.members[0].id} {observation(each.members[0])}", width, most=3)
            continue
        words = not_judged([each.reason]) if each.outcome == "error" else observation(each)
        name = f"    {each.id:<{column}}  "
        line = Text(short(f"{name.rstrip()}", width)) if width - len(name) < 8 else Text(name)
        lines.append(line.append(short(words, width - len(name)), style="dim") if width - len(name) >= 8 else line)
    left = sum(len(each.members) if isinstance(each, Raised) else 1 for each in others[len(shown) :])
    lines += [Text(f"    and {left} more: -v lists them")] if left else []
    return lines


def note_lines(result: SubjectResult, width: int, *, verbose: bool, last: int = 1) -> list[Text]:
    """Return the subject's name and how it was understood: in a few lines, ``last`` of them for the last, or in full."""
    title = hanging("", result.label, width, style="bold")
    if result.subject != result.label:
        on_one_line = len(title) == 1 and cell_len(result.label) + 2 + cell_len(result.subject) <= width
        title = [title[0].append(f"  {printable(result.subject)}", style="dim")] if on_one_line else title
        title += [] if on_one_line else hanging("  ", result.subject, width, style="dim")
    if verbose:
        return [Text(), *title, *labelled(result.notes, width, indent=2, style="dim")]
    rows = _few(result.notes)
    broad = max((len(topic) for topic, _ in rows), default=0)
    lines = [Text(), *title]
    for n, (topic, words) in enumerate(rows, 1):
        lines += hanging(f"  {topic:<{broad}}  ", words, width, style="dim", most=last if n == len(rows) else 1)
    return lines


def _few(notes: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the rows that are shown of a reading: the first topics, and one row for all others."""
    known = dict(notes)
    if "mask" in known and "empty rows" in known:  # which are about masks
        known["mask"] += f"; {known.pop('empty rows')}"
    rows = [(topic, known.pop(topic)) for topic in _FIRST if topic in known]
    if len(known) == 1:
        return [*rows, *known.items()]
    return [*rows, ("also", "; ".join(f"{topic} {words}" for topic, words in known.items()))] if known else rows


def coverage_lines(result: SubjectResult, width: int) -> list[Text]:
    """Return which lines of the subject no property executed: of these the verdict says nothing."""
    coverage = Coverage.of(result.coverage)
    if coverage is None:
        return []
    share = f"{coverage.executed} of {coverage.statements} statements"
    lines = hanging("  coverage    ", f"{share} of {coverage.file} were run", width, style="dim")
    for number in coverage.missing:
        lines += hanging(f"    never run  {number:>5}  ", coverage.lines.get(number, ""), width, style="yellow")
    return lines


def _warning_lines(result: SubjectResult, width: int, *, verbose: bool) -> list[Text]:
    shown = result.warnings if verbose or len(result.warnings) <= _WARNINGS + 1 else result.warnings[:_WARNINGS]
    lines = [line for warning in shown for line in hanging("  warning: ", warning, width, style="yellow")]
    left = len(result.warnings) - len(shown)
    return [*lines, Text(f"  and {left} more warnings: -v lists them", style="yellow")] if left else lines


def under_lines(result: SubjectResult, width: int) -> list[Text]:
    """Return the title of failures under the declaration that a question suggests."""
    if not result.count("fail") or not result.then:
        return []
    return [Text(), *hanging("  ", f"QUESTION, see below; {result.then}", width, style="bold yellow")]


def question_lines(result: SubjectResult, width: int, ways: int = 3) -> list[Text]:
    """Return what then holds, and what a question says to declare: in so many ways, each ready to be pasted."""
    if not result.declare:
        return []
    lines = hanging("    then  ", result.then, width) if result.then else []
    command = shlex.join(["mhsa", "verify", result.label])
    places = [("If that is meant, declare it in pyproject.toml:", result.declare["pyproject.toml"]),
            ("or in the class:", result.declare["class"]),
            ("or for one run:", f"{command} {result.declare['option']}")]  # fmt: skip
    for words, code in places[:ways]:  # code begins at the left, so that it can be pasted as it is
        lines += [Text(), *hanging("    ", words, width), Text()]
        lines += [Text(printable(line), style="cyan") for line in code.splitlines()]
    return lines


def verdict_lines(result: SubjectResult, width: int) -> list[Text]:
    """Return the verdict with its figures."""
    # What stands below an empty line is code to be copied, which begins at the left.
    words, empty, code = f"{result.verdict}{_figures(result)}".partition("\n\n")
    lines = []
    for n, line in enumerate(fold(words, width - (4 if len(words) > width - 2 else 2))):
        if n == 0:
            verdict = Text("  ").append(result.verdict, style=VERDICTS[result.verdict])
            lines.append(verdict.append(line.removeprefix(result.verdict)))
        else:
            lines.append(Text(line if line.startswith(" ") else f"    {line}"))
    lines += [Text(printable(line)) for line in ["", *code.splitlines()] if empty]
    return [*lines, *question_lines(result, width)]


def _figures(result: SubjectResult) -> str:
    if result.verdict in ("unjudged", "question"):
        return f": {result.why}"
    left = f"; {not_judged(result.not_judged)}" if result.not_judged else ""
    return f"{left}: {all_figures(result.properties)}, {result.seconds:.1f} s"
