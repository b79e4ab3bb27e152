"""``mhsa verify --write-baseline``: today's failures become expected ones in pyproject.toml, for a first adoption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.items import AoT

from mhsa.commands.subject_tables.tables import entry, name_of, put, read, seen_from, subjects_of, write
from mhsa.records.configuration import Configuration
from mhsa.records.failures.expected_failures import ANOTHER, cause_of
from mhsa.records.failures.failure_form import form_of
from mhsa.records.request import Expected, Request
from mhsa.records.results import PropertyResult, SubjectResult

if TYPE_CHECKING:
    from mhsa.records.diagnosis import Diagnosis

_OPTION = "--write-baseline"
_REASON = "failed when mhsa was adopted"


def write_baseline(
    configuration: Configuration,
    requests: Sequence[Request],
    results: Sequence[SubjectResult],
    diagnoses: Mapping[str, Diagnosis] | None = None,
) -> list[str]:
    """Add every failure to its subject's ``expected_failures``, keeping the file's own form; return what was done, in words.

    What is kept of a failure is its form and its confirmed cause, so that another one in its place is found. A subject that is
    not configured yet is added. Nothing is written where nothing fails.
    """
    path = configuration.path or Path.cwd() / "pyproject.toml"
    failures = [
        (request, [p for p in r.properties if p.outcome == "fail" and not r.question])  # of a question nothing is known yet
        for request, r in zip(requests, results, strict=True)
    ]
    if not any(found for _, found in failures):
        return ["baseline    nothing fails, so nothing was written"]
    text, document = read(path, _OPTION)
    subjects = subjects_of(document)
    written: list[str] = []
    by_hand: dict[str, Any] = {}
    for request, found in failures:
        if not found:
            continue
        subject = seen_from(path.parent, request.subject)
        name = name_of(request, subject, subjects)
        new = [_declaration(p, (diagnoses or {}).get(request.label)) for p in found]
        by_hand[name] = {"expected_failures": new} if name in subjects else {"subject": subject, "expected_failures": new}
        _expect(entry(subjects, name, subject), new)
        written.append(f"baseline    {len(new)} failures of {name} are expected from now on: {path}; run mhsa verify {name}")
    write(path, text, document, _OPTION, by_hand)
    return written


def _expect(entry: Any, new: list[dict[str, str]]) -> None:
    listed = entry.get("expected_failures")
    if listed is None:
        put(entry, "expected_failures", tomlkit.array().multiline(True))
        listed = entry["expected_failures"]
    known = [Expected(str(e.get("property", "")), form=str(e.get("form", "")), cause=str(e.get("cause", ""))) for e in listed]
    for failure in new:
        form, cause = failure.get("form", ""), failure.get("cause", "")
        fitting = [n for n, e in enumerate(known) if e.fits(failure["property"])]
        if any(known[n].accepts(form) and known[n].cause in ("", cause) for n in fitting):
            continue  # of a configured subject that was named by its file
        exact = [n for n in fitting if known[n].id == failure["property"]]
        if exact:  # another failure took the place of the one that was expected, and is accepted now
            _replace(listed[exact[0]], failure)
            continue
        item: Any = tomlkit.table() if isinstance(listed, AoT) else tomlkit.inline_table()
        item.update(failure)
        listed.append(item)


def _replace(entry: Any, failure: dict[str, str]) -> None:
    """Let an entry expect another failure; a reason that somebody wrote stays."""
    for key in ("form", "cause"):
        entry.pop(key, None)
    written = not str(entry.get("reason", "")).startswith(_REASON)
    entry.update({k: v for k, v in failure.items() if k != "reason" or not written})


def _declaration(found: PropertyResult, diagnosis: Diagnosis | None) -> dict[str, str]:
    reason = found.reason.partition("; ")[2] if found.reason.startswith(ANOTHER) else found.reason
    message = str((found.counterexample or {}).get("message", reason))
    entry = {"property": found.id, "reason": f"{_REASON}: {_first(message)}"}
    known = {"form": form_of(reason, found.counterexample), "cause": cause_of(diagnosis, found.id)}
    return entry | {k: v for k, v in known.items() if v}


def _first(reason: str) -> str:
    return reason.partition(";")[0][:160]
