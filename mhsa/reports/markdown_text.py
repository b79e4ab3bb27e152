"""Text and tables in GitHub's Markdown: what comes from outside means only itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from mhsa.reports.text import LONGEST, cut, printable

_SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "\\*_[]~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
)


def text(words: object, most: int = LONGEST) -> str:
    """Return text on one line of at most ``most`` characters that is neither a heading, a list, a table nor HTML."""
    return _line(words, most).translate(_SPECIAL)


def code(words: object, most: int = LONGEST) -> str:
    """Return a name in typewriter letters. Nothing can be escaped in a code span, so what needs it becomes HTML."""
    line = _line(words, most)
    return f"<code>{line.translate(_SPECIAL)}</code>" if not line or set("`|") & set(line) else f"`{line}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> Iterator[str]:
    """Yield the lines of a table whose cells are Markdown already; a ``|`` in a cell does not end it.

    Args:
        head: the names of the columns.
        rows: as many cells each.
        right: the columns that are aligned to the right.
    """
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---:' if n in right else '---' for n in range(len(head)))}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def _line(words: object, most: int) -> str:
    return cut(" ".join(printable(words).split()), most)
