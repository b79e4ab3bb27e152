"""Asks a process how a subject is read; no property runs."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from mhsa.records.answers import answers
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.records.understood import Understood
from mhsa.run.sandbox import Contained
from mhsa.source.missing_files import missing

_TICK = 0.02  # seconds between two looks


def probe(request: Request, timeout: float, memory: int | None = None) -> SubjectResult:
    """Return how a subject is read, or its ``reason`` why it is not, without a property.

    Args:
        request: the subject.
        timeout: seconds that importing and understanding it may take.
        memory: bytes for the process; None for no limit.
    """
    result = SubjectResult(request.spec, label=request.label, device=request.device, reason=missing(request))
    if result.reason:  # no process is needed to find that out
        return result
    with tempfile.TemporaryDirectory(prefix="mhsa-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "requests.json").write_text(json.dumps([request.as_dict()]))
        limit = memory if memory and request.device == "cpu" else 0  # CUDA reserves far more than it uses
        command = [sys.executable, "-P", "-m", "mhsa.introspect.probe_worker", name, str(limit)]
        begun = time.monotonic()
        process = Contained(command, folder)
        overdue = False
        try:
            while process.running and not overdue:
                time.sleep(_TICK)
                overdue = time.monotonic() - begun > timeout
        finally:
            code, said = process.end()
        try:
            answer = json.loads((folder / "answer.json").read_text())
        except (OSError, ValueError):
            answer = None
    if not isinstance(answer, dict):
        last = [line.strip() for line in said.splitlines() if line.strip()][-1:]
        ended = f"did not end within {timeout:g} s, so it was ended (--timeout)" if overdue else f"ended with exit code {code}"
        result.reason = f"the process {ended} while the subject was loaded{f' ({last[0][:200]})' if last else ''}"
        return result
    result.question, result.reason, result.declaration = answer["question"], answer["reason"], answer["declaration"]
    result.declare = answers(result.declaration, request)
    result.reading = [Understood(**part) for part in answer["reading"]]
    result.notes = [(topic, words) for topic, words in answer["notes"]]
    result.not_judged, result.place = answer["not_judged"], answer["place"] and tuple(answer["place"])
    return result
