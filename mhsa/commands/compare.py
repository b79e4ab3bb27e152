"""``mhsa compare``: two commits side by side, from worktrees to verdicts and an exit code."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mhsa import __version__
from mhsa.commands.verify import as_interrupt
from mhsa.records.errors import UsageError
from mhsa.reports.write import require_places, write_reports

if TYPE_CHECKING:
    from mhsa.bench.compare.comparison import Comparison
    from mhsa.bench.compare.running import Comparing

_FORMATS = ("json", "markdown")


def compare(given: argparse.Namespace) -> int:
    """Compare, show, write."""
    if given.self_test:
        from mhsa.commands.self_test import self_test

        return self_test(given)
    if not given.base:
        raise UsageError("BASE is missing: name the commit, branch or tag to compare with, main say; or give --self-test")

    from mhsa.bench.compare.comparison import exit_code
    from mhsa.bench.compare.report import print_comparison
    from mhsa.bench.compare.running import Comparing
    from mhsa.bench.git.worktrees import Trees
    from mhsa.commands.selection import compared
    from mhsa.reports.line_folding import wide_console

    require_places(given, _FORMATS)
    console = wide_console(no_color=given.no_color, stderr=str(given.json) == "-")
    signal.signal(signal.SIGTERM, as_interrupt)
    with Trees(Path.cwd()) as trees:
        commits = {"base": trees.commit(given.base), "head": trees.commit(given.head or "HEAD")}
        if not given.head and (changed := trees.changes()):
            raise UsageError(
                f"uncommitted changes in {', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''}: commits are "
                "compared, so commit them, or name HEAD to leave them out"
            )
        changed = trees.changed(commits["base"], commits["head"])
        places = {side: trees.place(sha) for side, sha in commits.items()}
        run = Comparing(given, console, places, *compared(given, Path(places["head"].folder)), changed)
        run.notes += trees.notes
        comparisons = run.comparisons()
    names = {side: f"{sha[:10]}" for side, sha in commits.items()}
    console.print(f"\n  base {names['base']}  {given.base}\n  head {names['head']}  {given.head or 'HEAD'}")
    print_comparison(console, comparisons, run.machine, run.notes)
    code = exit_code(comparisons, allow_undecided=given.allow_undecided)
    problems = _write(given, comparisons, run, names, code)
    for problem in problems:
        print(f"mhsa: {problem}", file=sys.stderr)
    return 2 if problems else code


def _write(
    given: argparse.Namespace, comparisons: Sequence[Comparison], run: Comparing, names: dict[str, str], code: int
) -> list[str]:
    """Write the files that were asked for; return what could not be written, after all the others are."""
    from mhsa.bench.compare.comparison import overall
    from mhsa.bench.compare.report import markdown

    def as_json() -> str:
        data = {
            "schema": "mhsa-compare-1", "mhsa": __version__, "exit_code": code, "verdict": overall(comparisons),
            "commits": names, "threshold": run.terms.threshold_of(apart=False),
            "threshold_apart": run.terms.threshold_of(apart=True), "machine": run.machine, "notes": run.notes,
            "benchmarks": [c.as_dict() for c in comparisons],
        }  # fmt: skip
        return json.dumps(data, indent=2) + "\n"

    def as_markdown() -> str:
        return markdown(comparisons, run.machine, names["base"], names["head"], run.notes)

    return write_reports(given, {"json": as_json, "markdown": as_markdown})
