"""The file of one failure: subject, property and what it was called with; small, self-contained, and enough to see it again."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.records.catalogue import catalogue
from mhsa.records.errors import UsageError
from mhsa.records.facts import jsonable
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult

SCHEMA = 1
_KIND = "mhsa case"
_KEYS = {"schema", "kind", "property", "subject", "drawn", "found", "environment"}
_LARGEST = 10 * 2**20  # bytes: a case is some kilobytes
_LONGEST = 300  # characters of a message that are worth a line


class CaseFileError(UsageError):
    """The file cannot be used, with the reason."""


@dataclass(frozen=True)
class Saved:
    """What a file says.

    Attributes:
        request: the subject, as it was judged.
        property: id.
        drawn: what the property was called with, as JSON.
        found: what was observed then: ``message``, ``observed``, ``required``, ``bound`` and so on.
        environment: versions and conditions then.
    """

    request: Request
    property: str
    drawn: dict[str, Any]
    found: dict[str, Any]
    environment: dict[str, Any]


def save(folder: Path, request: Request, found: PropertyResult, environment: Mapping[str, Any]) -> Path:
    """Write the case of a failure, in place of an earlier one of the same subject and property; return the path.

    Raises:
        OSError: it cannot be written.
    """
    facts = dict(found.counterexample or {})
    drawn = facts.pop("drawn")
    # The folder is the reader's own: a case that is sent to another person has to work there.
    saved_request = request.as_dict() | {"folder": "", "expected": ()}
    data = {
        "schema": SCHEMA, "kind": _KIND, "property": found.id, "subject": saved_request, "drawn": drawn,
        "found": facts, "environment": dict(environment),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder.parent / ".gitignore" if folder.parent.name == ".mhsa" else folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    path = path_of(folder, request, found.id)
    path.write_text(json.dumps(jsonable(data), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def path_of(folder: Path, request: Request, identity: str) -> Path:
    """Return where the case of a subject and a property is saved."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", request.label.rpartition("/")[2]).strip("_.")[-60:]
    if "/" in request.label:  # files of one name in two folders
        name += f"-{zlib.crc32(request.label.encode()):08x}"
    return folder / f"{name}--{identity}.json"


def is_case(path: Path) -> bool:
    """Whether a file is a case, of whatever version."""
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("kind") == _KIND


def read(path: Path) -> Saved:
    """Read a file.

    Raises:
        CaseFileError: there is none, or it is no case.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise CaseFileError(f"{path}: larger than any case")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CaseFileError(f"{path}: {error.strerror}") from None
    except RecursionError:
        raise CaseFileError(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise CaseFileError(f"{path}: no JSON: {error}") from None
    if not isinstance(data, dict) or data.get("kind") != _KIND:
        raise CaseFileError(f"{path}: no case of mhsa; `mhsa verify` saves one for each failure")
    if data.get("schema") != SCHEMA or data["schema"] is True:
        raise CaseFileError(f"{path}: of schema {_shown(repr(data.get('schema')))}; this version reads {SCHEMA}")
    return Saved(**_checked(path, data))


def _checked(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    if unknown := sorted(set(data) - _KEYS):
        raise CaseFileError(f"{path}: it has no {_shown(', '.join(map(repr, unknown)))}; it has {', '.join(sorted(_KEYS))}")
    for name in ("subject", "drawn", "found", "environment"):
        if not isinstance(data.get(name), dict):
            raise CaseFileError(f"{path}: {name} is {_shown(repr(data.get(name)))}; must be a table")
    identity = data.get("property")
    if identity not in [p.id for p in catalogue()]:
        raise CaseFileError(f"{path}: there is no property {_shown(repr(identity))} in this version")
    from mhsa.records.case_files.case_json import decode  # with NumPy, which whoever only saves a case does not need

    try:
        decode(data["drawn"])
        request = Request.of_dict(data["subject"])
    except RecursionError:
        raise CaseFileError(f"{path}: nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise CaseFileError(f"{path}: {_shown(str(error))}") from None
    return {k: data[k] for k in ("drawn", "found", "environment")} | {"request": request, "property": identity}


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
