"""Judges subjects in child processes, and goes on after one that died or took too long.

This process imports neither torch nor the subject, so nothing that a subject does to its interpreter reaches it.
"""

from __future__ import annotations

import json
import re
import sysconfig
import tempfile
from dataclasses import replace
from pathlib import Path

from mhsa.records.catalogue import catalogue
from mhsa.records.errors import UsageError
from mhsa.records.explained import ask_instead, is_violation
from mhsa.records.lines_to_paste import answers
from mhsa.records.options import Options
from mhsa.records.request import Request, nearest_id, unmatched
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.run import cuda_errors
from mhsa.run.child import Child, Event, Listener
from mhsa.run.listener import how_it_ended
from mhsa.run.sandbox import child_environment

__all__ = ["CannotRun", "Event", "Interrupted", "Listener", "Options", "child_environment", "run"]

_IN_A_CALL = " in a call"
_DEATHS = 3
_PLANNED = (0, 1, 5)  # pytest's exit codes where it collected well: all passed, some failed, none was chosen
_RAISED = re.compile(r"(E +)?[\w.]*(Error|Exception)\b")


class CannotRun(UsageError):
    """pytest refused to start: the message says why."""


class Interrupted(KeyboardInterrupt):
    """The run was interrupted; ``results`` holds the results until then."""

    def __init__(self, results: list[SubjectResult]) -> None:
        super().__init__("interrupted")
        self.results = results


def run(options: Options, listen: Listener = lambda event: None) -> list[SubjectResult]:
    """Judge every subject.

    Raises:
        CannotRun: the options cannot be run, whatever the subjects.
        Interrupted: by the user.
    """
    requests = options.requests
    results = [SubjectResult(r.spec, label=r.label, device=r.device) for r in requests]
    # A process has one profile and one seed.
    groups: dict[tuple[str, int], list[int]] = {}
    for n, request in enumerate(requests):
        groups.setdefault((request.profile, request.seed), []).append(n)
    try:
        with tempfile.TemporaryDirectory(prefix="mhsa-", ignore_cleanup_errors=True) as folder:
            for number, members in enumerate(groups.values()):
                group = _SubjectGroup(options, requests, results, members, Path(folder) / str(number), listen)
                group.run()
    except KeyboardInterrupt:
        for result in results:
            result.interrupted = True
        raise Interrupted(results) from None
    finally:
        order = {p.id: n for n, p in enumerate(catalogue())}
        for request, result in zip(requests, results, strict=True):
            result.properties.sort(key=lambda p: order[p.id])  # workers finish in any order
            _look_back(request, result, options)
    return results


def _look_back(request: Request, result: SubjectResult, options: Options) -> None:
    """Give the reason if nothing was judged, what answers a question, and warn of expectations that do not match."""
    ask_instead(result)
    result.declare = answers(result.declaration, request)
    if not result.properties and not result.reason and not result.interrupted:
        near = nearest_id(options.keyword, [p.id for p in catalogue()])
        hint = f"did you mean {near}?" if near else "`mhsa properties` lists them"
        result.reason = f"no property matches -k {options.keyword!r}; {hint}" if options.keyword else "no property ran"
    passed = [p.id for p in result.properties if p.outcome == "unexpected-pass"]
    result.warnings += [f"{identity} passes, but was expected to fail: remove it from expected_failures" for identity in passed]
    for e in unmatched(request, (p.id for p in catalogue())):
        result.warnings.append(f"expected_failures names {e.id!r}, and no property has that id; `mhsa properties` lists them")
    result.accepted = [words for words in request.not_judged if words in result.not_judged]
    if result.notes:  # what could not be loaded has nothing left to judge
        there = ", ".join(result.not_judged) or "nothing"
        result.warnings += [
            f"not_judged accepts {words!r}, and nothing is left under that name; left is {there}"
            for words in request.not_judged
            if words not in result.not_judged
        ]
    result.warnings += [f"the expected failure of {e.id} has no reason" for e in request.expected if not e.reason]


