"""What is shown of a diagnosis: the cause in words, the line of mathematics, and a picture of the weights."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.style import Style
from rich.text import Text

from mhsa.records.diagnosis import Diagnosis
from mhsa.reports.line_folding import hanging, show
from mhsa.reports.sources import public_reports

_TITLES = {"confirmed": "CAUSE, confirmed", "similar": "CAUSE, perhaps", "unknown": "CAUSE not known"}
_STYLES = {"confirmed": "bold red", "similar": "bold yellow", "unknown": "bold"}
_MOST = 3  # causes that are shown without --verbose
_CELL = 5  # characters of a number: "  .25", " -.25"; three matrices of five keys then fit into 80 columns with room
_DEEPEST = 170  # how dark a weight of one is drawn, of 255: the digits stay readable


def diagnosis_lines(diagnosis: Diagnosis, width: int, *, verbose: bool = True) -> list[Text]:
    """Return the likely cause, which stands below the failures of a subject."""
    shown = diagnosis.causes if verbose else diagnosis.causes[:_MOST]
    left = len(diagnosis.causes) - len(shown)
    names = " or ".join(cause.name for cause in shown) + (f" or {left} more" if left else "")
    title = f"{_TITLES[diagnosis.kind]}{': ' if names else ''}{names}"
    lines = [Text(), *hanging("  ", title, width, style=_STYLES[diagnosis.kind])]
    for sentence in diagnosis.words:
        lines += hanging("    ", sentence, width)
    for cause in shown:
        if len(diagnosis.causes) > 1:
            shared = "" if cause.shared is None else f", with {100 * cause.shared:.0f} % of the failed properties in common"
            lines += hanging("    ", f"{cause.name}{shared}", width, style="bold")
        rows = [("bug", cause.summary), ("computes", cause.computes), ("must be", cause.must_be)]
        rows += [("reported", reports)] if (reports := public_reports(cause.census)) else []
        for name, words in rows:
            style = {"computes": "red", "must be": "green"}.get(name, "default")
            lines += hanging(f"    {name:<8}  ", words, width, style=style)
    return [*lines, Text(f"    and {left} more: -v lists them")] if left else lines


def print_picture(console: Console, picture: dict[str, Any]) -> None:
    """Draw expected weights, observed weights and their difference side by side."""
    expected, observed = picture["expected"], picture["observed"]
    difference = [[_minus(o, e) for o, e in zip(*rows, strict=True)] for rows in zip(observed, expected, strict=True)]
    console.print()
    title = f"  WEIGHTS of sample {picture['sample']}, head {picture['head']}, {picture['what']}"
    console.print(Text(title, style="bold"), soft_wrap=True)
    show(console, hanging("    ", picture["case"], console.width, style="dim"))
    width = _CELL * len(expected[0])
    titles = "  ".join(f"{title:<{width}}" for title in ("expected", "observed", "difference"))
    console.print(Text(f"    {'':<5}{titles}", style="dim"), soft_wrap=True)
    keys = "".join(f"{f'j={j}':>{_CELL}}" for j in range(len(expected[0])))
    console.print(Text(f"    {'':<5}{keys}  {keys}  {keys}", style="dim"), soft_wrap=True)
    for i, rows in enumerate(zip(expected, observed, difference, strict=True)):
        allowed = None if picture["allowed"] is None else picture["allowed"][i]
        line = Text(f"    {f'i={i}':<5}", style="dim")
        for n, row in enumerate(rows):
            for j, x in enumerate(row):
                hidden = allowed is not None and not allowed[j]
                line.append_text(_cell(x, hidden=hidden and n == 0, signed=n == 2))
            line.append("  ")
        console.print(line, soft_wrap=True)
    marks = ["rows are queries i, columns keys j"]
    marks += ["a dot is a key that is masked"] if picture["allowed"] is not None else []
    console.print(Text(f"    {'; '.join(marks)}", style="dim"), soft_wrap=True)


def _minus(observed: float | None, expected: float) -> float | None:
    return None if observed is None else observed - expected


def _cell(x: float | None, *, hidden: bool, signed: bool) -> Text:
    """One number on a ground that is the darker the larger it is: blue for weights, red for differences."""
    if x is None:
        return Text(f"{'nan':>{_CELL}}", style=Style(color="white", bgcolor="rgb(170,0,0)"))
    if hidden and x == 0.0:
        return Text(f"{'.':>{_CELL}}", style="dim")
    if signed and abs(x) < 0.005:
        return Text(f"{'0':>{_CELL}}", style="dim")
    digits = f"{x:.2f}".replace("0.", ".", 1) if abs(x) < 1 else f"{x:.1f}" if abs(x) < 100 else f"{x:.0e}"
    pale = 255 - round(_DEEPEST * min(abs(x), 1.0))
    ground = f"rgb(255,{pale},{pale})" if signed else f"rgb({pale},{pale},255)"
    return Text(f"{digits:>{_CELL}}", style=Style(color="black", bgcolor=ground))
