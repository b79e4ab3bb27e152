"""The tables of subjects in a user's pyproject.toml, continued in the form that the file has."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Comment, InlineTable, Item, Table

from mhsa.records.errors import UsageError
from mhsa.records.request import Request


def read(path: Path, option: str) -> tuple[str, tomlkit.TOMLDocument]:
    """Return the text of a file and what it says; raise a UsageError, in the name of an option, if it cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8") if path.exists() else ""
        return text, tomlkit.parse(text)
    except OSError as error:
        raise UsageError(f"{option}: {path}: {error.strerror}") from error
    except ValueError as error:  # which tomlkit's errors are, too
        raise UsageError(f"{option}: {path}: {error}") from error


def write(path: Path, text: str, document: tomlkit.TOMLDocument, option: str, by_hand: dict[str, Any]) -> None:
    """Write a document with the line ends of its text; where tomlkit has not continued it rightly, say what to add by hand."""
    after = tomlkit.dumps(document)
    if tomllib.loads(after) != document.unwrap():  # keys with dots, say, which tomlkit cannot continue
        example = tomlkit.dumps({"tool": {"mhsa": {"subjects": by_hand}}})
        raise UsageError(f"{option}: {path} has a form that cannot be continued; add this by hand:\n\n{example}")
    try:
        path.write_bytes(after.replace("\r\n", "\n").replace("\n", "\r\n" if "\r\n" in text else "\n").encode())
    except OSError as error:
        raise UsageError(f"{option}: {path}: {error.strerror}") from error


def subjects_of(document: tomlkit.TOMLDocument) -> Any:
    """Return ``[tool.mhsa.subjects]``, made if it is not there."""
    return table(table(table(document, "tool"), "mhsa"), "subjects")


def table(parent: Any, name: str) -> Any:
    """Return a table in a table, made if it is not there."""
    if name not in parent:
        parent[name] = tomlkit.inline_table() if isinstance(parent, InlineTable) else tomlkit.table(is_super_table=True)
    return parent[name]


def entry(subjects: Any, name: str, subject: str) -> Any:
    """Return the table of a subject; one that is just a name becomes a table in the same line."""
    there = subjects.get(name)
    if isinstance(there, dict):
        return there
    made = tomlkit.inline_table() if there is not None or isinstance(subjects, InlineTable) else tomlkit.table()
    made["subject"] = subject if there is None else str(there)
    subjects[name] = made
    return subjects[name]


def put(table: Any, key: str, value: Item) -> None:
    """Add a key to a table: above the comments that end it, which in a file of ``mhsa init`` are examples."""
    body = table.value.body if isinstance(table, Table) else []
    last = max((n for n, (there, _) in enumerate(body) if there is not None), default=len(body))
    if any(isinstance(item, Comment) for _, item in body[last + 1 :]):
        table.value._insert_after(body[last][0], key, value)
    else:
        table[key] = value


def seen_from(folder: Path, subject: str) -> str:
    """Return a subject with its path as it is written in a file in this folder."""
    head, colon, attr = subject.rpartition(":")
    path, attr = (subject, "") if subject.endswith(".py") else (head, colon + attr)
    return Path(os.path.relpath(path, folder)).as_posix() + attr if path.endswith(".py") else subject


def name_of(request: Request, subject: str, subjects: Any) -> str:
    """A configured subject keeps its name; another gets one from what was typed."""
    if request.folder:
        return request.label
    same = [
        name for name, entry in subjects.items() if subject in (entry, entry.get("subject") if isinstance(entry, dict) else "")
    ]
    if same:
        return str(same[0])
    stem = request.label.rpartition(":")[2].rpartition("/")[2].removesuffix(".py").rpartition(".")[2]
    name, n = stem, 2
    while name in subjects:
        name, n = f"{stem}-{n}", n + 1
    return name
