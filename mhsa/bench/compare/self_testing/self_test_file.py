"""What a self-test has found, as JSON: written after every run, and gone on with by another one that asks for the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mhsa import __version__
from mhsa.bench.compare.self_testing.self_test import SelfTest
from mhsa.bench.compare.self_testing.self_test_runs import BenchmarkVerdict, SelfTestRun, Tally, tallies
from mhsa.records.errors import UsageError

SCHEMA = "mhsa-self-test-1"


def as_data(test: SelfTest, commit: str) -> dict[str, Any]:
    """Return all that is known until now."""
    return {
        "schema": SCHEMA, **conditions(test, commit), "exit_code": test.code, "partial": bool(test.left),
        "machine": test.machine, "notes": test.notes,
        "tallies": [_tally(tally) for tally in tallies(test.trials)],
        "trials": [trial.as_dict() for trial in test.trials],
    }  # fmt: skip


def conditions(test: SelfTest, commit: str) -> dict[str, Any]:
    """Return what runs must have in common to be counted together, in addition to the machine."""
    terms = test.comparing.terms
    return {
        "mhsa": __version__, "commit": commit, "threshold": test.threshold, "apart": terms.apart,
        "budget": terms.budget_of(apart=terms.apart), "benchmarks": [b.id for b in test.comparing.benchmarks],
    }  # fmt: skip


def go_on(test: SelfTest, commit: str, path: Path | None) -> None:
    """Take the runs over that a file holds whose self-test was ended early; refuse to replace those that do not fit."""
    found = _read(path) if path else {}
    if found.get("schema") != SCHEMA or not found.get("partial") or not found.get("trials"):
        return
    from mhsa.bench.measure.machine import describe_machine

    now = conditions(test, commit) | {"machine": describe_machine(test.comparing.benchmarks[0].request.device, 1, keeping=True)}
    other = [name for name, value in now.items() if found.get(name) != value]
    if other:
        raise UsageError(
            f"--json {path} has a self-test that was ended early (runs: {len(found['trials'])}), but of another "
            f"{' and '.join(other)}; name another file, or remove that one"
        )
    test.machine = found["machine"]
    test.trials = [_trial(trial) for trial in found["trials"]]
    test.notes.append(f"{len(test.trials)} of the runs are from before, as {path} has them")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # not there, or something else, which is replaced as any report is
    return found if isinstance(found, dict) else {}


def _tally(tally: Tally) -> dict[str, Any]:
    return asdict(tally) | {"comparisons": tally.comparisons, "accused": tally.accused, "interval": tally.interval}


def _trial(data: Mapping[str, Any]) -> SelfTestRun:
    verdicts = (BenchmarkVerdict(**{**v, "rounds": tuple(v["rounds"])}) for v in data["verdicts"])
    return SelfTestRun(data["slow_down"], data["seconds"], tuple(verdicts))
