"""One pytest process that judges subjects: started, listened to, and watched for how long it takes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.records.catalogue import catalogue, properties_folder, property_id
from mhsa.records.failures.expected_failures import judged
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.records.understood import Understood
from mhsa.run.claims import Claims
from mhsa.run.listener import LOADING, listening
from mhsa.source.missing_files import missing

_ENDING = 120.0  # seconds that a process may take to end when all is judged


@dataclass(frozen=True)
class Event:
    """Something happened: ``kind`` is "loading", "running" (``id`` of a property), "done" (with its result), or other words.

    Attributes:
        planned: how many properties of this subject are going to run, as far as that is known.
    """

    kind: str
    subject: int = 0
    id: str = ""
    result: PropertyResult | None = None
    planned: int = 0


Listener = Callable[[Event], None]


class Child:
    """One process and what it has reported so far.

    Args:
        options: of the run.
        requests: the subjects that it judges.
        folder: its own.
        results: of the same subjects, which it adds to; other processes may do so, too.
        listen: is told what happens.
        claims: which properties other processes have taken, where there are others.
    """

    def __init__(
        self,
        options: Options,
        requests: tuple[Request, ...],
        folder: Path,
        results: list[SubjectResult],
        listen: Listener,
        claims: Claims | None = None,
    ) -> None:
        self.options = options
        self.requests = requests
        self.results = results
        self.before = sum(len(result.properties) for result in results)  # properties that have a result already
        self.listen = listen
        self.folder = folder
        self.claims = claims
        self.running: dict[tuple[int, str], float] = {}  # since when
        self.heard = 0.0  # when it reported something the last time, or was started
        self.began = False
        self.finished = False
        self.overdue = False
        self.garbled = False
        self.planned: dict[int, list[str]] = {}
        self.returncode = 0
        self.output = ""

    def run(self) -> Generator[None, None, None]:
        """Start it, and record what it reports until it ends or a property takes too long; yield where there is nothing new."""
        reasons = [missing(request) for request in self.requests]
        if all(reasons):  # no process is needed to find that out
            for result, reason in zip(self.results, reasons, strict=True):
                result.reason = reason
            self.finished = True
            return
        self.folder.mkdir(parents=True, exist_ok=True)  # a subject may have removed it
        events = self.folder / "events.jsonl"
        self.listen(Event("loading"))
        command = self._command(events)
        self.heard = time.monotonic()
        self.returncode, self.output = yield from listening(command, self.folder, events, self._hear_line, self._is_overdue)

    def _is_overdue(self) -> bool:
        since = self.heard if self.finished else min(self.running.values(), default=self.heard)
        self.overdue = time.monotonic() - since > self.time_limit
        return self.overdue

    @property
    def time_limit(self) -> float:
        """Seconds for what is going on: at first loading, then a property, and in the end the end of the process."""
        if self.finished:
            return _ENDING
        return self.options.time_limit if self.planned else self.options.time_limit + LOADING

    @property
    def refused(self) -> bool:
        """Whether pytest itself would not begin; a subject may end with the same exit codes."""
        return self.returncode in (3, 4) and not self.planned and (self.finished or not self.began)

    def _command(self, events: Path) -> list[str]:
        o = self.options
        profile, seed = self.requests[0].profile, self.requests[0].seed
        (self.folder / "pytest.ini").write_text("[pytest]\n")  # the user's own pytest settings are for the user's tests
        (self.folder / "requests.json").write_text(json.dumps([r.as_dict() for r in self.requests]))
        done = [[n, p.id] for n, r in enumerate(self.results, 1) for p in r.properties]
        if o.exit_first:  # a new child does not know which subjects have failed already
            done += [[n, p.id] for n, r in enumerate(self.results, 1) if r.count("fail") for p in catalogue()]
        (self.folder / "skip.json").write_text(json.dumps(done))
        properties = properties_folder()
        command = [
            sys.executable, "-P", "-m", "pytest", *_collected(properties, o.keyword), "-c", str(self.folder / "pytest.ini"),
            "--rootdir", str(properties), "-p", "mhsa.judge.plugin", "-p", "pytest_reportlog.plugin", "-p", "no:cacheprovider",
            "-p", "no:logging",  # nothing reads what a subject logs, and to collect it costs a fiftieth of the time
            "--report-log", str(events), "-q", "--tb=native",
            "--capture=no",  # what a subject prints comes here, where only the last of it is kept
            "--attention-profile", profile, "--attention-seed", str(seed),
            "--attention-skip", str(self.folder / "skip.json"), "--attention-requests", str(self.folder / "requests.json"),
        ]  # fmt: skip
        if o.keyword:
            command += ["-k", o.keyword]
        if o.exit_first:
            command.append("--attention-exitfirst")
        if not o.shrink:
            command += ["--attention-no-shrink", "--no-summary"]  # which takes minutes for thousands of failures
        if o.database:
            command += ["--attention-database", o.database]
        if o.memory and all(r.device == "cpu" for r in self.requests):  # CUDA reserves far more than it uses
            command += ["--attention-memory", str(o.memory)]
        if o.coverage:
            command += ["--attention-coverage", str(self.folder / "coverage.json")]
        if o.replay is not None:
            (self.folder / "replay.json").write_text(json.dumps(o.replay))
            command += ["--attention-replay", str(self.folder / "replay.json")]
        if o.script:
            command += ["--attention-script", o.script]
        if self.claims is not None:
            command += ["--attention-claims", str(self.claims.folder)]
        return command

    def _hear_line(self, line: str) -> bool:
        """Record an event; return whether the process may go on."""
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict):
            self.began, self.heard = True, time.monotonic()
            self._hear(event)
        else:  # something else wrote into the file: the result of a planned property may be missing
            self.garbled = True
        return not self.garbled

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("$report_type") == "SessionFinish":
            self.finished = True
        if event.get("$report_type") != "TestReport":
            return
        identity = property_id(event["nodeid"])
        properties = dict(event.get("user_properties", []))
        if "mhsa-subject" in properties:
            about = properties["mhsa-subject"]
            number = about["number"]
            result = self.results[number - 1]
            result.notes = [(topic, words) for topic, words in about["notes"]]
            result.not_judged = list(about.get("not_judged", ()))
            result.reading = [Understood(**part) for part in about.get("reading", ())]
            if "question" in about:  # it is judged under what the question says to declare
                result.question, result.reason, result.declaration = True, about["question"], about["declaration"]
            result.place = about["place"] and (about["place"][0], about["place"][1])
            self.planned[number] = about["planned"]
            if event["outcome"] != "skipped":  # by -x
                self.running[number, identity] = time.monotonic()
                result.began = result.began or time.monotonic()
            every = {p.id for p in result.properties}.union(about["planned"])  # this is not always the first process
            self.listen(Event("running", number, identity, planned=len(every)))
        if "mhsa" in properties:
            finding = properties["mhsa"]
            number, question, means = finding.pop("number"), finding.pop("question", False), finding.pop("means", [])
            unused = finding.pop("unused", "")
            result = self.results[number - 1]
            self.running.pop((number, identity), None)
            if not result.notes and finding["outcome"] == "error":
                result.question, result.reason, result.means = question, finding["reason"], means  # it was not even loaded
                result.unused = unused
                return
            self.add(number, PropertyResult(**finding))

    def add(self, number: int, result: PropertyResult) -> None:
        """Record the result of a property, judged by what the request expects.

        Where a subject has removed the claims, two processes may have judged one property: then a failure stays.
        """
        result = judged(self.requests[number - 1], result)
        mine = self.results[number - 1]
        properties = mine.properties
        before = next((p for p in properties if p.id == result.id), None)
        if before is not None:
            if before.outcome == "fail":
                return
            properties.remove(before)
        properties.append(result)
        if mine.began:
            mine.seconds = time.monotonic() - mine.began
        self.listen(Event("done", number, result.id, result))


def _collected(properties: Path, keyword: str | None) -> list[str]:
    """Return what pytest collects: the folder, without the files that have none of the properties, where all are named by ids.

    (It says less of an error in a file that is named itself.)
    """
    families = {p.id: p.family for p in catalogue()}
    named = (keyword or "").split(" or ")
    if not all(identity in families for identity in named):  # a part of an id, which pytest knows how to look for
        return [str(properties)]
    wanted = {f"test_{families[identity]}.py" for identity in named}
    return [str(properties), *(f"--ignore={file}" for file in sorted(properties.glob("test_*.py")) if file.name not in wanted)]
