"""Runs the properties under pytest: passes each its subject, keeps its figures, and adds the finding to the report."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mhsa.introspect.questions import quiet
from mhsa.judge.finding import explain, find
from mhsa.judge.loaded_subjects import LoadedSubjects
from mhsa.judge.property_modules import Effort, import_properties
from mhsa.judge.strategies import judging
from mhsa.records.case_files.case_json import decode
from mhsa.records.catalogue import catalogue, is_slow, property_id
from mhsa.records.errors import Question, SubjectError, describe
from mhsa.records.explained import is_violation
from mhsa.records.failures.expected_failures import judged_here
from mhsa.records.power_record import recorded
from mhsa.reports.phrases import not_judged
from mhsa.run.claims import Claims
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.torch_settings import on_one_thread, restored

_PLUGIN = "mhsa-judge"


class PropertyFile(pytest.Module):
    """A file of ``properties/``, imported with the effort of this session."""

    def _getobj(self) -> ModuleType:
        return import_properties(self.path, Judge.of(self.config).effort)


class Judge:
    """The session's plugin."""

    def __init__(self, config: pytest.Config) -> None:
        option = config.getoption
        self.config = config
        self.loaded = LoadedSubjects(config)
        self.requests = self.loaded.requests
        replay = option("--attention-replay")
        self.effort = Effort(
            profile=option("--attention-profile"),
            seed=option("--attention-seed"),
            shrink=not option("--attention-no-shrink"),
            database=option("--attention-database"),
            replay=None if replay is None else decode(json.loads(Path(replay).read_text())),
        )
        self.violated: set[int] = set()
        self.unjudged = False
        self.left: dict[int, list[str]] = {}
        self.planned: dict[int, list[str]] = {}
        skip = option("--attention-skip")
        self.skip = {(n, i) for n, i in json.loads(Path(skip).read_text())} if skip else set()
        claims = option("--attention-claims")
        self.claims = Claims(Path(claims)) if claims else None

    @classmethod
    def of(cls, config: pytest.Config) -> Judge:
        """Return the judge of this session; the first call makes it."""
        judge: Judge | None = config.pluginmanager.get_plugin(_PLUGIN)
        if judge is None:
            judge = cls(config)
            config.pluginmanager.register(judge, _PLUGIN)
        return judge

    @property
    def subjects(self) -> list[Subject | SubjectError]:
        """Every subject, or why it cannot be judged; the first call loads them."""
        return self.loaded.subjects

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give each property the subjects that it judges; ids are numbers, so that -k never matches a subject's name."""
        if metafunc.definition.getparent(PropertyFile) is None:
            return
        identity = property_id(metafunc.definition.nodeid)
        numbers = [n for n in range(1, len(self.requests) + 1) if (n, identity) not in self.skip]
        # Making thousands of items takes longer than judging; none at all would be a test that is skipped without a subject.
        numbers = numbers or [1]
        metafunc.parametrize("subject", [self.subjects[n - 1] for n in numbers], ids=map(str, numbers))

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
        """Finish one subject before the next, strongest properties first; one item reports why a subject is not judged."""
        for item in items:
            if is_ours(item):
                item.extra_keyword_matches.add(property_id(item.nodeid))
        yield  # -k takes its part away first: the item that reports why a subject is not judged must be among the rest
        ours = [item for item in items if is_ours(item)]
        order = {identity: n for n, identity in enumerate(recorded().order)}  # one that was not measured yet comes last
        ours.sort(key=lambda item: (number_of(item), order.get(property_id(item.nodeid), len(order))))
        chosen, reported = [], set()
        quick = config.getoption("--attention-profile") == "quick" and not config.getoption("keyword")
        for item in ours:
            if quick and is_slow(property_id(item.nodeid)):
                continue
            number = number_of(item)
            broken = isinstance(self.subjects[number - 1], SubjectError)
            if (broken and number in reported) or (number, property_id(item.nodeid)) in self.skip:
                continue
            reported.add(number)
            chosen.append(item)
        kept = set(map(id, chosen))
        dropped = [item for item in ours if id(item) not in kept]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
        others = [item for item in items if not is_ours(item)]
        items[:] = [*chosen, *others]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which properties are going to run, -k included, so that one without a result is noticed."""
        for item in session.items:
            if is_ours(item):
                self.planned.setdefault(number_of(item), []).append(property_id(item.nodeid))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """With --attention-claims, run what no other process has taken, without a report of the rest."""
        if self.claims is None or session.testsfailed:  # pytest says what could not be collected
            return None
        for item in session.items:
            if self.claims.take(number_of(item), property_id(item.nodeid)):
                # Which one comes next is not known yet, so pytest keeps nothing for it.
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """With --attention-exitfirst, skip the other properties of a subject that has failed; a skipped one has no finding."""
        if self.config.getoption("--attention-exitfirst") and is_ours(item) and number_of(item) in self.violated:
            pytest.skip("this subject has failed already")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Run a property with the strategies drawing for its subject, and keep its figures."""
        if not is_ours(item):
            return (yield)
        subject = self.subjects[number_of(item) - 1]
        if isinstance(subject, SubjectError):
            raise subject
        with check.recording() as record, judging(subject), quiet():
            item.stash[_RECORD] = record
            if self.config.getoption("--attention-script"):
                from mhsa.judge.script.recorded_calls import Recorder

                record.recorder = Recorder()
            try:
                with restored(), on_one_thread():  # which also puts back what torch itself replaces for a setting
                    return (yield)
            finally:  # whether or not the property holds
                compiles = is_slow(property_id(item.nodeid))  # torch's compiler starts processes of its own
                changes = self.loaded.watch.changes(processes=not compiles)
                if changes:
                    record.drop_tensors()  # which may have come from a replaced function
                    check.fail(f"a call {changes}, but must leave the process alone", what="call", observed=changes)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the finding to the report, in ``user_properties``, which xdist and pytest-reportlog pass on."""
        report = yield
        if not is_ours(item):
            return report
        number = number_of(item)
        subject = self.subjects[number - 1]
        if report.when == "setup" and isinstance(subject, Subject):
            about = self.loaded.described(number, subject)
            report.user_properties = [*report.user_properties, ("mhsa-subject", about | {"planned": self.planned[number]})]
        if report.when == "call" or report.failed:
            record = item.stash.get(_RECORD, check.Record())
            finding = find(record, None if call.excinfo is None else call.excinfo.value)
            if isinstance(subject, Question):
                finding |= {"question": True, "means": list(subject.means)}
            if isinstance(subject, SubjectError):
                finding |= {"unused": subject.unused}
            finding |= {"number": number, "id": property_id(item.nodeid), "seconds": call.duration}
            if record.recorder is not None and isinstance(subject, Subject):
                self._write_script(finding, subject, record)
            record.forget()
            report.user_properties = [*report.user_properties, ("mhsa", finding)]
            if finding["outcome"] == "expected-failure":
                report.outcome, report.wasxfail = "skipped", finding["reason"]
            elif finding["outcome"] in ("fail", "error"):
                report.outcome = "failed"
                request = self.requests[number - 1]
                report.longrepr = explain(finding, request.label)
                light = judged_here(request, finding["id"], finding["outcome"], finding["reason"], finding["counterexample"])
                if is_violation(light):
                    self._end_subject(number)
        return report

    def _end_subject(self, number: int) -> None:
        """Note that a subject is violated; with --attention-exitfirst no process judges it further."""
        self.violated.add(number)
        if self.claims is not None and self.config.getoption("--attention-exitfirst"):
            self.claims.take_all(number, self.planned[number])

    def _write_script(self, finding: dict[str, Any], subject: Subject, record: check.Record) -> None:
        from mhsa.judge.script.standalone_script import write_script

        summary = next(p.summary for p in catalogue() if p.id == finding["id"])
        path = Path(self.config.getoption("--attention-script"))
        message = finding["reason"] or "it holds"
        try:
            write_script(path, self.requests[0], subject, finding["id"], summary, message, record.recorder.calls)
        except Exception as error:
            reason = str(error) if isinstance(error, SubjectError) else f"mhsa itself failed: {describe(error)}"
            finding |= {"outcome": "error", "reason": reason}

    def pytest_runtest_logfinish(self) -> None:
        """Once the property that made the GPU unusable is reported, leave the others to another process."""
        self.loaded.end_without_cuda()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember, in xdist's controller too, whether something could not be judged."""
        about_all: dict[str, Any] = dict(report.user_properties)
        self.unjudged |= about_all.get("mhsa", {}).get("outcome") == "error"
        about = about_all.get("mhsa-subject", {})
        if about.get("not_judged"):
            self.left[about["number"]] = about["not_judged"]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Exit with 2 where something could not be judged, as ``mhsa verify`` does."""
        self.loaded.write_coverage()
        if self.unjudged and not hasattr(session.config, "workerinput"):
            session.exitstatus = 2

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was not judged of which subject."""
        for number, left in sorted(self.left.items()):
            terminalreporter.write_line(f"mhsa: [{number}] {not_judged(left)}")

    def pytest_report_header(self) -> list[str]:
        """Say which number stands for which subject."""
        return [f"mhsa: [{n}] is {name}" for n, name in enumerate((r.label for r in self.requests), 1)]


_RECORD = pytest.StashKey[check.Record]()


def is_ours(item: pytest.Item) -> bool:
    """Whether the item is one of mhsa's properties."""
    return item.getparent(PropertyFile) is not None


def number_of(item: pytest.Item) -> int:
    """Return which subject, counted from 1, an item judges."""
    assert isinstance(item, pytest.Function)
    return int(item.callspec.id)
