"""The command line of ``mhsa history``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mhsa.commands.options.arguments import seconds, size
from mhsa.commands.options.compare import add_choice

NEWEST = 20  # commits, where no range is given
BUDGET = 0.3  # seconds of blocks for each figure, so that a commit takes less than ten


def add_history(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "history",
        help="measure commits one by one, and say at which one the ratio to the floor makes a step",
        description="Measure what [tool.mhsa] configures in the working tree, or --subject, at each commit of a range, in this "
        "environment: a worktree beside the repository, a process, its results compared with the oracle first. The last commit "
        "comes first, then the first, then the middle ones. Figures are kept as results of asv, and asv publish draws them; "
        "what is there already is not measured again.",
        epilog="examples: mhsa history; mhsa history v1.0..HEAD -k training; exit codes: 0 the history is there, whatever it "
        "shows (the gate is mhsa compare), 2 nothing could be measured at any commit, it could not be written, it was "
        "interrupted, or bad usage",
    )
    add = parser.add_argument
    add("range", metavar="RANGE", nargs="?", default="",
        help=f"v1.0..HEAD, main~5.., or one commit; first parents (default: the newest {NEWEST} up to HEAD)")  # fmt: skip
    add_choice(add, "here")
    add("--budget", type=seconds, default=BUDGET, metavar="SECONDS", help=f"of blocks for each figure (default: {BUDGET:g})")
    add("--timeout", type=seconds, metavar="SECONDS", help="most for one step (default: 300)")
    add("--memory", type=size, metavar="SIZE", help="most for a process, 8GiB say (default: 3/4 of the machine's)")
    add("--again", action="store_true", help="measure again what is there")
    add("--results", type=Path, metavar="FOLDER",
        help="of asv's results (default: results_dir of asv.conf.json, or else .asv/results)")  # fmt: skip
    add("--no-publish", dest="publish", action="store_false", help="do not draw asv's pages at the end")
    add("--no-color", action="store_true", help="plain text, also on a terminal")
    add("--json", type=Path, metavar="FILE", help="write everything there; - is the standard output")
    parser.set_defaults(run="history.history")
