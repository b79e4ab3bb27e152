"""How ``mhsa compare`` shows what it found: in a terminal, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from mhsa.bench import wording
from mhsa.bench.sentences import machine_line
from mhsa.bench.table import aligned
from mhsa.gate.comparison import Comparison, overall

STYLES = {
    "wrong": "bold red", "slower": "bold red", "costs more": "bold red", "n/a": "bold magenta", "cannot tell": "yellow",
    "not slower": "green",
}  # fmt: skip
_HEAD = ("benchmark", "base", "head", "head / base", "interval", "verdict")


def rows(comparisons: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """Return the cells of the table, without its head."""
    found: list[tuple[str, ...]] = []
    for c in comparisons:
        base, head = map(wording.seconds, c.seconds) if any(c.seconds) else ("", "")
        if c.decision is None:
            found.append((c.benchmark, base, head, "same code" if c.outcome == "same" else "", "", c.verdict))
            continue
        d = c.decision
        found.append((c.benchmark, base, head, f"{d.ratio:.3f}x", f"{d.low:.3f} to {d.high:.3f}", c.verdict))
    return found


def print_comparison(
    console: Console, comparisons: Sequence[Comparison], machine: Mapping[str, str | int], notes: Sequence[str]
) -> None:
    """Print the table, what there is to say about its rows, and the verdict."""
    if machine:
        console.print(Text(machine_line(machine), style="dim"), soft_wrap=True)
    lines = aligned([_HEAD, *rows(comparisons)])
    console.print(Text(f"  {lines[0]}", style="bold"), soft_wrap=True)
    for line, c in zip(lines[1:], comparisons, strict=True):
        console.print(Text(f"  {line}", style=STYLES[c.verdict]), soft_wrap=True)
    for line in said(comparisons):
        console.print(Text(f"  {line}"), soft_wrap=True)
    for note in notes:
        console.print(Text(f"  {note}", style="yellow"), soft_wrap=True)
    console.print(Text(f"  {sentence(comparisons)}", style=STYLES[overall(comparisons)]), soft_wrap=True)


def said(comparisons: Sequence[Comparison]) -> list[str]:
    """Return what there is to say of rows, once each, and of which."""
    rows: dict[str, list[str]] = {}
    for c in comparisons:
        if c.words and c.outcome != "same":  # which its row says
            rows.setdefault(c.words, []).append(c.benchmark)
    return [f"{names[0] if len(names) == 1 else f'{len(names)} benchmarks'}: {words}" for words, names in rows.items()]


def sentence(comparisons: Sequence[Comparison]) -> str:
    """Return the verdict in words, with how many benchmarks have it."""
    verdict = overall(comparisons)
    having = sum(c.verdict == verdict for c in comparisons)
    return f"{verdict}: {having} of {len(comparisons)} benchmarks"


def markdown(
    comparisons: Sequence[Comparison], machine: Mapping[str, str | int], base: str, head: str, notes: Sequence[str]
) -> str:
    """Return it for a pull request."""
    lines = [f"**{sentence(comparisons)}**, {head} beside {base}", "", f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows(comparisons)]
    lines += ["", *(f"- {line}" for line in (*said(comparisons), *notes))]
    return "\n".join([*lines, "", f"{machine_line(machine)}", ""])
