"""The command line of ``mhsa history``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.commands.options.compare import SelectionArguments, add_selection
from mhsa.commands.options.kinds import seconds, size
from mhsa.commands.options.shared import JSON, add_command, add_no_color, files

NEWEST = 20  # commits, where no range is given
BUDGET = 0.3  # seconds of blocks for each figure, so that a commit takes less than ten


@dataclass(frozen=True)
class HistoryArguments(SelectionArguments):
    """The arguments of ``mhsa history``."""

    range: str
    budget: float
    timeout: float | None
    memory: int | None
    again: bool
    results: Path | None
    publish: bool
    no_color: bool
    json: Path | None
    html: Path | None

    @property
    def files(self) -> dict[str, Path]:
        """What to write, by format."""
        return files(json=self.json, html=self.html)


def add_history(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "history", HistoryArguments, needs_torch=True,
        help="measure commits one by one, and find the commit at which performance changed",
        description="Measure the subjects that [tool.mhsa] configures in the working tree, or --subject, at each commit of a "
        "range, in this environment: each commit in its own worktree and process, its results compared with the oracle first. "
        "The last commit is measured first, then the first, then the ones between. mhsa stores the figures as results of asv, "
        "and asv publish draws them. It does not measure again what is stored.",
        epilog="examples: mhsa history; mhsa history v1.0..HEAD -k training; exit codes: 0 the history is stored, whatever it "
        "shows (mhsa compare checks for regressions), 2 nothing could be measured at any commit, the results could not be "
        "written, interrupted, or bad usage",
    )  # fmt: skip
    add = parser.add_argument
    add("range", metavar="RANGE", nargs="?", default="",
        help=f"v1.0..HEAD, main~5.., or one commit; first parents only (default: the newest {NEWEST} up to HEAD)")  # fmt: skip
    add_selection(add, "here")
    add("--budget", type=seconds, default=BUDGET, metavar="SECONDS",
        help=f"time for the blocks of each figure (default: {BUDGET:g})")  # fmt: skip
    add("--timeout", type=seconds, metavar="SECONDS", help="time limit per step (default: 300)")
    add(
        "--memory", type=size, metavar="SIZE", help="memory limit per process, e.g. 8GiB (default: 3/4 of the machine's memory)"
    )
    add("--again", action="store_true", help="measure again what is stored")
    add("--results", type=Path, metavar="FOLDER",
        help="folder of asv's results (default: results_dir of asv.conf.json, or else .asv/results)")  # fmt: skip
    add("--no-publish", dest="publish", action="store_false", help="do not run asv publish at the end")
    add_no_color(add)
    add("--json", type=Path, metavar="FILE", help=JSON)
    add("--html", type=Path, metavar="FILE",
        help="write the history as one page that needs no network: each series, its steps, and what is accepted")  # fmt: skip
