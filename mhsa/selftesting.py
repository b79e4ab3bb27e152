"""``mhsa compare --self-test``: how often the gate is right on this machine, from a worktree to a table and an exit code."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from mhsa import __version__
from mhsa.refusing import refuse
from mhsa.reporting import require_places, write_reports
from mhsa.verifying import as_interrupt


def self_test(given: argparse.Namespace) -> int:
    """Try, show, write."""
    from rich.console import Console

    from mhsa.commits.git import GitError
    from mhsa.commits.worktrees import Trees
    from mhsa.gate.selftest import SelfTest
    from mhsa.gate.trials import tallies

    if given.head:
        refuse(f"--self-test compares one commit with itself; given were {given.base} and {given.head}")
    require_places(given, ("json", "markdown"))
    console = Console(no_color=given.no_color or None, highlight=False, stderr=str(given.json) == "-")
    signal.signal(signal.SIGTERM, as_interrupt)
    try:
        with Trees(Path.cwd()) as trees:
            commit = trees.commit(given.base or "HEAD")
            test = SelfTest(given, console, trees.place(commit))
            test.notes += trees.notes
            test.run()
    except GitError as error:
        refuse(str(error))
    if not test.trials:
        refuse("interrupted before one run had ended; nothing was concluded")
    test.print()

    def as_json() -> str:
        data = {
            "schema": "mhsa-self-test-1", "mhsa": __version__, "exit_code": test.code, "partial": test.interrupted,
            "commit": commit, "threshold": test.threshold, "apart": given.apart, "machine": test.machine, "notes": test.notes,
            "tallies": [
                asdict(t) | {"comparisons": t.comparisons, "accused": t.accused, "interval": t.interval}
                for t in tallies(test.trials)
            ],
            "trials": [trial.as_dict() for trial in test.trials],
        }  # fmt: skip
        return json.dumps(data, indent=2) + "\n"

    problems = write_reports(given, {"json": as_json, "markdown": test.markdown})
    for problem in problems:
        print(f"mhsa: {problem}", file=sys.stderr)
    return 2 if problems else test.code