class _SubjectGroup:
    """Subjects that are judged by one process, or by as many as die on the way."""

    def __init__(
        self,
        options: Options,
        requests: tuple[Request, ...],
        results: list[SubjectResult],
        members: list[int],
        folder: Path,
        listen: Listener,
    ) -> None:
        self.options = options
        self.all_requests = requests
        self.everyone = results
        self.members = members
        self.results = [results[n] for n in members]
        self.requests = tuple(requests[n] for n in members)
        self.folder = folder
        self.listen = listen

    def run(self) -> None:
        while True:
            child = Child(self.options, self.requests, self.folder, self.results, self._pass_on)
            child.run()
            if child.refused:
                raise CannotRun(_error_line(child.output))
            if child.finished:
                _record_hanging_end(child)
                _record_import_error(child)
                break
            if not child.planned and len(self.members) > 1:  # each alone shows which one it was
                self._one_by_one()
                return
            if child.returncode != cuda_errors.EXIT_CODE or not self._advanced(child):
                _record_crash(child)
                if not child.running:
                    break
            _abandon_after_crashes(child)
            if self._all_reported(child):
                break
        _mark_missing(child)
        self._take_coverage()

    def _advanced(self, child: Child) -> bool:
        """Whether a process that ended by itself has reported what ended it."""
        return bool(child.planned) and not child.running and sum(len(r.properties) for r in self.results) > child.before

    def _all_reported(self, child: Child) -> bool:
        """Whether every subject has a result for all that it was planned for."""
        return all(
            n in child.planned and not set(child.planned[n]) - {p.id for p in result.properties}
            for n, result in enumerate(self.results, 1)
        )

    def _pass_on(self, event: Event) -> None:
        """Pass an event on, with the number that the subject has among all."""
        self.listen(replace(event, subject=self.members[event.subject - 1] + 1) if event.subject else event)

    def _one_by_one(self) -> None:
        for n in self.members:
            _SubjectGroup(self.options, self.all_requests, self.everyone, [n], self.folder / str(n), self.listen).run()

    def _take_coverage(self) -> None:
        file = self.folder / "coverage.json"
        if self.options.coverage and file.exists():
            for number, covered in json.loads(file.read_text()).items():
                self.results[int(number) - 1].coverage = covered


def _record_crash(child: Child) -> None:
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
                    f"{cause} while subjects were loaded{_crash_site(child.output) or '; ' + _error_line(child.output)}"
                )
        return
    # With workers, several were running; only the one that has been longest can be said to be it.
    number, identity = min(child.running, key=lambda key: child.running[key])
    if child.overdue:  # slow is not wrong
        child.add(number, PropertyResult(identity, "error", reason=f"a call {cause}"))
    else:
        child.add(number, PropertyResult(identity, "fail", reason=f"{cause}{_IN_A_CALL}{_crash_site(child.output)}"))


def _record_hanging_end(child: Child) -> None:
    """A process that judged everything and does not end would not end in a user's hands either."""
    if child.overdue:
        for result in child.results:
            result.reason = (
                result.reason or f"all properties finished, but the process did not exit within {child.time_limit:g} s"
            )


def _record_import_error(child: Child) -> None:
    """Where nothing was planned because the properties themselves cannot be imported (a broken torch, say), say so."""
    if child.planned or child.returncode in _PLANNED:
        return
    for result in child.results:
        if not result.properties:
            result.reason = result.reason or f"the properties could not be imported: {_error_line(child.output)}"


def _abandon_after_crashes(child: Child) -> None:
    """Abandon a subject that has ended three processes, as it would end one in every property: mark the rest as not run."""
    for number, planned in child.planned.items():
        result = child.results[number - 1]
        ends = (_IN_A_CALL, "did not end within", cuda_errors.MESSAGE)
        counted = [p for p in result.properties if p.outcome != "not-applicable"]  # a subject may refuse with an error
        ended = [p for p in counted if any(words in p.reason for words in ends)]
        if len(ended) >= _DEATHS:
            _mark_not_run(planned, result, f"not run: this subject has ended {_DEATHS} processes, or taken too long in them")


def _mark_missing(child: Child) -> None:
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


def _crash_site(output: str) -> str:
    """Return where a crash happened, from the stack that Python prints of one; libraries apart."""
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), str(Path(__file__).parents[1]))
    for file, line, function in re.findall(r'File "([^"]+)", line (\d+) in (\w+)', output):
        if not file.startswith((*libraries, "<")):
            return f" (in {function}, {file}, line {line})"
    return ""


def _error_line(output: str) -> str:
    """Return the line of pytest's output that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    raised = [line.removeprefix("E ").strip() for line in lines if _RAISED.match(line)]
    if raised:
        return raised[-1]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith(("ERROR", "E  ", "error:"))]
    return (errors or lines or ["it printed nothing"])[-1]
