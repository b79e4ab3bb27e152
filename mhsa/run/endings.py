"""How a process of a subject ended, written down as results: crashed, taking too long, hanging, or with properties left out."""

from __future__ import annotations

from mhsa.records.explained import is_violation
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.run import cuda_errors
from mhsa.run.child import Child
from mhsa.run.listener import how_it_ended
from mhsa.run.pytest_output import crash_site, error_line

DEATHS = 3  # processes that a subject may end before it is abandoned
_IN_A_CALL = " in a call"
_PLANNED = (0, 1, 5)  # pytest's exit codes where it collected well: all passed, some failed, none was chosen


def record_crash(child: Child) -> None:
    """Record what a child was doing when it crashed or was ended: a running property fails, loading leaves it unjudged."""
    if child.overdue:
        cause = f"did not end within {child.time_limit:g} s, so it was ended (--timeout)"
    elif child.returncode == cuda_errors.EXIT_CODE:
        cause = cuda_errors.MESSAGE
    elif child.garbled:
        cause = "something else was written where the process reports, so it was ended"
    else:
        cause = how_it_ended(child.returncode)
    if not child.running:
        for result in child.results:
            if not result.properties and not result.reason:
                result.reason = (
                    f"{cause} while subjects were loaded{crash_site(child.output) or '; ' + error_line(child.output)}"
                )
        return
    # A subject that writes events itself may have begun more: the one that has been longest can be said to be it.
    number, identity = min(child.running, key=lambda key: child.running[key])
    if child.overdue:  # slow is not wrong
        child.add(number, PropertyResult(identity, "error", reason=f"a call {cause}"))
    else:
        child.add(number, PropertyResult(identity, "fail", reason=f"{cause}{_IN_A_CALL}{crash_site(child.output)}"))


def record_hanging_end(child: Child) -> None:
    """A process that judged everything and does not end would not end in a user's hands either."""
    if child.overdue:
        for result in child.results:
            result.reason = (
                result.reason or f"all properties finished, but the process did not exit within {child.time_limit:g} s"
            )


def record_import_error(child: Child) -> None:
    """Where nothing was planned because the properties themselves cannot be imported (a broken torch, say), say so."""
    if child.planned or child.returncode in _PLANNED:
        return
    for result in child.results:
        if not result.properties:
            result.reason = result.reason or f"the properties could not be imported: {error_line(child.output)}"


def abandon_after_crashes(child: Child) -> None:
    """Abandon a subject that has ended three processes, as it would end one in every property: mark the rest as not run."""
    for number, planned in child.planned.items():
        result = child.results[number - 1]
        ends = (_IN_A_CALL, "did not end within", cuda_errors.MESSAGE)
        counted = [p for p in result.properties if p.outcome != "not-applicable"]  # a subject may refuse with an error
        ended = [p for p in counted if any(words in p.reason for words in ends)]
        if len(ended) >= DEATHS:
            _mark_not_run(planned, result, f"not run: this subject has ended {DEATHS} processes, or taken too long in them")


def mark_missing(child: Child) -> None:
    """Record an error for each planned property without a result, so that the subject cannot hold."""
    for number, planned in child.planned.items():
        result = child.results[number - 1]
        if child.options.exit_first and any(map(is_violation, result.properties)):
            continue
        _mark_not_run(planned, result, "gave no result")


def _mark_not_run(planned: list[str], result: SubjectResult, reason: str) -> None:
    """Record an error for every property that was planned and has no result."""
    missing = sorted(set(planned) - {p.id for p in result.properties})
    result.properties += [PropertyResult(identity, "error", reason=reason) for identity in missing]
