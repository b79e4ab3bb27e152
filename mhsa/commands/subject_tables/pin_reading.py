"""``mhsa probe --write``: a reading becomes the declared contract of its subject, so that a later change is a violation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from mhsa.commands.subject_tables.tables import entry, name_of, put, read, seen_from, subjects_of, write
from mhsa.records.configuration import Configuration
from mhsa.records.declarations import canonical, in_words
from mhsa.records.errors import UsageError
from mhsa.records.request import Request

_OPTION = "--write"


def pin(configuration: Configuration, request: Request, contract: Mapping[str, Any]) -> list[str]:
    """Write a contract, and the arguments of the request, into the subject's table; what stands there stays.

    Args:
        configuration: that applies; without a file it is pyproject.toml of this folder.
        request: the subject.
        contract: how it is read.

    Returns:
        What was written, in words.

    Raises:
        UsageError: the table declares something else; then nothing is written.
    """
    path = configuration.path or Path.cwd() / "pyproject.toml"
    text, document = read(path, _OPTION)
    subjects = subjects_of(document)
    subject = seen_from(path.parent, request.subject)
    name = name_of(request, subject, subjects)
    by_hand = {name: {"subject": subject, "contract": dict(contract)}}
    table = entry(subjects, name, subject)
    new = {"contract": _new(path, name, table, "contract", contract), "arguments": {}}
    new["arguments"] = _new(path, name, table, "arguments", request.arguments)
    for key, values in new.items():
        if values and key not in table:
            put(table, key, tomlkit.inline_table())
        for field, value in values.items():
            table[key][field] = value
    if not any(new.values()):
        return [f"{path}: {name} declares all of that already"]
    write(path, text, document, _OPTION, by_hand)
    said = [f"{key} = {{ {in_words(values)} }}" for key, values in new.items() if values]
    return [f"wrote to [tool.mhsa.subjects.{name}] in {path}: {line}" for line in said]


def _new(path: Path, name: str, table: Any, key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a subject's table does not say yet."""
    there = table.get(key, {})
    there = canonical(there.unwrap() if hasattr(there, "unwrap") else there)
    for field, value in given.items():
        if field in there and there[field] != value:
            raise UsageError(
                f"--write: {path}: [tool.mhsa.subjects.{name}] says {in_words({field: there[field]})}, and the reading is "
                f"{in_words({field: value})}; correct the code, or remove that line and run it again. Nothing was written"
            )
    return {field: value for field, value in given.items() if field not in there}
