"""What became of a property: its outcome, the reason and the figures, made of what it raised and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis.errors import Flaky

from mhsa.records.errors import SubjectError, describe
from mhsa.subject import check

if TYPE_CHECKING:
    pass


def find(record: check.Record, error: BaseException | None) -> dict[str, Any]:
    """Return the result of a property: its outcome, in the words of the JSON, and its figures."""
    outcome, reason, counterexample = "pass", "", None
    violation = _search(error, check.Violation)
    if record.ended is not None:
        outcome, reason, counterexample = record.ended
    elif isinstance(error, pytest.skip.Exception):
        outcome, reason = "not-applicable", str(getattr(error, "msg", error))
    elif violation is not None:
        outcome, reason, counterexample = "fail", str(violation), violation.facts
        if _search(error, Flaky) is not None:
            reason += "; and the same call gave another result the next time: the subject is not deterministic"
    elif error is not None:
        outcome = "error"
        reason = str(error) if isinstance(error, SubjectError) else f"mhsa itself failed: {describe(error)}"
    elif record.cases == 0:
        outcome, reason = "error", "no case ran, so nothing was judged"
    elif record.expected_failure:
        outcome, reason = "expected-failure", record.expected_failure
    finite = record.worst is not None and record.worst < float("inf")
    return {
        "outcome": outcome,
        "cases": record.cases,
        "worst_error_over_bound": record.worst if finite else None,
        "worst_by_dtype": {k: v for k, v in record.ratios.items() if v < float("inf")},
        "reason": reason,
        "counterexample": counterexample,
    }


def _search(error: BaseException | None, kind: type[Any]) -> Any:
    """Return the first exception of a kind in an error and in the groups and causes that it carries."""
    if error is None or isinstance(error, kind):
        return error
    inner = [*getattr(error, "exceptions", ()), error.__cause__]
    return next((inside for e in inner if (inside := _search(e, kind)) is not None), None)


def explain(finding: dict[str, Any], name: str) -> str:
    """Return the lines that pytest prints for a failure."""
    case = (finding["counterexample"] or {}).get("case") or {}
    lines = [f"{finding['id']}  {name}", finding["reason"]]
    return "\n".join([*lines, f"smallest case: {case['words']}"] if case else lines)
