"""Has a process say how a subject is read; no property runs."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from mhsa.records.lines_to_paste import answers
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.records.understood import Understood
from mhsa.run.listener import listen
from mhsa.source.missing_files import missing


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
        lines: list[str] = []
        deadline = time.monotonic() + timeout
        overdue = False

        def take(line: str) -> bool:
            lines.append(line)
            return False  # the answer is one line, and nothing comes after it

        def too_late() -> bool:
            nonlocal overdue
            overdue = time.monotonic() > deadline
            return overdue

        code, output = listen(command, folder, folder / "answer.json", take, too_late)
    try:
        answer = json.loads("".join(lines))
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        last = [line.strip() for line in output.splitlines() if line.strip()][-1:]
        ended = f"did not end within {timeout:g} s, so it was ended (--timeout)" if overdue else f"ended with exit code {code}"
        result.reason = f"the process {ended} while the subject was loaded{f' ({last[0][:200]})' if last else ''}"
        return result
    result.question, result.reason, result.declaration = answer["question"], answer["reason"], answer["declaration"]
    result.declare = answers(result.declaration, request)
    result.reading = [Understood(**part) for part in answer["reading"]]
    result.notes = [(topic, text) for topic, text in answer["notes"]]
    result.not_judged, result.place = answer["not_judged"], answer["place"] and tuple(answer["place"])
    return result
