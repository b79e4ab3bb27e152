"""Judges subjects in child processes, one or several at a time, and goes on after one that died or took too long.

This process imports neither torch nor the subject, so nothing that a subject does to its interpreter reaches it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from mhsa.records.catalogue import catalogue
from mhsa.records.errors import UsageError
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.run import cuda_errors
from mhsa.run.child import Child, Event, Listener
from mhsa.run.claims import Claims
from mhsa.run.endings import abandon_after_crashes, mark_missing, record_crash, record_hanging_end, record_import_error
from mhsa.run.listener import take_turns
from mhsa.run.look_back import look_back
from mhsa.run.pytest_output import error_line
from mhsa.run.sandbox import child_environment

__all__ = ["CannotRun", "Event", "Interrupted", "Listener", "Options", "child_environment", "run"]


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
            look_back(request, result, options)
    return results


class _SubjectGroup:
    """Subjects that are judged by the same processes."""

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
        """Judge them, by as many processes at a time as the options say."""
        several = self.options.workers > 1
        claims = Claims(self.folder / "claims") if several else None
        folders = [self.folder / f"worker-{n}" for n in range(self.options.workers)] if several else [self.folder]
        last = take_turns([self._judge(folder, claims) for folder in folders])
        if not any(child.planned for child in last) and not all(child.finished for child in last) and len(self.members) > 1:
            self._one_by_one()  # each alone shows which one it was
            return
        for child in last:
            mark_missing(child)
        self._take_coverage()

    def _judge(self, folder: Path, claims: Claims | None) -> Generator[None, None, Child]:
        """Judge what no other process has taken, by one process, or by as many as die on the way; return the last one."""
        while True:
            child = Child(self.options, self.requests, folder, self.results, self._pass_on, claims)
            yield from child.run()
            if child.refused:
                raise CannotRun(error_line(child.output))
            if child.finished:
                record_hanging_end(child)
                record_import_error(child)
                return child
            if not child.planned and len(self.members) > 1:
                return child
            if child.returncode != cuda_errors.EXIT_CODE or not self._advanced(child):
                record_crash(child)
                if not child.running:
                    return child
            abandon_after_crashes(child)
            if self._all_reported(child):
                return child

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
