"""Two versions of a package, and a step that is taken on both sides."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mhsa.bench.git.isolated_imports import Side

PACKAGE = {
    "attn/__init__.py": "from .core import KIND, lazy, absolute\n",
    "attn/core.py": """
        KIND = "{0}"
        def lazy():
            from . import late
            return late.KIND
        def absolute():
            import attn.deep.late
            return attn.deep.late.KIND, attn.KIND
    """,
    "attn/late.py": 'KIND = "late {0}"\n',
    "attn/deep/__init__.py": "",
    "attn/deep/late.py": 'from ..late import KIND as WHO\nKIND = f"deep {{WHO}}"\n',
}


def write(folder: Path, files: dict[str, str], kind: str = "") -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).format(kind) if kind else textwrap.dedent(text))
    return folder


def kinds(base: Side, head: Side, ask: Callable[[Side], object]) -> list[object]:
    """What ``ask`` returns on both sides, in turn and twice: the second time from what they kept."""
    found: list[object] = []
    for _ in range(2):
        for side in (base, head):
            with side:
                found.append(ask(side))
    assert found[:2] == found[2:]
    return found[:2]


def load_both(first: Side, second: Side, step: Callable[[Side], Any]) -> tuple[Any, Any]:
    """Take a step on both sides."""
    with first:
        one = step(first)
    with second:
        return one, step(second)
