"""Failures that a declaration would explain: where there are no others, they are a question and no verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mhsa.records.results import PropertyResult, SubjectResult


def explanation(p: PropertyResult) -> dict[str, Any]:
    """Return the fields of the contract under which the failure would be none; empty where nothing explains it."""
    return dict((p.counterexample or {}).get("declaration") or {})


def is_violation(p: PropertyResult) -> bool:
    """Whether a property fails in a way that no declaration would explain."""
    return p.outcome == "fail" and not explanation(p)


def ask_instead(result: SubjectResult) -> None:
    """Where a declaration would explain every failure, make them a question; under it these properties do not apply.

    A subject that fails in any other way too is violated, and all its failures are shown: the declaration would not clear it.
    """
    failed = [p for p in result.properties if p.outcome == "fail"]
    if not failed or any(map(is_violation, failed)):
        return
    for p in failed:
        result.declaration = result.declaration | explanation(p)
        asked = (p.counterexample or {}).get("question") or p.reason
        if asked not in result.reason.split("\n"):  # several properties may ask the same
            result.reason = "\n".join(filter(None, [result.reason, asked]))
        instead = replace(p, outcome="not-applicable", reason=f"not promised: {p.reason}", counterexample=None)
        result.properties[result.properties.index(p)] = instead
    result.question = True
