"""What ``mhsa verify`` shows: progress while it runs, a table per subject, and each failure in words."""

from __future__ import annotations

import shlex
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from mhsa.catalogue import Property
from mhsa.results import PropertyResult, SubjectResult
from mhsa.runner import Event, Options

_STYLES = {
    "pass": "green",
    "fail": "bold red",
    "error": "bold magenta",
    "expected-failure": "yellow",
    "not-applicable": "dim",
}
_VERDICTS = {"holds": "bold green", "violated": "bold red", "unjudged": "bold magenta"}


_PARAMETERS = [f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias")]
_MOST = 9  # numbers of a parameter that are worth a line; the JSON has more


class Progress:
    """One live line on a terminal, nothing elsewhere; the tables come when a subject is finished."""

    def __init__(self, console: Console, options: Options, total: int) -> None:
        self.options = options
        self.total = total * len(options.subjects)
        self.done = 0
        self.failed = 0
        self.started = time.monotonic()
        self.spinner = Spinner("dots", text="")
        self.live = Live(self.spinner, console=console, transient=True, refresh_per_second=8)
        self.enabled = console.is_terminal

    def __enter__(self) -> Progress:
        """Begin to draw."""
        if self.enabled:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the line."""
        if self.enabled:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if event.result is not None:
            self.done += 1
            self.failed += event.result.outcome == "fail"
        now = "loading torch and the subjects" if event.kind == "loading" else ""
        if event.subject:
            now = f"{self.options.subjects[event.subject - 1]}  {event.id}"
        failures = f", {self.failed} failed" if self.failed else ""
        elapsed = time.monotonic() - self.started
        self.spinner.update(text=Text(f"{self.done} of {self.total} properties{failures}  {elapsed:.0f} s  {now}"))


def print_header(console: Console, environment: dict[str, Any]) -> None:
    """Print the line that says under which conditions every verdict was reached."""
    words = "  ".join(f"{name} {value}" for name, value in environment.items())
    console.print(Text(words, style="dim"), soft_wrap=True)


def print_subject(console: Console, result: SubjectResult, options: Options, known: dict[str, Property]) -> None:
    """Print everything about one subject."""
    console.print()
    console.print(Text(result.subject, style="bold"), soft_wrap=True)
    for topic, words in result.notes:
        console.print(Text(f"  {topic:<11} {words}", style="dim"), soft_wrap=True)
    if result.properties:
        _print_table(console, result)
    failures = [found for found in result.properties if found.outcome == "fail"]
    for found in failures:  # the numbers of the first are enough to look at; the JSON has them all
        _print_failure(console, found, result.subject, options, known.get(found.id), numbers=found is failures[0])
    console.print(_verdict(result), soft_wrap=True)


def _print_table(console: Console, result: SubjectResult) -> None:
    width = max(len(p.id) for p in result.properties)
    head = f"  {'property':<{width}}  {'outcome':<16}  {'cases':>5}  {'error/bound':>11}  {'seconds':>7}"
    console.print(Text(head, style="dim"), soft_wrap=True)
    for p in result.properties:
        shown = p.worst_error_over_bound is not None and (p.outcome != "fail" or p.worst_error_over_bound > 1)
        worst = f"{p.worst_error_over_bound:.2g}" if shown else "-"
        line = Text(f"  {p.id:<{width}}  ")
        line.append(f"{p.outcome:<16}", style=_STYLES[p.outcome])
        line.append(f"  {p.cases or '-':>5}  {worst:>11}  {p.seconds:>7.2f}")
        if p.outcome in ("not-applicable", "expected-failure", "error"):
            line.append(f"  {p.reason}", style="dim")
        console.print(line, soft_wrap=True)


def _print_failure(
    console: Console, found: PropertyResult, subject: str, options: Options, known: Property | None, *, numbers: bool
) -> None:
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
    rows.append(("reproduce", reproduce(subject, found.id, options)))
    console.print()
    console.print(Text(f"  FAILED {found.id}", style="bold red"), soft_wrap=True)
    width = max(len(name) for name, _ in rows)
    for name, words in rows:
        line = Text(f"    {name:<{width}}  ", style="dim")
        line.append(words, style="default" if name != "reproduce" else "cyan")
        console.print(line, soft_wrap=True)


def _size(nested: Any) -> int:
    return sum(_size(x) for x in nested) if isinstance(nested, list) else 1


def _numbers(nested: Any) -> str:
    """Nested lists of numbers, six digits each."""
    if isinstance(nested, list):
        return f"[{', '.join(_numbers(x) for x in nested)}]"
    return f"{nested:.6g}" if isinstance(nested, float) else str(nested)


def reproduce(subject: str, identity: str, options: Options) -> str:
    """Return the command that runs just this property on the same cases."""
    words = ["mhsa", "verify", subject, "-k", identity, "--seed", str(options.seed)]
    if options.profile != "quick":
        words += ["--profile", options.profile]
    for dtype in options.dtypes:
        words += ["--dtype", dtype]
    if options.device != "cpu":
        words += ["--device", options.device]
    return shlex.join(words)


def _verdict(result: SubjectResult) -> Text:
    line = Text("  ").append(result.verdict, style=_VERDICTS[result.verdict])
    if result.verdict == "unjudged":
        return line.append(f": {result.why}")
    failed, judged = result.count("fail"), result.count("pass", "fail", "expected-failure")
    cases = sum(p.cases for p in result.properties)
    seconds = sum(p.seconds for p in result.properties)
    words = f"{failed} of {judged} properties fail" if failed else f"{judged} properties on {cases} cases"
    more = [f"{n} {outcome}" for outcome in ("expected-failure", "not-applicable", "error") if (n := result.count(outcome))]
    return line.append(f": {words}{' (' + ', '.join(more) + ')' if more else ''}, {seconds:.1f} s")
