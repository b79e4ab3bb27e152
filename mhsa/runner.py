"""Starts pytest in a child process, reads its events as they come, and goes on after a child that died.

This process imports neither torch nor the subject, so nothing that a subject does to its interpreter reaches it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.catalogue import catalogue, properties_folder, property_id
from mhsa.results import PropertyResult, SubjectResult


@dataclass(frozen=True)
class Options:
    """What ``mhsa verify`` was asked for; without ``shrink`` (only for ``mhsa power``) failures stay as they are found."""

    subjects: tuple[str, ...]
    profile: str = "quick"
    seed: int = 0
    dtypes: tuple[str, ...] = ()
    device: str = "cpu"
    keyword: str = ""
    exit_first: bool = False
    workers: int = 0
    shrink: bool = True


@dataclass(frozen=True)
class Event:
    """Something happened: ``kind`` is "loading", "running" (``id`` of a property) or "done" (with its result)."""

    kind: str
    subject: int = 0
    id: str = ""
    result: PropertyResult | None = None


_IN_A_CALL = " in a call"
_DEATHS = 3

Listener = Callable[[Event], None]


class CannotRun(Exception):
    """pytest refused to start: the message says why."""


def run(options: Options, listen: Listener = lambda event: None) -> list[SubjectResult]:
    """Judge every subject.

    Raises:
        CannotRun: the options cannot be run, whatever the subjects.
    """
    results = [SubjectResult(name) for name in options.subjects]
    with tempfile.TemporaryDirectory(prefix="mhsa-") as folder:
        while True:
            child = _Child(options, Path(folder), results, listen)
            child.run()
            if child.finished:
                break
            _settle_death(child, results)
            if child.running is None:
                break
            _give_up(child, results)
        _miss(child, results)
    order = [p.id for p in catalogue()]
    for result in results:
        result.properties.sort(key=lambda p: order.index(p.id))  # workers finish in any order
        if not result.properties and not result.reason:
            result.reason = (
                f"no property matches -k {options.keyword!r}; `mhsa properties` lists them"
                if options.keyword
                else "no property ran"
            )
    return results


class _Child:
    """One pytest process and what it has said so far."""

    def __init__(self, options: Options, folder: Path, results: list[SubjectResult], listen: Listener) -> None:
        self.options = options
        self.results = results
        self.listen = listen
        self.folder = folder
        self.running: tuple[int, str] | None = None
        self.finished = False
        self.planned: dict[int, list[str]] = {}
        self.returncode = 0
        self.said = ""

    def run(self) -> None:
        events, output = self.folder / "events.jsonl", self.folder / "output.txt"
        events.write_text("")
        self.listen(Event("loading"))
        with output.open("wb") as sink:
            process = subprocess.Popen(self._command(events), stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       env=self._environment())  # fmt: skip
            try:
                for line in _follow(events, process):
                    self._hear(json.loads(line))
            finally:
                if process.poll() is None:
                    process.kill()
                self.returncode = process.wait()
        self.said = output.read_text(errors="replace")
        if self.returncode in (3, 4) and not any(r.properties for r in self.results):
            raise CannotRun(_error_line(self.said))

    def _command(self, events: Path) -> list[str]:
        o = self.options
        (self.folder / "pytest.ini").write_text("[pytest]\n")  # the user's own pytest settings are for the user's tests
        done = [[n, p.id] for n, r in enumerate(self.results, 1) for p in r.properties]
        if o.exit_first:  # a new child does not know who has failed already
            done += [[n, p.id] for n, r in enumerate(self.results, 1) if r.count("fail") for p in catalogue()]
        (self.folder / "skip.json").write_text(json.dumps(done))
        properties = properties_folder()
        command = [
            sys.executable, "-P", "-m", "pytest", str(properties), "-c", str(self.folder / "pytest.ini"),
            "--rootdir", str(properties), "-p", "mhsa.plugin", "-p", "pytest_reportlog.plugin", "-p", "no:cacheprovider",
            "--report-log", str(events), "-q", "--tb=short",
            "--attention-profile", o.profile, "--attention-seed", str(o.seed), "--attention-device", o.device,
            "--attention-skip", str(self.folder / "skip.json"),
        ]  # fmt: skip
        for name in o.subjects:
            command.append(f"--attention={name}")
        for dtype in o.dtypes:
            command.append(f"--attention-dtype={dtype}")
        if o.keyword:
            command += ["-k", o.keyword]
        if o.exit_first:
            command.append("--attention-exitfirst")
        if not o.shrink:
            command += ["--attention-no-shrink", "--no-summary"]  # which takes minutes for thousands of failures
        if o.workers > 1:
            # A worker that died fails the property that it ran, and is replaced however often that takes.
            command += ["-p", "xdist", "-n", str(o.workers), "--max-worker-restart", "10000"]
        return command

    def _environment(self) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # other people's plugins cost time and may change the run
        environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(self.folder / "hypothesis")
        for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # cases are small: threads only wait for each other
            environment.setdefault(threads, "1")
        return environment

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("$report_type") == "SessionFinish":
            self.finished = True
        if event.get("$report_type") != "TestReport":
            return
        identity = property_id(event["nodeid"])
        said = dict(event.get("user_properties", []))
        if "mhsa-subject" in said:
            about = said["mhsa-subject"]
            self.results[about["number"] - 1].notes = [(topic, words) for topic, words in about["notes"]]
            self.planned[about["number"]] = about["planned"]
            self.running = (about["number"], identity)
            self.listen(Event("running", about["number"], identity))
        if "mhsa" in said:
            finding = said["mhsa"]
            number = finding.pop("number")
            result = self.results[number - 1]
            self.running = None
            if not result.notes and finding["outcome"] == "error":
                result.reason = finding["reason"]  # it could not even be loaded
                return
            self._add(number, PropertyResult(**finding))
        elif event["outcome"] == "failed":  # a report that xdist makes for a worker that could not make it
            number = int(event["nodeid"].rpartition("[")[2].rstrip("]"))
            reason = "the worker process died in a call"
            self._add(number, PropertyResult(identity, "fail", reason=reason))

    def _add(self, number: int, found: PropertyResult) -> None:
        self.results[number - 1].properties.append(found)
        self.listen(Event("done", number, found.id, found))


def _follow(path: Path, process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield the lines of a growing file until the process that writes it has ended."""
    with path.open(encoding="utf-8") as file:
        rest = ""
        while True:
            ended = process.poll() is not None  # asked before reading, so the last lines are not missed
            text = file.read()
            *lines, rest = (rest + text).split("\n")
            yield from lines
            if ended:
                return
            if not text:
                time.sleep(0.02)


