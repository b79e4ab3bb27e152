"""The command line of ``mhsa compare``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.bench.compare.settings import APART, APART_SECONDS, THRESHOLD, TOGETHER_SECONDS
from mhsa.bench.measure.measurement import PASSES, Pass
from mhsa.commands.options.declarations import add_declarations
from mhsa.commands.options.kinds import dtype, percent, seconds, size, whole
from mhsa.commands.options.shared import DEVICE, JSON, Arguments, add_command, add_no_color, files

SHAPES = ("exercise", "encoder 128", "encoder 512")


@dataclass(frozen=True)
class SelectionArguments(Arguments):
    """Which subjects and benchmarks ``mhsa compare`` and ``mhsa history`` measure."""

    subjects: list[str]
    keyword: str
    shape: list[str]
    passes: list[Pass]
    dtype: list[str]
    device: str | None
    contract: list[tuple[str, Any]]
    argument: list[tuple[str, Any]]


@dataclass(frozen=True)
class CompareArguments(SelectionArguments):
    """The arguments of ``mhsa compare``; None where the default depends on how commits are measured."""

    base: str
    head: str
    threshold: float | None
    budget: float | None
    apart: bool
    self_test: bool
    runs: int | None
    accept: str | None
    allow_undecided: bool
    verify: bool
    timeout: float | None
    memory: int | None
    no_color: bool
    json: Path | None
    html: Path | None
    markdown: Path | None

    @property
    def files(self) -> dict[str, Path]:
        """What to write, by format."""
        return files(json=self.json, html=self.html, markdown=self.markdown)


def add_compare(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "compare", CompareArguments, needs_torch=True,
        help="decide whether a commit made a subject slower, more costly, or wrong",
        description="Compare two commits of this repository in one process: the subjects that [tool.mhsa] configures, or "
        "--subject. mhsa first verifies both commits (quick profile). Blocks of milliseconds alternate, and mhsa repeats "
        "them in new processes while a benchmark is undecided and there is time. Operators, bytes and peak memory are compared "
        "exactly. Where head is slower or costs more, mhsa then names the lines and operators that make the difference.",
        epilog="examples: mhsa compare main; mhsa compare v1.0 HEAD -k training; mhsa compare main --accept "
        "'float64 softmax'; mhsa compare --self-test --runs 5; exit codes: "
        "0 not slower, or accepted, 1 slower, more costly, wrong or suspect (docs/benchmarks.md), 2 undecided or bad usage",
    )  # fmt: skip
    add = parser.add_argument
    add("base", metavar="BASE", nargs="?", default="", help="a commit, branch or tag")
    add("head", metavar="HEAD", nargs="?", default="",
        help="another one (default: HEAD; then there must be no uncommitted changes)")  # fmt: skip
    add_selection(add, "at HEAD")
    add("--threshold", type=percent, metavar="PERCENT",
        help=f"smallest slow-down that matters (default: {100 * THRESHOLD:g}; {100 * APART:g} if processes are separate)"
    )  # fmt: skip
    add("--budget", type=seconds, metavar="SECONDS",
        help=f"time for all measurements (default: {TOGETHER_SECONDS:g}; {APART_SECONDS:g} in separate processes)")  # fmt: skip
    add("--apart", action="store_true",
        help="measure each commit in separate processes; mhsa does so by itself if one process cannot load both")  # fmt: skip
    add("--self-test", action="store_true",
        help="measure how often the regression check is right on this machine: compare one commit with itself, unchanged and "
        "made slower by 3, 5, 10 and 20 per cent (those that reach the threshold); takes an hour, and continues an interrupted "
        "self-test if --json names its file")  # fmt: skip
    add("--runs", type=whole, metavar="N",
        help="runs of the self-test without a change (default: for 200 comparisons); a fifth per slow-down")  # fmt: skip
    add("--accept", metavar="REASON", nargs="?", const="",
        help="keep what is slower or costs more, with its figures and this reason, in mhsa-accepted.toml; it is then judged "
        "against base times what is accepted, and every verdict says so (docs/gate.md)")  # fmt: skip
    add("--allow-undecided", action="store_true", help="exit with 0 if the result is inconclusive")
    add("--no-verify", dest="verify", action="store_false", help="only compare results with the oracle at each shape")
    add("--timeout", type=seconds, metavar="SECONDS", help="time limit per step (default: 300)")
    add(
        "--memory", type=size, metavar="SIZE", help="memory limit per process, e.g. 8GiB (default: 3/4 of the machine's memory)"
    )
    add_no_color(add)
    add("--json", type=Path, metavar="FILE", help=JSON)
    add("--html", type=Path, metavar="FILE",
        help="write everything as one page, with flame graphs of what makes the difference")  # fmt: skip
    add(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="write the comment for a pull request; GitHub's step summary always gets it",
    )


def add_selection(add: Callable[..., Any], where: str) -> None:
    """Add the options that say which subjects and benchmarks; without any, subjects are what is configured ``where``."""
    add("--subject", action="append", default=[], metavar="SUBJECT", dest="subjects",
        help=f"package.module:attr or path/file.py[:attr]; repeatable (default: what is configured {where})")  # fmt: skip
    add("-k", dest="keyword", default="", metavar="TEXT", help="measure only benchmarks whose name contains TEXT")
    add("--shape", action="append", default=[], metavar="SHAPE",
        help=f"as in mhsa bench; repeatable (default: {', '.join(SHAPES)})")  # fmt: skip
    add("--pass", dest="passes", action="append", choices=PASSES, default=[], help="forward or training (default: both)")
    add("--dtype", action="append", metavar="DTYPE", type=dtype, default=[], help="repeatable (default: float32)")
    add("--device", help=DEVICE)
    add_declarations(add)
