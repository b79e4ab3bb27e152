"""How ``mhsa history`` shows what it found: the ratio at each commit, and what changed where."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.git.repository import Commit
from mhsa.bench.history.acknowledged import exceeds
from mhsa.bench.history.steps import Step
from mhsa.bench.measure.measurement import REFUSED, Measurement
from mhsa.bench.report import format as wording
from mhsa.bench.report.sentences import machine_line
from mhsa.reports.line_folding import hanging, show
from mhsa.reports.tables import aligned
from mhsa.reports.text import printable

_FEW = 2  # benchmarks, each of which has a table of its own with everything
_COLUMNS = 6  # of ratios that stand in a line of 100 characters, and leave room for a message
_BAR = 16  # characters
_LONGEST = 160  # characters of a reason
_STYLES = {"wrong": "bold red", "suspect": "bold red", "slower": "bold red", "faster": "green"}
_BYTES = ("more memory", "less memory", "more bytes allocated", "fewer bytes allocated")

Series = Sequence[Measurement | None]


def print_history(
    console: Console,
    commits: Sequence[Commit],
    series: Sequence[tuple[Benchmark, Series]],
    machines: Sequence[dict[str, str | int]],
) -> None:
    """Print the figures, oldest commit first."""
    for machine in machines:
        show(console, hanging("", machine_line(machine), console.width, style="dim"))
    if len(series) <= _FEW:
        for benchmark, figures in series:
            _print(console, f"{benchmark.id}: time / baseline, time, peak memory", _alone(commits, figures, console.width))
        return
    tables: dict[tuple[str, str, str], list[tuple[Benchmark, Series]]] = {}
    for b, figures in series:
        tables.setdefault((b.request.label, b.dtype, b.request.device), []).append((b, figures))
    for names, columns in tables.items():
        for n in range(0, len(columns), _COLUMNS):
            _print(
                console, f"{', '.join(names)}: time / baseline", _together(commits, columns[n : n + _COLUMNS], console.width)
            )


def _print(console: Console, title: str, lines: Sequence[str]) -> None:
    console.print()
    console.print(Text(printable(title), style="bold"), soft_wrap=True)
    for line in lines:
        console.print(Text(f"  {line}".rstrip()), soft_wrap=True)


def _alone(commits: Sequence[Commit], figures: Series, width: int) -> list[str]:
    """Return the lines of one benchmark: hash, ratio with a bar, time, peak memory, message."""
    most = max((m.ratio for m in figures if m is not None and m.ratio), default=1.0)
    rows = []
    for commit, m in zip(commits, figures, strict=True):
        bar = "#" * max(1, round(_BAR * m.ratio / most)) if m is not None and m.ratio else ""
        cells = (wording.shown(m, figure) for figure in (wording.ratio, wording.time, wording.peak))
        ratio, time, peak = cells if m is not None and m.outcome == "measured" else (wording.shown(m, wording.ratio), "", "")
        rows.append((commit.sha[:7], ratio, bar, time, peak))
    return _with_messages(aligned(rows, left=(0, 2)), commits, width)


def _together(commits: Sequence[Commit], columns: Sequence[tuple[Benchmark, Series]], width: int) -> list[str]:
    """Return the lines of several benchmarks: hash, the ratio of each, message; times and peaks of the newest below."""
    heads = [[*b.shape.name.split(), b.passes] for b, _ in columns]
    deep = max(map(len, heads))
    rows = [("", *(([""] * (deep - len(head)) + head)[n] for head in heads)) for n in range(deep)]
    for n, commit in enumerate(commits):
        rows.append((commit.sha[:7], *(wording.shown(figures[n], wording.ratio) for _, figures in columns)))
    newest = [next((m for m in reversed(figures) if m is not None and m.outcome == "measured"), None) for _, figures in columns]
    rows.append(("time", *(wording.shown(m, wording.time) for m in newest)))
    rows.append(("peak", *(wording.shown(m, wording.peak) for m in newest)))
    lines = aligned(rows)
    lines_with_messages = [*lines[:deep], *_with_messages(lines[deep:-2], commits, width), *lines[-2:]]
    lines_with_messages[-2] += "  of the newest"
    return lines_with_messages


def _with_messages(lines: Sequence[str], commits: Sequence[Commit], width: int) -> list[str]:
    room = max(20, width - 4 - max(map(len, lines), default=0))
    return [f"{line}  {_cut(commit.message, room)}" for line, commit in zip(lines, commits, strict=True)]


def print_steps(console: Console, steps: Sequence[Step], most: int) -> None:
    """Print what changed where; ``most`` is how many figures a benchmark has at most."""
    console.print()
    for step in steps:
        style = "yellow" if step.accepted else _STYLES.get(step.words, "yellow")
        show(console, hanging("  ", sentence(step), console.width, style=style))
        if step.accepted is not None:
            show(console, hanging("    ", acceptance_of(step), console.width))
            if not exceeds(step):
                continue
        if step.words in ("slower", "faster") and step.last is not None:
            sure = f"to be sure: mhsa compare {step.last.sha[:7]} {step.commit.sha[:7]}"
            console.print(Text(f"    {sure}", style="dim"), soft_wrap=True)
    if not steps and most > 1:
        console.print(
            Text("  no steps: the ratio is level, and what is counted does not change", style="green"), soft_wrap=True
        )


def sentence(step: Step) -> str:
    """Return a step in words."""
    place = f"at {step.commit.sha[:7]} '{step.commit.message}'"
    if step.words in REFUSED:
        return printable(f"{step.words}: {step.benchmark} {place}: {_cut(' '.join(step.reason.split()), _LONGEST)}")
    if step.between:
        place += f" or up to {step.between} {'commit' if step.between == 1 else 'commits'} before it, which have no figure"
    return printable(f"{step.words}: {step.benchmark} from {level(step, step.before)} to {level(step, step.after)} {place}")


def acceptance_of(step: Step) -> str:
    """Return why a step is accepted, since when, and how much of it; empty where it is not."""
    if step.accepted is None:
        return ""
    figures = step.accepted.of(step.benchmark)
    words = f"accepted, {', '.join(filter(None, (str(figures), step.accepted.date)))}: {step.accepted.reason}"
    return printable(f"{words}; the step is larger than that" if exceeds(step) else words)


def unmeasured(benchmark: str, commits: Sequence[Commit], figures: Series) -> list[str]:
    """Return, once for each reason, at which commits a benchmark could not be measured."""
    reasons: dict[str, list[Commit]] = {}
    for commit, m in zip(commits, figures, strict=True):
        if m is not None and m.outcome == "n/a":
            reasons.setdefault(" ".join(m.reason.split()), []).append(commit)
    return [
        printable(f"n/a: {benchmark} at {', '.join(c.sha[:7] for c in some[:3])}")
        + (f" and {len(some) - 3} more" if len(some) > 3 else "")
        + printable(f": {_cut(reason, _LONGEST)}")
        for reason, some in reasons.items()
    ]


def level(step: Step, value: float | None) -> str:
    """Return what a step leads from or to, with its unit."""
    if value is None:
        return wording.NOTHING
    if step.words in ("slower", "faster"):
        return f"{value:.2f}x"
    return wording.size(int(value)) if step.words in _BYTES else f"{value:.0f}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
