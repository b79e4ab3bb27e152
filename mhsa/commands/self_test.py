"""``mhsa compare --self-test``: how often the gate is right on this machine, from a worktree to a table and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from pathlib import Path

from mhsa.commands.verify import as_interrupt
from mhsa.records.errors import UsageError
from mhsa.reports.write import require_places, write_report, write_reports


def self_test(given: argparse.Namespace) -> int:
    """Try, show, write."""
    from mhsa.bench.compare.self_test import SelfTest
    from mhsa.bench.compare.self_test_file import as_data, go_on
    from mhsa.bench.git.worktrees import Trees
    from mhsa.commands.selection import compared
    from mhsa.reports.line_folding import wide_console

    if given.head:
        raise UsageError(f"--self-test compares one commit with itself; given were {given.base} and {given.head}")
    require_places(given, ("json", "markdown"))

    file = None if str(given.json) == "-" else given.json

    def as_json() -> str:
        return json.dumps(as_data(test, commit), indent=2) + "\n"

    def keep() -> None:
        if file:
            with contextlib.suppress(OSError):  # which is told at the end, when there is no more time to mend it
                write_report(file, as_json())

    console = wide_console(no_color=given.no_color, stderr=str(given.json) == "-")
    signal.signal(signal.SIGTERM, as_interrupt)
    with Trees(Path.cwd()) as trees:
        commit = trees.commit(given.base or "HEAD")
        place = trees.place(commit)
        test = SelfTest(given, console, place, *compared(given, Path(place.folder)), keep)
        go_on(test, commit, file)
        test.notes += trees.notes
        test.run()
    if not test.trials:
        raise UsageError("interrupted before one run had ended; nothing was concluded")
    test.print()
    problems = write_reports(given, {"json": as_json, "markdown": test.markdown})
    for problem in problems:
        print(f"mhsa: {problem}", file=sys.stderr)
    return 2 if problems else test.code