def _settle_death(child: _Child, results: list[SubjectResult]) -> None:
    """Record what a child that died was doing: a property is failed by it, loading leaves the subject unjudged."""
    cause = f"the process ended with exit code {child.returncode}"
    if child.returncode < 0:
        cause = f"the process was killed by {signal.Signals(-child.returncode).name}"
    if child.running is None:
        for result in results:
            if not result.properties:
                result.reason = f"{cause} while subjects were loaded; {_error_line(child.said)}"
        return
    number, identity = child.running
    child._add(number, PropertyResult(identity, "fail", reason=f"{cause}{_IN_A_CALL}"))


def _give_up(child: _Child, results: list[SubjectResult]) -> None:
    """A subject that has killed three processes would kill one in every property: the rest of it is not run."""
    for number, planned in child.planned.items():
        result = results[number - 1]
        if sum(p.reason.endswith(_IN_A_CALL) for p in result.properties) < _DEATHS:
            continue
        _lose(planned, result, f"not run: this subject has killed {_DEATHS} processes")


def _miss(child: _Child, results: list[SubjectResult]) -> None:
    """Leave no gap: what was going to run and gave no result is an error, so the subject cannot hold."""
    for number, planned in child.planned.items():
        result = results[number - 1]
        if child.options.exit_first and result.count("fail"):
            continue
        _lose(planned, result, "gave no result")


def _lose(planned: list[str], result: SubjectResult, reason: str) -> None:
    """Record an error for every property that was planned and has no result."""
    missing = sorted(set(planned) - {p.id for p in result.properties})
    result.properties += [PropertyResult(identity, "error", reason=reason) for identity in missing]


def _error_line(said: str) -> str:
    """Return the line of pytest's output that tells what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith(("ERROR", "E  ", "error:"))]
    return (errors or lines or ["it said nothing"])[-1]
