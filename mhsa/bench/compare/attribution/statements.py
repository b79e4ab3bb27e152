"""Statements of source files: a line of a call belongs to one, and one that has only moved is still the same."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 200  # characters of a line that are worth showing
_BLOCKS = ("body", "orelse", "finalbody")
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Statement:
    """One statement; of one that has a body, what stands before that.

    Attributes:
        file: relative to the root of the commit's files.
        line: its first one, from 1 on.
        function: that it is in, with its class; "" outside of any.
        text: its first line.
        key: the same for statements that differ in nothing but spaces, comments and folding.
        around: the first lines of the loops and conditions that it is in, the innermost first.
    """

    file: str
    line: int
    function: str = ""
    text: str = ""
    key: str = ""
    around: tuple[int, ...] = ()


class SourceFile:
    """The statements of one file, by line. One that cannot be read or parsed has a statement for each line."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._of_line: dict[int, Statement] = {}
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        self._lines = text.splitlines()
        try:
            self._add(ast.parse(text), "", ())
        except (SyntaxError, ValueError, RecursionError):
            self._of_line.clear()

    def at(self, line: int) -> Statement:
        """Return the statement that a line belongs to."""
        if line not in self._of_line:
            text = self._text(line)
            self._of_line[line] = Statement(self.name, line, "", text, text)
        return self._of_line[line]

    def _text(self, line: int) -> str:
        text = self._lines[line - 1] if 0 < line <= len(self._lines) else ""
        return " ".join(text.split())[:_LONGEST]

    def _add(self, parent: ast.AST, function: str, around: tuple[int, ...]) -> None:
        for node in _statements(parent):
            found = Statement(self.name, node.lineno, function, self._text(node.lineno), _key(node), around)
            last = node.end_lineno or node.lineno
            for line in range(node.lineno, last + 1):  # those of statements in its body are set to these later
                self._of_line[line] = found
            if isinstance(node, _NAMED):
                self._add(node, f"{function}.{node.name}".lstrip("."), ())
            else:
                self._add(node, function, (node.lineno, *around))


def _statements(parent: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements right below a node; handlers of exceptions and cases are no statements, what is in them is."""
    for child in ast.iter_child_nodes(parent):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, (ast.excepthandler, ast.match_case)):
            yield from _statements(child)


def _key(node: ast.stmt) -> str:
    """Return a statement without its body, spaces and comments."""
    head = copy.copy(node)
    for name in _BLOCKS:
        if getattr(head, name, None):
            setattr(head, name, [ast.Pass()] if name == "body" else [])
    if isinstance(head, ast.Match):
        head.cases = []
    if isinstance(head, ast.Try | ast.TryStar):
        head.handlers = []
        head.finalbody = [ast.Pass()]
    return ast.unparse(head)
