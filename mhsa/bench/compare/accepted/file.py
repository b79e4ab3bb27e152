"""``mhsa-accepted.toml``: accepted slow-downs in the user's repository, one table each, written by ``mhsa compare --accept``.

It is a file of its own, next to pyproject.toml: it is written by a command and grows, and two commits are compared by what
it says at each of them, also where one of them is older than any version of pyproject.toml's tables. It is not in ``.mhsa``,
which holds what can be made again and is often ignored by git.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mhsa.bench.compare.accepted.acceptance import Acceptance
from mhsa.bench.compare.accepted.figures import parsed
from mhsa.records.errors import UsageError, visible

NAME = "mhsa-accepted.toml"
_HEAD = """\
# Slow-downs that are known and meant, with their reasons. `mhsa compare BASE --accept "reason"` adds to this file; commit it
# together with what is slower. A comparison allows what HEAD's file has and BASE's has not, so after a merge nothing of this
# is allowed once more, and nothing has to be removed.
"""
_EXAMPLE = """write

[[accepted]]
reason = "the softmax is in float64, for accuracy"
date = 2026-11-30
[accepted.figures]
"attention forward exercise float32" = "1.15x, +15 operators\""""


def entries(text: str, where: str) -> list[Acceptance]:
    """Return what a file says.

    Args:
        text: of the file.
        where: it is, for messages.

    Raises:
        UsageError: something in it is missing or not understood; it says what to write.
    """
    try:
        tables = tomllib.loads(text).get("accepted", [])
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    if not isinstance(tables, list):
        raise UsageError(f"{where}: accepted is no list of tables; {_EXAMPLE}")
    return [_entry(table, f"{where}: accepted slow-down {n}") for n, table in enumerate(tables, 1)]


def _entry(table: Any, where: str) -> Acceptance:
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table; {_EXAMPLE}")
    reason = table.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise UsageError(f'{where} has no reason; say why it is meant: reason = "..."')
    figures = table.get("figures")
    if not isinstance(figures, dict) or not figures:
        raise UsageError(f"{where} ({reason}) says of no benchmark how much is accepted; {_EXAMPLE}")
    found = {}
    for benchmark, words in figures.items():
        understood = parsed(words) if isinstance(words, str) else None
        if understood is None:
            raise UsageError(f"{where} ({reason}): {benchmark} = {words!r} is not understood; {_EXAMPLE}")
        found[benchmark] = understood
    others = (str(table.get(key, "")) for key in ("base", "commit"))
    return Acceptance(_line(reason), found, str(table.get("date", "")), NAME, *others)


def addition(acceptance: Acceptance, comments: Mapping[str, str]) -> str:
    """Return the lines that keep an acceptance; ``comments`` say more of a benchmark's figures."""
    figures = [
        f"{_text(name)} = {_text(str(some))}" + (f"  # {_line(comments[name])}" if name in comments else "")
        for name, some in acceptance.figures.items()
    ]
    keys = [f"{key} = {_text(getattr(acceptance, key))}" for key in ("reason", "base", "commit")]
    return "\n".join(["[[accepted]]", f"date = {acceptance.date}", *keys, "[accepted.figures]", *figures, ""])


def keep(path: Path, acceptance: Acceptance, comments: Mapping[str, str]) -> None:
    """Add an acceptance to the file, which is made if it is not there.

    Raises:
        UsageError: the file holds something else, or cannot be written; then it is as it was.
    """
    try:
        before = path.read_bytes().decode("utf-8") if path.exists() else ""
        entries(before, str(path))
        end = "\r\n" if "\r\n" in before else "\n"
        gap = "" if before.endswith("\n") else end
        text = (f"{before}{gap}{end}" if before else _HEAD + "\n") + addition(acceptance, comments).replace("\n", end)
        entries(text, str(path))
        path.write_bytes(text.encode())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--accept: {path}: {getattr(error, 'strerror', None) or error}; nothing was accepted") from error


def today() -> str:
    """Return the date as the file has it."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _text(words: str) -> str:
    """A string of TOML: JSON's are, but for a control that JSON leaves as it is, which no name of a benchmark holds."""
    return json.dumps(_line(words), ensure_ascii=False)


def _line(words: str) -> str:
    return visible(" ".join(words.split()))
