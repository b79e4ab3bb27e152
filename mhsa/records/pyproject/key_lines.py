"""In which line of a TOML file a key stands, which no parser says."""

from __future__ import annotations

import re
from typing import Any

_HEADER = r"\s*\[+[^\[\],]+\]+\s*(#.*)?$"


class KeyLines:
    """The lines of one file."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()

    def line_of(self, path: tuple[str, ...], key: str, nth: int = 0, value: Any = None) -> int:
        """Return the line of a key in its table, or else of the table, or of the first one below it.

        Of several tables of one name the ``nth`` is meant, and of several lines with the key one with the value.
        """
        start, rest = 0, path
        for depth in range(len(path), 0, -1):
            heads = self._headers(path[:depth], r"\]")
            if heads:
                start, rest = heads[min(nth, len(heads) - 1) if depth == len(path) else 0], path[depth:]
                break
        end = next((n for n in range(start, len(self.lines)) if re.match(_HEADER, self.lines[n])), len(self.lines))
        nearest = start
        for part in rest:  # keys with dots, and tables in one line
            inner = self._keys(part, start, end)
            start, nearest = (inner[0] - 1, inner[0]) if inner else (start, nearest)
        simple = isinstance(value, (str, int, float))
        literal = str(value).lower() if isinstance(value, bool) else str(value) if simple else ""
        lines = self._keys(key, start, end) if key else []
        exact = [n for n in lines if literal and literal in self.lines[n - 1]]
        below = self._headers((*path, key), r"[.\]]") if key else self._headers(path, r"\.")
        return next(iter([*exact, *lines, *below, nearest or 1]))

    def _headers(self, path: tuple[str, ...], after: str) -> list[int]:
        name = r"\s*\.\s*".join(f"[\"']?{re.escape(part)}[\"']?" for part in path)
        return [n for n, line in enumerate(self.lines, 1) if re.match(rf"\s*\[+\s*{name}\s*{after}", line)]

    def _keys(self, key: str, start: int, end: int) -> list[int]:
        pattern = rf"(?!\s*#)(.*[\s{{,.\"'])?[\"']?{re.escape(key)}[\"']?\s*[=.]"
        return [n + 1 for n in range(start, end) if re.match(pattern, self.lines[n])]
