"""The subjects of a session that runs the properties: loaded once, and what loading and judging them does to the process."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mhsa.introspect.questions import load_under, without_judging
from mhsa.judge.side_effects import SideEffectMonitor
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request, read_requests
from mhsa.run import cuda_errors
from mhsa.run.process_limits import end_with_parent, limit_memory
from mhsa.subject.guard import treat_interrupt_as_violation
from mhsa.subject.subject import Subject

if TYPE_CHECKING:
    from mhsa.judge.line_coverage import Covering


class LoadedSubjects:
    """The requests of a session and their subjects.

    Attributes:
        requests: what is judged, in order.
        questions: by the number of a subject, from 1: what its understanding left open.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.requests = _requests(config)
        self.questions: dict[int, Question] = {}
        self._config = config
        self._subjects: list[Subject | SubjectError] | None = None
        self._watch: SideEffectMonitor | None = None
        self._covering: Covering | None = None

    @property
    def subjects(self) -> list[Subject | SubjectError]:
        """Every subject, or why it cannot be judged; loaded once."""
        if self._subjects is None:
            if self._config.getoption("--attention-coverage"):
                from mhsa.judge.line_coverage import Covering

                self._covering = Covering()
            limit_memory(self._config.getoption("--attention-memory"))
            self._watch = SideEffectMonitor()
            if self._config.getoption("--attention-requests"):
                self._watch.listen()
            self._subjects = []
            for number, request in enumerate(self.requests, 1):
                self._subjects.append(self._load(request, number))
        return self._subjects

    def _load(self, request: Request, number: int) -> Subject | SubjectError:
        loaded = load_under(request)
        subject = loaded.subject
        if loaded.question is not None:
            self.questions[number] = loaded.question
            if loaded.question.means and request.is_unnamed:
                subject = loaded.question  # each is judged instead
            if not self._config.getoption("--attention-requests"):  # a green run would hide the question
                subject = without_judging(request, loaded)
        self.end_without_cuda()
        changes = self.watch.changes(processes=False)  # a library may start processes when it is imported
        return SubjectError(f"loading {request.label} {changes}; nothing can be judged with that") if changes else subject

    def described(self, number: int, subject: Subject) -> dict[str, Any]:
        """Return what a report says of how a subject was understood."""
        about = {
            "number": number,
            "notes": [list(note) for note in subject.notes],
            "place": subject.place,
            "not_judged": list(subject.not_judged),
            "reading": [asdict(part) for part in subject.understood],
        }
        question = self.questions.get(number)
        return about if question is None else about | {"question": str(question), "declaration": question.declaration}

    @property
    def watch(self) -> SideEffectMonitor:
        """What notes how subjects change the process; from before the first one was loaded."""
        assert self._watch is not None
        return self._watch

    def end_without_cuda(self) -> None:
        """End a process that was started by ``mhsa verify``; a worker's last report would be lost with it."""
        ours = self._config.getoption("--attention-requests") and not hasattr(self._config, "workerinput")
        if ours and cuda_errors.context_is_unusable():
            os._exit(cuda_errors.EXIT_CODE)

    def write_coverage(self) -> None:
        """Write which lines of the subjects' files ran, where that was requested."""
        if self._covering is not None:
            places = {n: s.place for n, s in enumerate(self.subjects, 1) if isinstance(s, Subject)}
            files = {n: place[0] for n, place in places.items() if place is not None}
            self._covering.write(Path(self._config.getoption("--attention-coverage")), files)


def _requests(config: pytest.Config) -> list[Request]:
    option = config.getoption
    file = option("--attention-requests")
    if file:  # started by mhsa verify
        end_with_parent()
        treat_interrupt_as_violation()
        sys.dont_write_bytecode = True  # importing leaves nothing in the user's folders either
        try:
            return list(read_requests(Path(file)))
        except ValueError as error:
            raise pytest.Collector.CollectError(f"--attention-requests {error}") from None
    dtypes = tuple(dict.fromkeys(option("--attention-dtype")))
    names = option("--attention")
    if not names or not all(name.strip() for name in names):
        raise pytest.Collector.CollectError(
            "the properties judge a subject, and none is named: pytest --attention package.module:attr (or path/file.py[:attr])"
        )
    return [Request.of(name, dtypes=dtypes, device=option("--attention-device")) for name in names]
