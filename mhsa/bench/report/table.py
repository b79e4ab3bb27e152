"""What ``mhsa bench`` prints: a table per pass, dtype and device, the reasons of missing figures, and growth in words.

If the terminal has room, a row is a shape and a column an implementation. Otherwise a shape is a heading and its rows are the
implementations; of many shapes the ratios are shown alone, by shape. Sentences are folded at spaces; the lines of a table are
printed whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mhsa.bench.measure.measurement import BASELINE, Measurement
from mhsa.bench.report import format as wording
from mhsa.bench.report import sentences
from mhsa.bench.report.format import Group, shown
from mhsa.reports.line_folding import fold
from mhsa.reports.tables import aligned
from mhsa.reports.text import printable

_GAP = "  "
_FEW = 10  # lines of growth that are all printed: two for each of five implementations
_LONG = 20  # lines of a group in which rows are implementations: two groups of more are more than a screen
_NARROWEST = 10  # columns of a name that is folded: pieces of fewer letters are no name any more
_REPORTED = {"time": wording.time, "ratio": wording.ratio, "95 %": wording.interval, "peak memory": wording.peak}


def print_report(
    console: Console, measurements: Sequence[Measurement], machine: Mapping[str, str | int], *, counters: bool = False
) -> None:
    """Print everything about a run.

    Args:
        console: its width decides how the tables are laid out.
        measurements: in the order in which they are to stand.
        machine: the conditions, a name and a value each.
        counters: print what was counted, too: operators, FLOPs, allocated bytes, and what else is known.
    """
    _say(console, "", sentences.machine_line(machine), "dim")
    for group in wording.grouped(measurements):
        print_group(console, group, counters=counters)
    reasons = sentences.reasons(measurements)
    if reasons:
        _title(console, "without figures")
    for reason in reasons:
        _say(console, _GAP, reason, "yellow")
    growth = sentences.growth_lines(measurements)
    if growth:
        _title(console, "growth with the sequence length T")
    for words, left in _noteworthy(growth):
        _say(console, _GAP, words, "bold yellow" if left else "default")


def _noteworthy(growth: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """The lines of growth that fit on a screen: of many only those that show too much, and how many others there are."""
    if len(growth) <= _FEW:
        return [*growth]
    telling = [(words, left) for words, left in growth if left or "not fitted" in words]
    rest = len(growth) - len(telling)
    return (
        [*telling, (f"{rest} more, none of which shows too much: --html and --markdown have them", False)] if rest else telling
    )


def print_group(console: Console, group: Group, *, counters: bool = False) -> None:
    """Print the tables of one pass, dtype and device."""
    known = group.remembers
    memory = {"peak memory": by_shape(group, peaks)} if known else {}
    tables = {"time, and its ratio to the baseline": by_shape(group, times)} | memory
    if _too_broad(tables, console):
        title = f"time, its ratio to the baseline{', peak memory' if known else ''}"
        columns = [name for name in _REPORTED if known or name != "peak memory"]
        tables = {title: by_implementation(group, columns, console.width)}
        compact = {"ratio of the time to the baseline's, and the baseline's time": by_shape(group, ratios)} | memory
        if len(tables[title]) > _LONG and not _too_broad(compact, console):
            tables = compact
    names = wording.counted(group) if counters else []
    if names:
        tables["counted"] = by_implementation(group, names, console.width)
    for title, lines in tables.items():
        _title(console, f"{group.title}: {title}")
        _print(console, lines)


def _too_broad(tables: Mapping[str, Sequence[str]], console: Console) -> bool:
    return max(cell_len(line) for lines in tables.values() for line in lines) > console.width


def times(cells: Sequence[Measurement | None]) -> list[str]:
    """Return a column of times, each with its ratio, and with the ratio's interval where that is wide."""
    figures = [shown(m, wording.time) for m in cells]
    ratios = ["" if m is None or m.outcome != "measured" else wording.ratio(m) or "" for m in cells]
    wides = [
        f"({wording.interval(m)})" if m is not None and r and wording.wide(m) else ""
        for m, r in zip(cells, ratios, strict=True)
    ]
    return aligned(list(zip(figures, ratios, wides, strict=True)), left=(2,))


def ratios(cells: Sequence[Measurement | None]) -> list[str]:
    """Return a column of ratios alone; of the baseline, its times."""
    return [shown(m, wording.time if m is not None and m.implementation == BASELINE else wording.ratio) for m in cells]


def peaks(cells: Sequence[Measurement | None]) -> list[str]:
    """Return a column of peak memory."""
    return [shown(m, wording.peak) for m in cells]


def by_shape(group: Group, column: Callable[[Sequence[Measurement | None]], list[str]]) -> list[str]:
    """Return a table with a row per shape and a column per implementation, whose name is folded to its figures' width."""
    columns = [column([group.cells.get((shape, name)) for shape in group.shapes]) for name in group.implementations]
    names = [_folded(name, max(map(len, cells))) for name, cells in zip(group.implementations, columns, strict=True)]
    height = max(map(len, names))
    heads = [[""] * (height - len(name)) + name for name in names]
    labels = [""] * (height - 1) + ["shape"] + [group.name(shape) for shape in group.shapes]
    rows = zip(labels, *(head + cells for head, cells in zip(heads, columns, strict=True)), strict=True)
    return [f"{_GAP}{line}" for line in aligned([*rows])]


def by_implementation(group: Group, names: Sequence[str], width: int) -> list[str]:
    """Return a table with a heading per shape, a row per implementation that was tried at it, and columns of these names.

    A name for which the width leaves no room is folded; its figures stand in its last line.
    """
    figures = [{**_REPORTED, **wording.COUNTERS}[name] for name in names]
    tried = [(shape, name) for shape in group.shapes for name in group.implementations if (shape, name) in group.cells]
    rows = [list(names)]
    for key in tried:
        first, *others = figures
        m = group.cells[key]
        rows.append([shown(m, first), *(shown(m, figure) if m.outcome == "measured" else "" for figure in others)])
    heads, *cells = aligned(rows, left=())
    room = width - cell_len(heads) - 3 * len(_GAP)  # two before a name, and one behind it
    folded = {name: _folded(name, room) for name in group.implementations}
    broadest = max(cell_len(line) for lines in folded.values() for line in lines)
    lines = [f"{_GAP * 2}{' ' * broadest}{_GAP}{heads}"]
    for n, (shape, name) in enumerate(tried):
        lines += [f"{_GAP}{printable(shape.name)}  {shape}"] if n == 0 or tried[n - 1][0] != shape else []
        *above, last = folded[name]
        lines += [f"{_GAP * 2}{line}" for line in above]
        lines.append(f"{_GAP * 2}{last}{' ' * (broadest - cell_len(last))}{_GAP}{cells[n]}")
    return lines


def _folded(name: str, width: int) -> list[str]:
    """The lines of a name that is wider than its column."""
    width = max(width, _NARROWEST)
    lines = [""]
    for piece in wording.pieces(name):
        if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines]


def _title(console: Console, words: str) -> None:
    console.print()
    console.print(Text(printable(words), style="bold"), soft_wrap=True)


def _say(console: Console, indent: str, words: str, style: str) -> None:
    """Print a sentence, folded at spaces; what follows stands below its first line."""
    for line in fold(words, console.width - len(indent)):
        console.print(Text(f"{indent}{line}", style=style), soft_wrap=True)


def _print(console: Console, lines: Sequence[str], style: str = "default") -> None:
    for line in lines:
        console.print(Text(line.rstrip(), style=style), soft_wrap=True)
