"""What came of a property, in the light of the failures that were declared: expected, unexpected, or another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mhsa.records.failures.failure_form import form_of
from mhsa.records.power_record import recorded
from mhsa.records.request import Expected, Request
from mhsa.records.results import PropertyResult, SubjectResult

if TYPE_CHECKING:
    from mhsa.records.diagnosis import Diagnosis

ANOTHER = "another failure took the place of the expected one"


def judged(request: Request, result: PropertyResult) -> PropertyResult:
    """Return a result as the declarations of its subject make it."""
    declared = request.declared(result.id)
    if not declared or result.outcome not in ("pass", "fail"):
        return result
    if result.outcome == "pass":
        return replace(result, outcome="unexpected-pass", reason=f"expected to fail: {declared[0].words}")
    form = form_of(result.reason, result.counterexample)
    expected = next((e for e in declared if e.accepts(form)), None)
    if expected is not None:
        return replace(result, outcome="expected-failure", reason=f"{expected.words}; {result.reason}")
    forms = " or ".join(dict.fromkeys(repr(e.form) for e in declared))
    return replace(result, reason=f"{ANOTHER}: expected is {forms}, found {form!r}; {result.reason}")


def judged_here(request: Request, identity: str, outcome: Any, reason: str, facts: Any) -> PropertyResult:
    """Return the same for a finding that is not a :class:`PropertyResult` yet."""
    return judged(request, PropertyResult(identity, outcome, reason=reason, counterexample=facts))


def compare_causes(
    requests: Sequence[Request], results: Sequence[SubjectResult], diagnoses: Mapping[str, Diagnosis]
) -> dict[str, Diagnosis]:
    """Make violations of expected failures whose confirmed cause is another one now; return the diagnoses of what fails."""
    for request, result in zip(requests, results, strict=True):
        diagnosis = diagnoses.get(result.label)
        if diagnosis is None or not diagnosis.cases:  # the comparison could not be made: nothing is known
            continue
        now = cause_of(diagnosis)
        for n, p in enumerate(result.properties):
            if p.outcome == "expected-failure" and (was := _changed(request.declared(p.id), now)):
                cause = f"its cause was {was}, and is {now or 'no known bug'} now"
                result.properties[n] = replace(p, outcome="fail", reason=f"{ANOTHER}: {cause}; {_observed(p)}")
    failing = {result.label for result in results if result.count("fail")}
    return {label: diagnosis for label, diagnosis in diagnoses.items() if label in failing}


def _observed(result: PropertyResult) -> str:
    """Return what was observed, without the reason for which it was expected."""
    return str((result.counterexample or {}).get("message") or result.reason)


def cause_of(diagnosis: Diagnosis | None, identity: str = "") -> str:
    """Return the names of the known bugs that a diagnosis confirms, in one text; empty where it confirms none.

    With ``identity``, of those that are known to fail this property: what else fails has another cause.
    """
    if diagnosis is None or diagnosis.kind != "confirmed":
        return ""
    known = recorded().mutants
    names = [cause.name for cause in diagnosis.causes]
    return " or ".join(n for n in names if not identity or (n in known and identity in known[n].kills))


def _changed(declared: Sequence[Expected], now: str) -> str:
    """Return the cause that was recorded, where it is not among those that are confirmed now; else an empty string."""
    if not declared or any(not e.cause or set(e.cause.split(" or ")) & set(now.split(" or ")) for e in declared):
        return ""
    return " or ".join(dict.fromkeys(e.cause for e in declared))
