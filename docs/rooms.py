"""Draws the rooms of mhsa/ and who imports whom.

``python docs/rooms.py`` prints the picture; with ``--write`` it goes into architecture.md.

Every import is counted, also those within functions and those for type checkers. pyproject.toml says which are allowed.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- python docs/rooms.py --write -->\n", "<!-- end of what docs/rooms.py wrote -->\n"


def layers() -> list[list[str]]:
    """Return the rooms as pyproject.toml orders them, from the top; what is no folder is left out."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (rooms,) = (contract["layers"] for contract in contracts if contract["id"] == "rooms")
    every = [[name.strip() for name in layer.split("|")] for layer in rooms]
    return [layer for layer in every if all((ROOT / "mhsa" / name).is_dir() for name in layer)]


def files(room: str) -> list[Path]:
    """Return the Python files of a room."""
    return sorted((ROOT / "mhsa" / room).rglob("*.py"))


def imported(path: Path) -> list[str]:
    """Return the rooms that a file imports from, once for each import."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module != "mhsa" else [f"mhsa.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in found]
    return [part[1] for part in parts if part[0] == "mhsa" and len(part) > 1 and (ROOT / "mhsa" / part[1]).is_dir()]


def counts() -> dict[str, Counter[str]]:
    """Return for each room how often it imports from each other one."""
    every = [room for layer in layers() for room in layer]
    return {room: Counter(r for path in files(room) for r in imported(path) if r != room) for room in every}


def direct(edges: dict[str, Counter[str]]) -> list[tuple[str, str]]:
    """Return the imports that do not follow from others: a picture of all of them would be black."""

    def reached(room: str) -> set[str]:
        return {other for near in edges[room] for other in ({near} | reached(near))}

    return [(a, b) for a in edges for b in edges[a] if not any(b in reached(c) for c in edges[a] if c != b)]


def summary(room: str) -> str:
    """Return what a room says of itself."""
    return (ast.get_docstring(ast.parse((ROOT / "mhsa" / room / "__init__.py").read_text(encoding="utf-8"))) or "").split("\n")[
        0
    ]


def drawn() -> str:
    """Return the picture and the table."""
    edges = counts()
    order = [room for layer in layers() for room in layer]
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"  {a} -->|{edges[a][b]}| {b}" for a, b in direct(edges)]
    lines += ["```", "", "| room | what it is | files | imports from |", "|---|---|---|---|"]
    for room in order:
        others = ", ".join(f"{other} {edges[room][other]}" for other in order if edges[room][other])
        lines.append(f"| `mhsa/{room}` | {summary(room)} | {len(files(room))} | {others or 'none'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print, or write."""
    if "--write" not in sys.argv[1:]:
        print(drawn(), end="")
        return
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    PAGE.write_text(head + BEGIN + "\n" + drawn() + "\n" + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
