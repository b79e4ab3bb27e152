"""The client of the diagnosis: a child process compares each violated subject with the known bugs, while the run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from mhsa.bugs.diagnosis.conclude import conclude
from mhsa.records.diagnosis import Diagnosis
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.run.fork_client import Process
from mhsa.run.runner import Event, Options, child_environment
from mhsa.run.sandbox import end_group, mark

_PATIENCE = 60.0  # seconds: imports take 2 to 5, a comparison 2 to 5 on a quiet machine
_PATIENCE_EACH = 30.0
_MOST_CASES = 5  # of a subject's own failing ones


class DiagnosisClient:
    """One child process; :meth:`hear` starts it at the first failure, :meth:`conclude` gets its answers."""

    def __init__(self, options: Options, *, picture: bool = False) -> None:
        self.options = options
        self.picture = picture
        self._folder = tempfile.TemporaryDirectory(prefix="mhsa-", ignore_cleanup_errors=True)
        self._process: Process | None = None
        self._requests: IO[str] | None = None
        self._token = secrets.token_hex(8)
        self._begun: set[int] = set()

    def __enter__(self) -> DiagnosisClient:
        """Be ready to listen."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process is not None:
            end_group(self._process.pid, self._token)  # what the subject has started there
        if self._requests is not None:
            with contextlib.suppress(OSError):  # what was not sent any more
                self._requests.close()
        self._folder.cleanup()

    def hear(self, event: Event) -> None:
        """At the first failure of a subject, let the child begin with it; the first of all starts the child."""
        if event.result is None or event.subject in self._begun or not self._matters(event.subject - 1, event.result):
            return
        self._begun.add(event.subject)
        if self._process is None:
            # What it prints goes to a file: a pipe stays open as long as anything lives that the subject has started.
            theirs, ours = os.pipe()
            self._requests = open(ours, "w")  # noqa: SIM115 - closed after the last request
            with self._errors.open("wb") as errors, open(os.devnull, "wb") as nothing:
                self._process = Process(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "mhsa.bugs.diagnosis.worker",
                        str(self._answers),
                        str(self.options.memory or 0),
                    ],
                    child_environment(Path(self._folder.name)) | mark(self._token),
                    (theirs, nothing.fileno(), errors.fileno()),
                )
            os.close(theirs)
        assert self._requests is not None
        with contextlib.suppress(OSError):  # conclude() notices that the child is gone
            self._requests.write(json.dumps(self._request(event.subject - 1)) + "\n")
            self._requests.flush()

    def _matters(self, number: int, p: PropertyResult) -> bool:
        """Whether the cause matters: of a failure, and of an expected one whose cause was recorded."""
        recorded = p.outcome == "expected-failure" and any(e.cause for e in self.options.requests[number].declared(p.id))
        return p.outcome == "fail" or recorded

    @property
    def _answers(self) -> Path:
        return Path(self._folder.name) / "answers.jsonl"

    @property
    def _errors(self) -> Path:
        return Path(self._folder.name) / "errors.txt"

    def conclude(self, results: list[SubjectResult]) -> dict[str, Diagnosis]:
        """Return a diagnosis for every subject with a failure whose cause matters, by its name."""
        violated = [result for n, result in enumerate(results) if any(self._matters(n, p) for p in result.properties)]
        if not violated or self._process is None:
            return {}
        labels = [request.label for request in self.options.requests]
        requests = [
            json.dumps(self._request(labels.index(r.label)) | {"cases": _failing_cases(r), "picture": self.picture})
            for r in violated
        ]
        reason = ""
        sending = threading.Thread(target=self._send, args=("\n".join(requests) + "\n",), daemon=True)
        sending.start()  # a child that does not read must not block this process
        try:
            self._process.wait(_PATIENCE + _PATIENCE_EACH * len(requests))
            lines = self._errors.read_text(errors="replace").strip().splitlines()
            reason = f"the process ended with exit code {self._process.returncode}{f': {lines[-1]}' if lines else ''}"
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            reason = f"the comparison took longer than {_PATIENCE + _PATIENCE_EACH * len(requests):.0f} s"
        sending.join(_PATIENCE)
        lines = self._answers.read_text().splitlines() if self._answers.exists() else []
        answers = [_parsed(line) for line in lines][: len(violated)]
        answers += [{"error": reason}] * (len(violated) - len(answers))
        complete = not self.options.exit_first and not self.options.keyword
        return {r.label: conclude(r, answer, complete=complete) for r, answer in zip(violated, answers, strict=True)}

    def _send(self, requests: str) -> None:
        """Send the last requests; at their end the child ends."""
        assert self._requests is not None
        with contextlib.suppress(OSError), self._requests:  # the exit code says that the child is gone
            self._requests.write(requests)

    def _request(self, number: int) -> dict[str, Any]:
        return {"request": self.options.requests[number].as_dict()}


def _parsed(line: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"error": "something else was written where the process answers"}


def _failing_cases(result: SubjectResult) -> list[dict[str, Any]]:
    """Cases on which a subject failed, in the finest dtype among them that can be compared in, from different properties."""
    from mhsa.records.case import Case  # with NumPy, which a run in which nothing fails does not need

    names = {field.name for field in fields(Case)}
    counterexamples = [
        (p.counterexample or {}).get("case") for p in result.properties if p.outcome in ("fail", "expected-failure")
    ]
    cases = [{k: v for k, v in case.items() if k in names} for case in counterexamples if case and "dtype" in case]
    finest = next((dtype for dtype in ("float64", "float32") if any(case["dtype"] == dtype for case in cases)), "")
    return [case for case in cases if case["dtype"] == finest][:_MOST_CASES]
