"""The command line of ``mhsa init``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mhsa.commands.options.shared import SUBJECT, Arguments, add_command


@dataclass(frozen=True)
class InitArguments(Arguments):
    """The arguments of ``mhsa init``."""

    subjects: list[str]
    ci: bool
    bench: bool
    dry_run: bool


def add_init(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "init", InitArguments,
        help="set up a repository: configuration and a test; with --ci and --bench a CI workflow and benchmarks",
        description="Write a starting point into this repository: [tool.mhsa] in pyproject.toml, and a test file that runs the "
        "properties in your own pytest. mhsa first imports the subjects in a separate process; if one cannot be imported, it "
        "writes nothing. Without SUBJECT it takes what is configured already, or else the only class here that looks like an "
        "attention. It never changes what exists.",
        epilog="examples: mhsa init mypackage.attention:Attention; mhsa init a.py b.py:Attention --ci; exit codes: 0 written "
        "or there already, 2 it could not be",
    )  # fmt: skip
    add = parser.add_argument
    add("subjects", nargs="*", metavar="SUBJECT", default=[], help=SUBJECT)
    add("--ci", action="store_true", help="also write a workflow for GitHub that verifies every change")
    add("--bench", action="store_true", help="also write benchmarks: for asv, over commits, and for pytest-benchmark")
    add("--dry-run", action="store_true", help="print what would be written, and write nothing")
