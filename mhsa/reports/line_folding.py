"""Lines for a terminal of any width: words are never cut in two, and what belongs to a label hangs below it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mhsa.reports.text import printable

NARROWEST = 80  # columns where the output is not a terminal but a CI's log or a file; every terminal has them
_LEAST = 20  # columns for words after a label, however narrow a terminal is
_AFTER = re.compile(r"(?<=[/,;:_\])}&?=-])")  # where a word is broken that is longer than a line: a path, a formula


def wide_console(*, no_color: bool, stderr: bool = False) -> Console:
    """Return where to print: as wide as the terminal; anything else has 80 columns, or more where COLUMNS says so."""
    console = Console(no_color=no_color or None, highlight=False, stderr=stderr)
    if not console.is_terminal:
        columns = os.environ.get("COLUMNS", "")
        console.width = max(NARROWEST, int(columns) if columns.isdecimal() else 0)
    return console


def fold(words: str, width: int) -> list[str]:
    """Return lines of at most ``width`` columns, broken at spaces, and inside of a word only if it is longer than a line.

    Lines that begin with a space, code to be copied say, are left whole.
    """
    width = max(width, _LEAST)
    lines: list[str] = []
    for paragraph in words.splitlines() or [""]:
        if paragraph.startswith(" "):
            lines.append(printable(paragraph))
            continue
        line = ""
        for word in printable(paragraph).split(" "):
            if not line or cell_len(line) + 1 + cell_len(word) <= width:
                line = f"{line} {word}" if line else word
            else:
                lines.append(line.rstrip())
                line = word
            if cell_len(line) > width:
                *whole, line = _broken(line, width)
                lines += whole
        lines.append(line.rstrip())
    return lines


def _broken(word: str, width: int) -> list[str]:
    """The parts of a word that is longer than a line."""
    lines = [""]
    for piece in _AFTER.split(word):
        if lines[-1] and cell_len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
        while cell_len(lines[-1]) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return lines


def short(words: str, width: int) -> str:
    """Return the words in one line of at most ``width`` columns; dots at its end say that there is more."""
    line = printable(" ".join(words.split()))
    if cell_len(line) <= width:
        return line
    while cell_len(line) > max(width - 3, 0):
        line = line[:-1]
    whole = line.rpartition(" ")[0]
    if len(whole) * 4 > len(line) * 3:  # a part of a word is worth less than the room that it takes
        line = whole
    return f"{line.rstrip(' ,;:')}..."


def hanging(label: str, words: str, width: int, *, style: str = "default", most: int | None = None) -> list[Text]:
    """Return a label, dim, and words that hang to the right of it; of more than ``most`` lines the rest is dots."""
    room = width - cell_len(label)
    folded = fold(words, room)
    if most is not None and len(folded) > most:
        folded = [*folded[: most - 1], short(" ".join(folded[most - 1 :]), max(room, _LEAST))]
    lines = []
    for n, line in enumerate(folded):
        lines.append(Text(label if n == 0 else " " * cell_len(label), style="dim").append(line, style=style))
    return lines


def labelled(
    rows: Sequence[tuple[str, str]], width: int, *, indent: int = 4, style: str = "default", most: int | None = None
) -> list[Text]:
    """Return rows of a name and words, all names as wide as the longest."""
    broad = max((len(name) for name, _ in rows), default=0)
    return [
        line
        for name, words in rows
        for line in hanging(f"{' ' * indent}{name:<{broad}}  ", words, width, style=style, most=most)
    ]


def show(console: Console, lines: Iterable[Text]) -> None:
    """Print lines that are folded already, or must not be."""
    for line in lines:
        line.rstrip()
        console.print(line, soft_wrap=True)
