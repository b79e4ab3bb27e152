"""What ``mhsa verify`` shows: progress while it runs, a table per subject, and each failure in words."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from mhsa.catalogue import Property
from mhsa.causes import Diagnosis
from mhsa.explanation import print_diagnosis
from mhsa.request import Request
from mhsa.results import PropertyResult, SubjectResult
from mhsa.wording import BESIDE, figures

_STYLES = {
    "pass": "green",
    "fail": "bold red",
    "error": "bold magenta",
    "expected-failure": "yellow",
    "unexpected-pass": "yellow",
    "not-applicable": "dim",
}
_VERDICTS = {"holds": "bold green", "violated": "bold red", "question": "bold yellow", "unjudged": "bold magenta"}


_PARAMETERS = [f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias")]
_MOST = 9  # numbers of a parameter that are worth a line; the JSON has more


def print_header(console: Console, environment: dict[str, Any]) -> None:
    """Print the line that says under which conditions every verdict was reached."""
    words = "  ".join(f"{name} {value}" for name, value in environment.items())
    console.print(Text(words, style="dim"), soft_wrap=True)
    if "cuda" in environment["device"] and "float16" not in environment["dtypes"]:  # the end of bfloat16, too
        said = "kernels that take half formats only are not judged in these dtypes: add --dtype bfloat16"
        console.print(said, soft_wrap=True)


def print_subject(
    console: Console, result: SubjectResult, request: Request, known: dict[str, Property], diagnosis: Diagnosis | None = None
) -> None:
    """Print everything about one subject."""
    print_notes(console, result)
    if result.properties:
        print_table(console, result.properties)
    failures = [found for found in result.properties if found.outcome == "fail"]
    for found in failures:  # the numbers of the first are enough to look at; the JSON has them all
        print_failure(console, found, request, known.get(found.id), numbers=found is failures[0])
    if diagnosis is not None:
        print_diagnosis(console, diagnosis)
    print_coverage(console, result)
    for warning in result.warnings:
        console.print(Text(f"  warning: {warning}", style="yellow"), soft_wrap=True)
    console.print(verdict_line(result), soft_wrap=True)


def print_notes(console: Console, result: SubjectResult) -> None:
    """Print the subject's name and how it was understood."""
    console.print()
    title = Text(result.label, style="bold")
    if result.subject != result.label:
        title.append(f"  {result.subject}", style="dim")
    console.print(title, soft_wrap=True)
    for topic, words in result.notes:
        console.print(Text(f"  {topic:<11} {words}", style="dim"), soft_wrap=True)


def print_table(console: Console, properties: Sequence[PropertyResult]) -> None:
    """Print one line per property."""
    width = max(len(p.id) for p in properties)
    head = f"  {'property':<{width}}  {'outcome':<16}  {'cases':>5}  {'error/bound':>11}  {'seconds':>7}"
    console.print(Text(head, style="dim"), soft_wrap=True)
    for p in properties:
        shown = p.worst_error_over_bound is not None and (p.outcome != "fail" or p.worst_error_over_bound > 1)
        worst = f"{p.worst_error_over_bound:.2g}" if shown else "-"
        line = Text(f"  {p.id:<{width}}  ")
        line.append(f"{p.outcome:<16}", style=_STYLES[p.outcome])
        line.append(f"  {p.cases or '-':>5}  {worst:>11}  {p.seconds:>7.2f}")
        if p.outcome in ("not-applicable", "expected-failure", "unexpected-pass", "error"):
            line.append(f"  {p.reason}", style="dim")
        console.print(line, soft_wrap=True)


def print_failure(console: Console, found: PropertyResult, request: Request, known: Property | None, *, numbers: bool) -> None:
    """Print what one property met: the law, what was observed, the smallest case and how to run it again."""
    facts = found.counterexample or {}
    case = facts.get("case") or {}
    rows = [("observed", found.reason)]
    if known is not None:
        rows.insert(0, ("must hold", known.summary))
    if case:
        rows.append(("smallest", case["words"]))
    small = [name for name in _PARAMETERS if _size(facts.get(name)) <= _MOST]
    for name in ("query", "key", "value", "mask", *small, "observed_all", "required_all"):
        if numbers and facts.get(name) is not None:
            label = {"observed_all": "is", "required_all": "must be"}.get(name, name)
            rows.append((label, _numbers(facts[name])))
    rows.append(("reproduce", reproduce(request, found.id)))
    if facts.get("file"):
        rows.append(("replay", shlex.join(["mhsa", "replay", facts["file"]])))
    console.print()
    console.print(Text(f"  FAILED {found.id}", style="bold red"), soft_wrap=True)
    width = max(len(name) for name, _ in rows)
    for name, words in rows:
        line = Text(f"    {name:<{width}}  ", style="dim")
        line.append(words, style="default" if name not in ("reproduce", "replay") else "cyan")
        console.print(line, soft_wrap=True)


def _size(nested: Any) -> int:
    return sum(_size(x) for x in nested) if isinstance(nested, list) else 1


def _numbers(nested: Any) -> str:
    """Nested lists of numbers, six digits each."""
    if isinstance(nested, list):
        return f"[{', '.join(_numbers(x) for x in nested)}]"
    return f"{nested:.6g}" if isinstance(nested, float) else str(nested)


def reproduce(request: Request, identity: str) -> str:
    """Return the command that runs just this property on the same cases."""
    words = ["mhsa", "verify", request.label, "-k", identity, "--seed", str(request.seed)]
    if request.profile != "quick":
        words += ["--profile", request.profile]
    for dtype in request.dtypes:
        words += ["--dtype", dtype]
    if request.device != "cpu":
        words += ["--device", request.device]
    return shlex.join(words)


def print_coverage(console: Console, result: SubjectResult) -> None:
    """Print which lines of the subject no property has run: of these the verdict says nothing."""
    if result.coverage is None:
        return
    covered = result.coverage
    share = f"{covered['executed']} of {covered['statements']} statements"
    title = Text(f"  coverage    {share} of {covered['file']} were run", style="dim")
    console.print(title, soft_wrap=True)
    for number in covered["missing"]:
        line = Text(f"    never run  {number:>5}  ", style="dim")
        console.print(line.append(covered["lines"].get(str(number), ""), style="yellow"), soft_wrap=True)


def verdict_line(result: SubjectResult) -> Text:
    """Return the verdict with its figures."""
    line = Text("  ").append(result.verdict, style=_VERDICTS[result.verdict])
    if result.verdict in ("unjudged", "question"):
        return line.append(f": {result.why}")
    words = figures([(p.outcome, p.cases) for p in result.properties])
    seconds = sum(p.seconds for p in result.properties)
    more = [f"{n} {outcome}" for outcome in BESIDE if (n := result.count(outcome))]
    left = f"; not judged: {', '.join(result.not_judged)}" if result.not_judged else ""
    return line.append(f"{left}: {words}{' (' + ', '.join(more) + ')' if more else ''}, {seconds:.1f} s")
