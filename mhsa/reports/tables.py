"""Tables for a terminal: columns of any cells; of ``mhsa verify`` one row per property, and one row per subject."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from mhsa.records.results import Outcome, PropertyResult, SubjectResult
from mhsa.reports.line_folding import hanging, short
from mhsa.reports.text import printable

STYLES: dict[Outcome, str] = {
    "pass": "green",
    "fail": "bold red",
    "error": "bold magenta",
    "expected-failure": "yellow",
    "unexpected-pass": "yellow",
    "not-applicable": "dim",
}
VERDICTS = {"holds": "bold green", "violated": "bold red", "question": "bold yellow", "unjudged": "bold magenta"}
_EXPLAINED: tuple[Outcome, ...] = ("error", "expected-failure", "unexpected-pass", "not-applicable")
_JUDGED: tuple[Outcome, ...] = ("pass", "fail", "expected-failure", "unexpected-pass")  # what the figures of a verdict count
_SHORT = {"expected-failure": "expected", "unexpected-pass": "passes"}  # in a row; in full where the reason stands
_FIGURES = ("cases", "error/bound", "seconds")
_GAP = 2


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Return lines whose columns stand below each other: to the right, but for those in ``left``; empty columns vanish."""
    clean = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*clean, strict=True)]
    lines = []
    for row in clean:
        padded = []
        for n, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell))
            padded += [cell + space if n in left else space + cell] if width else []
        lines.append((" " * _GAP).join(padded))
    return lines


def property_table(properties: Sequence[PropertyResult], width: int) -> list[Text]:
    """Return one row per property that ran, then why the others did not and what else there is to say, once per reason.

    Where whole ids leave no room for the figures, they stand below the name of their family.
    """
    ran = [p for p in properties if p.outcome != "not-applicable"]
    return [*_rows(ran, width), *_explained(properties, width)]


def _rows(properties: Sequence[PropertyResult], width: int) -> list[Text]:
    if not properties:
        return []
    outcomes = [_SHORT.get(p.outcome, p.outcome) for p in properties]
    broad = max(map(len, ["outcome", *outcomes]))
    heads = "  ".join([f"{'outcome':<{broad}}", *_FIGURES])
    room = width - 2 - _GAP - len(heads)
    whole = max(len(p.id) for p in properties) <= room
    names = [p.id if whole else f"  {p.id.partition('.')[2]}" for p in properties]
    column = min(max(map(len, names)), max(room, 0))
    lines = [Text(f"  {'property':<{column}}  {heads}", style="dim")]
    family = ""
    for p, name, outcome in zip(properties, names, outcomes, strict=True):
        if not whole and p.family != family:
            family = p.family
            lines.append(Text(f"  {family}"))
        shown = p.worst_error_over_bound is not None and (p.outcome != "fail" or p.worst_error_over_bound > 1)
        figures = (str(p.cases or "-"), f"{p.worst_error_over_bound:.2g}" if shown else "-", f"{p.seconds:.2f}")
        line = Text(f"  {name:<{column}}  ")
        if len(name) > column:  # its figures stand below it
            lines.append(Text(f"  {name}"))
            line = Text(" " * (2 + column + _GAP))
        line.append(f"{outcome:<{broad}}", style=STYLES[p.outcome])
        line.append("".join(f"  {figure:>{len(head)}}" for figure, head in zip(figures, _FIGURES, strict=True)))
        lines.append(line)
    return lines


def _explained(properties: Sequence[PropertyResult], width: int) -> list[Text]:
    """Which properties were not judged as usual, and why: each reason once."""
    reasons: dict[tuple[Outcome, str], list[str]] = {}
    for p in properties:
        if p.outcome in _EXPLAINED:
            reasons.setdefault((p.outcome, p.reason), []).append(p.id)
    lines = []
    for (outcome, reason), ids in sorted(reasons.items(), key=lambda item: _EXPLAINED.index(item[0][0])):
        lines += hanging(f"  {outcome}  ", reason, width)
        lines += hanging("    ", ", ".join(ids), width, style="dim")
    return lines


def subject_table(results: Sequence[SubjectResult], width: int) -> list[Text]:
    """Return one row per subject: its name, the verdict, and the figures."""
    rows = [("subject", "verdict", "fail", "of", "cases", "seconds")]
    for r in results:
        judged = [p for p in r.properties if p.outcome in _JUDGED]
        figures = (str(r.count("fail")), str(len(judged)), str(sum(p.cases for p in judged)))
        seconds = f"{r.seconds:.1f}"
        rows.append((printable(r.label), r.verdict, *(figures if judged else ("-", "-", "-")), seconds if judged else "-"))
    broad = [max(cell_len(row[n]) for row in rows) for n in range(6)]
    room = max(width - 2 - sum(broad[1:]) - 5 * _GAP, 10)  # of a longer name its end is shown, which distinguishes it better
    lines = []
    for n, row in enumerate(rows):
        name = row[0] if cell_len(row[0]) <= room else short(row[0][::-1], room)[::-1]
        line = Text(f"  {name}{' ' * (min(broad[0], room) - cell_len(name))}  ", style="dim" if n == 0 else "")
        line.append(f"{row[1]:<{broad[1]}}", style="dim" if n == 0 else VERDICTS[row[1]])
        line.append("".join(f"  {cell:>{size}}" for cell, size in zip(row[2:], broad[2:], strict=True)))
        lines.append(line)
    return lines
