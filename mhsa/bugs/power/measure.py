"""Measure the power of the suite: every property, and other tools, on every known bug and every right variant."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mhsa.bugs.mutants.registry import Mutant, mutants, right
from mhsa.bugs.power.evaluate import evaluate
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.power_record import OtherTool, Power
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.run.runner import Event, Listener, Options, child_environment, run

_TOGETHER = 40  # subjects in one run: pytest collects ten thousands of items for all, which takes minutes on a busy machine
_PATIENCE = 600.0  # seconds for the other tools; they take a quarter of one per subject


def subjects() -> tuple[str, ...]:
    """Return everything that is judged: the mutants, then the right variants."""
    return (*(m.spec for m in mutants()), *right())


def measure(workers: int, listen: Listener = lambda event: None) -> Power:
    """Measure everything anew.

    Raises:
        CannotRun: pytest refuses to start.
        RuntimeError: the other tools could not be run.
    """
    started = time.monotonic()
    known, variants = mutants(), right()
    results = judge(subjects(), workers, listen)
    listen(Event("what quick leaves out"))
    others = judge_elsewhere([m for m in known if m.killed_in], workers, lambda event: None)
    listen(Event("running the other tools"))
    other_tools = _other_tools(known, variants, workers)
    return evaluate(results, others, other_tools, time.monotonic() - started)


def judge(names: tuple[str, ...], workers: int, listen: Listener) -> list[SubjectResult]:
    """Judge subjects by all properties of the quick profile; failures are not shrunk."""
    results: list[SubjectResult] = []
    for start in range(0, len(names), _TOGETHER):
        requests = tuple(map(Request.of, names[start : start + _TOGETHER]))

        def pass_on(event: Event, before: int = start) -> None:
            listen(replace(event, subject=before + event.subject) if event.subject else event)

        results += run(Options(requests, workers=workers, shrink=False), pass_on)
    return results


def judge_elsewhere(known: Sequence[Mutant], workers: int, listen: Listener) -> list[SubjectResult]:
    """Judge mutants where quick does not look: by the slow properties too, or in float16 alone."""
    if not known:
        return []
    # Every id has "test_" in it, and what -k names is run in quick too.
    requests = tuple(Request.of(m.spec, dtypes=("float16",) if "float16" in m.killed_in else DEFAULT_DTYPES) for m in known)
    return run(Options(requests, keyword="test_", workers=workers, shrink=False), listen)


def _other_tools(known: Sequence[Mutant], variants: Sequence[str], workers: int) -> dict[str, OtherTool]:
    names = {m.spec: m.name for m in known}
    answers = _run_tools([*names, *variants], workers)
    return {
        tool: OtherTool(
            found=tuple(names[a["subject"]] for a in answers if a["subject"] in names and tool in a["tools_that_fail"]),
            alarms=tuple(a["subject"] for a in answers if a["subject"] not in names and tool in a["tools_that_fail"]),
        )
        for tool in answers[0]["tools"]
    }


def _run_tools(specs: Sequence[str], workers: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="mhsa-") as folder:
        parts = [specs[n :: max(workers, 1)] for n in range(max(workers, 1))]
        files = [Path(folder) / f"{n}.jsonl" for n in range(len(parts))]
        processes = [
            subprocess.Popen(
                [sys.executable, "-P", "-m", "mhsa.bugs.power.baselines", str(file), *part],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=child_environment(Path(folder)),
            )
            for file, part in zip(files, parts, strict=True)
        ]  # fmt: skip
        for process in processes:
            _, errors = process.communicate(timeout=_PATIENCE)
            if process.returncode:
                raise RuntimeError(f"the other tools could not be run: {errors.strip().splitlines()[-1:]}")
        answers = {a["subject"]: a for file in files for a in map(json.loads, file.read_text().splitlines())}
    return [answers[spec] for spec in specs]
