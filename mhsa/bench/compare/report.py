"""How ``mhsa compare`` shows what it found in a terminal, and the sentences that its other reports share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mhsa.bench.compare.accepted.figures import Figures
from mhsa.bench.compare.attribution.words import TITLE, entries
from mhsa.bench.compare.comparison import ORDER, Comparison, overall
from mhsa.bench.report import format as wording
from mhsa.bench.report.sentences import machine_line
from mhsa.reports.line_folding import fold, hanging, show
from mhsa.reports.tables import aligned

STYLES = {
    "wrong": "bold red", "suspect": "bold red", "slower": "bold red", "costs more": "bold red",
    "n/a": "bold magenta", "cannot tell": "yellow", "accepted": "yellow", "not slower": "green",
}  # fmt: skip
_SCREEN = 60  # lines of a terminal that a comparison fits into
_LONGEST = 3  # lines of what there is to say of one kind of row
_DETAIL = 2  # lines of each sentence about what makes the difference
HEAD = ("benchmark", "base", "head", "head / base", "interval", "verdict")


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
    width = console.width
    lines = hanging("", machine_line(machine), width, style="dim") if machine else []
    end = [line for words in remarks(comparisons) for line in hanging("  ", words, width, most=_LONGEST)]
    end += [line for words in acceptances(comparisons) for line in hanging("  ", words, width, most=_LONGEST, style="yellow")]
    end += _attribution(comparisons, width)
    end += [line for note in notes for line in hanging("  ", note, width, style="yellow")]
    end += hanging("  ", sentence(comparisons), width, style=STYLES[overall(comparisons)])
    show(console, [*lines, *table_lines(comparisons, width, _SCREEN - len(lines) - len(end)), *end])


def _attribution(comparisons: Sequence[Comparison], width: int) -> list[Text]:
    """Return which lines make head slower or cost more."""
    lines: list[Text] = []
    for title, details in entries([(c.benchmark, c.attribution) for c in comparisons if c.attribution]):
        lines += hanging("    ", title, width, most=_DETAIL, style="bold")
        lines += [line for words in details[:_LONGEST] for line in hanging("      ", words, width, most=_DETAIL)]
    return [*hanging("  ", TITLE, width), *lines] if lines else []


def table_lines(comparisons: Sequence[Comparison], width: int, most: int) -> list[Text]:
    """Return the table; where more than ``most`` lines are needed, the best are left out, and it says how many.

    A benchmark for whose name there is no room has it folded; its figures stand in the first line.
    """
    chosen = list(comparisons)
    lines = _table(chosen, width)
    while len(lines) > most and len(chosen) > 1:
        chosen.remove(max(reversed(chosen), key=lambda c: ORDER.index(c.verdict)))
        lines = _table(chosen, width)
        left = len(comparisons) - len(chosen)
        lines.append(Text(f"  and {left} more, none of them worse: --json or --markdown has them", style="dim"))
    return lines


def _table(comparisons: Sequence[Comparison], width: int) -> list[Text]:
    every = [HEAD, *rows(comparisons)]
    figures = aligned([row[1:] for row in every], left=())
    room = width - 2 - max(map(cell_len, figures)) - 2
    names = [fold(row[0], room) for row in every]
    broad = max(cell_len(line) for name in names for line in name)
    styles = ["bold", *(STYLES[c.verdict] for c in comparisons)]
    lines = []
    for name, figure, style in zip(names, figures, styles, strict=True):
        first, *others = name
        lines.append(Text(f"  {first}{' ' * (broad - cell_len(first))}  {figure}", style=style))
        lines += [Text(f"    {other}", style=style) for other in others]
    return lines


def remarks(comparisons: Sequence[Comparison]) -> list[str]:
    """Return what there is to say of rows, once each, and of which."""
    rows: dict[str, list[str]] = {}
    for c in comparisons:
        if c.words and c.outcome != "same":  # which its row says
            rows.setdefault(c.words, []).append(c.benchmark)
    return [f"{names[0] if len(names) == 1 else f'{len(names)} benchmarks'}: {words}" for words, names in rows.items()]


def acceptances(comparisons: Sequence[Comparison]) -> list[str]:
    """Return what is accepted, of which benchmarks and why; and where that does not fit what was measured."""
    found: dict[tuple[str, str], list[tuple[str, Figures]]] = {}
    for c in comparisons:
        for acceptance in c.allowance.by if c.allowance else ():
            why = f"{acceptance.reason} ({', '.join(filter(None, (acceptance.where, acceptance.date)))})"
            figures = acceptance.of(c.benchmark)
            if figures is not None:
                found.setdefault((why, _misfit(c)), []).append((c.benchmark, figures))
    lines = []
    for (why, misfit), rows in found.items():
        names = rows[0][0] if len(rows) == 1 else f"{len(rows)} benchmarks"
        most = max((figures for _, figures in rows), key=lambda figures: figures.ratio)
        same = all(figures == most for _, figures in rows)
        lines.append(f"accepted{misfit and ', but '}{misfit}: {names}, {'' if same else 'at most '}{most}: {why}")
    return lines


def _misfit(c: Comparison) -> str:
    """Return in what an acceptance no longer fits, if that is known."""
    if c.verdict == "not slower":
        return "no longer needed, as head is not slower than base; it can be removed"
    return (
        "head is faster than that by as much as matters, so less can be accepted" if c.verdict == "accepted" and c.slack else ""
    )


def sentence(comparisons: Sequence[Comparison]) -> str:
    """Return the verdict in words, with how many benchmarks have it, and how many each of the others."""
    verdict = overall(comparisons)
    having = Counter(c.verdict for c in comparisons)
    others = "".join(f"; {other}: {having[other]}" for other in ORDER if other != verdict and having[other])
    return f"{verdict}: {having[verdict]} of {len(comparisons)} benchmarks{others}"
