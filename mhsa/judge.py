"""Runs the properties under pytest: hands each its subject, keeps its figures, and turns the outcome into a finding."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest
from hypothesis.errors import Flaky

from mhsa import check
from mhsa.catalogue import FAMILIES, property_id
from mhsa.effort import cases_of, is_slow
from mhsa.loading import SubjectError, describe
from mhsa.plugin import DEFAULT_DTYPES, PROFILES, REFERENCE
from mhsa.strategies import judging
from mhsa.subject import Subject
from mhsa.surroundings import restored
from mhsa.understanding import understand

_PLUGIN = "mhsa-judge"


class PropertyFile(pytest.Module):
    """A file of ``properties/``, imported under a name that clashes with nobody's ``test_masks`` or ``properties``."""

    def _getobj(self) -> ModuleType:
        judge = Judge.of(self.config)
        spec = importlib.util.spec_from_file_location(f"mhsa.properties.{self.path.stem}", self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Hypothesis takes the profile that is loaded while @given decorates; the user's own tests keep theirs.
        before = hypothesis.settings.get_current_profile_name()
        hypothesis.settings.load_profile("mhsa")
        try:
            spec.loader.exec_module(module)
            for function in vars(module).values():
                if hypothesis.is_hypothesis_test(function):
                    hypothesis.seed(judge.config.getoption("--attention-seed"))(function)
                    most = cases_of(function, judge.config.getoption("--attention-profile"))
                    hypothesis.settings(max_examples=most)(function)
                    # Else Hypothesis tokenises the property's source for a key of its database, a millisecond each.
                    function._hypothesis_internal_database_key = f"mhsa:{self.path.stem}:{function.__name__}".encode()
        finally:
            hypothesis.settings.load_profile(before)
        return module


class Judge:
    """The session's plugin."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.names: list[str] = config.getoption("--attention") or [REFERENCE]
        self.violated: set[int] = set()
        self.unjudged = False
        self.planned: dict[int, list[str]] = {}
        skip = config.getoption("--attention-skip")
        self.skip = {(n, i) for n, i in json.loads(Path(skip).read_text())} if skip else set()
        self._subjects: list[Subject | SubjectError] | None = None
        hypothesis.settings.register_profile(
            "mhsa",
            max_examples=PROFILES[config.getoption("--attention-profile")],
            deadline=None,  # a slow machine is no bug
            database=None,  # the same command gives the same verdict
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate]
            + ([] if config.getoption("--attention-no-shrink") else [hypothesis.Phase.shrink]),
            print_blob=False,
        )

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
        """Every subject, or why it cannot be judged; loaded once."""
        if self._subjects is None:
            dtypes = tuple(dict.fromkeys(self.config.getoption("--attention-dtype"))) or DEFAULT_DTYPES
            device = self.config.getoption("--attention-device")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._subjects = []
                for name in self.names:
                    with restored():
                        self._subjects.append(load_subject(name, dtypes, device))
        return self._subjects

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give each property every subject; ids are numbers, so that -k never matches a subject's name."""
        if metafunc.definition.getparent(PropertyFile) is not None:
            metafunc.parametrize("subject", self.subjects, ids=[str(n) for n in range(1, len(self.names) + 1)])

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Finish one subject before the next, strongest properties first; one item tells why a subject is not judged."""
        ours = [item for item in items if is_ours(item)]
        for item in ours:
            item.extra_keyword_matches.add(property_id(item.nodeid))
        ours.sort(key=lambda item: (number_of(item), FAMILIES.index(property_id(item.nodeid).partition(".")[0])))
        chosen, told = [], set()
        quick = config.getoption("--attention-profile") == "quick" and not config.getoption("keyword")
        for item in ours:
            assert isinstance(item, pytest.Function)
            if quick and is_slow(item.function):
                continue
            number = number_of(item)
            broken = isinstance(self.subjects[number - 1], SubjectError)
            if (broken and number in told) or (number, property_id(item.nodeid)) in self.skip:
                continue
            told.add(number)
            chosen.append(item)
        kept = set(map(id, chosen))
        dropped = [item for item in ours if id(item) not in kept]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
        others = [item for item in items if not is_ours(item)]
        items[:] = [*chosen, *others]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what is going to run, -k and all considered, so that what never comes back is missed."""
        for item in session.items:
            if is_ours(item):
                self.planned.setdefault(number_of(item), []).append(property_id(item.nodeid))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """With --attention-exitfirst, pass over what is left of a subject that has failed; no finding comes of it."""
        if self.config.getoption("--attention-exitfirst") and is_ours(item) and number_of(item) in self.violated:
            pytest.skip("this subject has failed already")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Run a property with its subject known to the strategies, and its figures kept."""
        if not is_ours(item):
            return (yield)
        subject = self.subjects[number_of(item) - 1]
        if isinstance(subject, SubjectError):
            raise subject
        with check.recording() as record, judging(subject), restored(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "warnings are errors" is for the user's own tests: a warning is no verdict
            item.stash[_RECORD] = record
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the finding to the report, in ``user_properties``, where xdist and pytest-reportlog carry it along."""
        report = yield
        if not is_ours(item):
            return report
        number = number_of(item)
        subject = self.subjects[number - 1]
        if report.when == "setup" and isinstance(subject, Subject):
            about = {"number": number, "notes": [list(note) for note in subject.notes], "planned": self.planned[number]}
            report.user_properties = [*report.user_properties, ("mhsa-subject", about)]
        if report.when == "call" or report.failed:
            record = item.stash.get(_RECORD, check.Record())
            finding = _finding(record, report, None if call.excinfo is None else call.excinfo.value)
            finding |= {"number": number, "id": property_id(item.nodeid), "seconds": call.duration}
            report.user_properties = [*report.user_properties, ("mhsa", finding)]
            if finding["outcome"] == "expected-failure":
                report.outcome, report.wasxfail = "skipped", finding["reason"]
            elif finding["outcome"] in ("fail", "error"):
                report.outcome = "failed"
                report.longrepr = explain(finding, self.names[number - 1])
                self.violated |= {number} if finding["outcome"] == "fail" else set()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember, in xdist's controller too, whether something could not be judged."""
        said: dict[str, Any] = dict(report.user_properties)
        self.unjudged |= said.get("mhsa", {}).get("outcome") == "error"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Exit with 2 where something could not be judged, as ``mhsa verify`` does."""
        if self.unjudged and not hasattr(session.config, "workerinput"):
            session.exitstatus = 2

    def pytest_report_header(self) -> list[str]:
        """Say which number stands for which subject."""
        return [f"mhsa: [{n}] is {name}" for n, name in enumerate(self.names, 1)]


_RECORD = pytest.StashKey[check.Record]()


def is_ours(item: pytest.Item) -> bool:
    """Whether the item is one of mhsa's properties."""
    return item.getparent(PropertyFile) is not None


def number_of(item: pytest.Item) -> int:
    """Return which subject, counted from 1, an item judges."""
    assert isinstance(item, pytest.Function)
    return int(item.callspec.id)


def load_subject(name: str, dtypes: tuple[str, ...], device: str) -> Subject | SubjectError:
    """Return the subject, or why it cannot be judged."""
    try:
        require_device(device)
        return understand(name, dtypes, device)
    except SubjectError as error:
        return error


def require_device(device: str) -> None:
    """Raise SubjectError unless torch can put a tensor there."""
    import torch

    try:
        torch.zeros(1, device=device)
    except Exception as error:
        raise SubjectError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from None


def _finding(record: check.Record, report: pytest.TestReport, error: BaseException | None) -> dict[str, Any]:
    outcome, reason, counterexample = "pass", "", None
    violation = _search(error, check.Violation)
    if report.skipped:
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
    return next((found for e in inner if (found := _search(e, kind)) is not None), None)


def explain(finding: dict[str, Any], name: str) -> str:
    """Return the lines that pytest prints for a failure."""
    case = (finding["counterexample"] or {}).get("case") or {}
    lines = [f"{finding['id']}  {name}", finding["reason"]]
    return "\n".join([*lines, f"smallest case: {case['words']}"] if case else lines)
