"""The command line of ``mhsa compare``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mhsa.bench.compare.settings import APART, APART_SECONDS, THRESHOLD, TOGETHER_SECONDS
from mhsa.bench.measure.measurement import PASSES
from mhsa.commands.options.arguments import dtype, percent, seconds, size, whole
from mhsa.commands.options.declarations import add_declarations

SHAPES = ("exercise", "encoder 128", "encoder 512")


def add_compare(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "compare",
        help="say whether a commit made a subject slower, or more costly, or wrong",
        description="Compare two commits of this repository side by side in one process: what [tool.mhsa] configures, or "
        "--subject. Both are verified first (quick profile). Blocks of milliseconds take turns, and are repeated in fresh "
        "processes while something is undecided and there is time. Operators, bytes and peak memory are compared exactly.",
        epilog="examples: mhsa compare main; mhsa compare v1.0 HEAD -k training; mhsa compare --self-test --runs 5; exit "
        "codes: 0 not slower, 1 slower, more costly or wrong, 2 it could not be decided or bad usage",
    )
    add = parser.add_argument
    add("base", metavar="BASE", nargs="?", default="", help="a commit, branch or tag")
    add("head", metavar="HEAD", nargs="?", default="", help="another (default: HEAD; then nothing may be uncommitted)")
    add_choice(add, "at HEAD")
    add("--threshold", type=percent, metavar="PERCENT",
        help=f"a slow-down that matters (default: {100 * THRESHOLD:g}; {100 * APART:g} where commits are apart)")  # fmt: skip
    add("--budget", type=seconds, metavar="SECONDS",
        help=f"for all measurements (default: {TOGETHER_SECONDS:g}; {APART_SECONDS:g} where commits are apart)")  # fmt: skip
    add("--apart", action="store_true",
        help="give each commit processes of its own, as is done by itself for what cannot be loaded twice")  # fmt: skip
    add("--self-test", action="store_true",
        help="compare one commit with itself, as it is and made slower by 3, 5, 10 and 20 per cent (those that reach the "
        "threshold), to see how often the gate is right on this machine; takes an hour, and goes on where it was ended "
        "if --json names its file")  # fmt: skip
    add("--runs", type=whole, metavar="N",
        help="of the self-test, with nothing changed (default: for 200 comparisons); a fifth for each slow-down")  # fmt: skip
    add("--allow-undecided", action="store_true", help="exit with 0 where it cannot be told")
    add("--no-verify", dest="verify", action="store_false", help="compare results with the oracle at each shape only")
    add("--timeout", type=seconds, metavar="SECONDS", help="most for one step (default: 300)")
    add("--memory", type=size, metavar="SIZE", help="most for a process, 8GiB say (default: 3/4 of the machine's)")
    add("--no-color", action="store_true", help="plain text, also on a terminal")
    add("--json", type=Path, metavar="FILE", help="write everything there; - is the standard output")
    add("--markdown", type=Path, metavar="FILE", help="write the table for a pull request")
    parser.set_defaults(run="compare.compare")


def add_choice(add: Callable[..., Any], where: str) -> None:
    """Add the options that say which subjects and benchmarks; without any, subjects are what is configured ``where``."""
    add("--subject", action="append", default=[], metavar="SUBJECT", dest="subjects",
        help=f"package.module:attr or path/file.py[:attr]; repeatable (default: what is configured {where})")  # fmt: skip
    add("-k", dest="keyword", default="", metavar="TEXT", help="only benchmarks whose name contains it")
    add("--shape", action="append", default=[], metavar="SHAPE",
        help=f"as in mhsa bench; repeatable (default: {', '.join(SHAPES)})")  # fmt: skip
    add("--pass", dest="passes", action="append", choices=PASSES, default=[], help="forward or training (default: both)")
    add("--dtype", action="append", metavar="DTYPE", type=dtype, default=[], help="repeatable (default: float32)")
    add("--device", help="where to run: cpu (default), cuda, cuda:1, ...")
    add_declarations(add)
