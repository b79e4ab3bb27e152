"""What commands have in common: the typed arguments, the options that several of them take, and sentences of the help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from mhsa.commands.options.kinds import seconds, size
from mhsa.records.options import TIME_LIMITS

SUBJECT = (
    "package.module:attr or path/file.py[:attr]: an nn.Module class or object, a factory, a function on [B, H, T, d], or an "
    "mhsa.Adapter"
)
EXIT_CODES = "exit codes: 0 holds, 1 violated or slower, 2 a question or could not be judged"
VERDICTS = "exit codes: 0 every subject holds, 1 a subject is violated, 2 a question, or a subject could not be judged"
DEVICE = "device to run on: cpu (default), cuda, cuda:1, ..."
CONFIG = "pyproject.toml to read (default: the nearest one with [tool.mhsa])"
JSON = "write the results to FILE as JSON (format: docs/json.md); - is the standard output"


@dataclass(frozen=True)
class Arguments:
    """The arguments of a command, each with its type: what a command is called with."""

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Self:
        """Return the arguments that argparse has read; its destinations are the names of the fields."""
        return cls(**{field.name: getattr(parsed, field.name) for field in fields(cls)})


def files(**paths: Path | None) -> dict[str, Path]:
    """Return the files to write, by format; formats without a path are left out."""
    return {name: path for name, path in paths.items() if path is not None}


def add_command(
    subparsers: Any, name: str, arguments: type[Arguments], *, needs_torch: bool = False, **texts: str
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        subparsers: of the command line.
        name: of the command; ``mhsa.commands.NAME.NAME`` runs it.
        arguments: what that function is called with.
        needs_torch: whether the command cannot do anything without torch.
        texts: ``help``, ``description`` and ``epilog``.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(name, **texts)
    parser.set_defaults(arguments=arguments, needs_torch=needs_torch)
    return parser


def add_limits(add: Callable[..., Any]) -> None:
    """Add the limits of every process that judges a subject, and how output looks."""
    limits = ", ".join(f"{name} {seconds:g}" for name, seconds in TIME_LIMITS.items())
    add("--timeout", type=seconds, metavar="SECONDS", help=f"time limit per property (default: {limits})")
    add("--memory", type=size, metavar="SIZE", help="memory limit, e.g. 8GiB (default: 3/4 of the machine's memory)")
    add_no_color(add)


def add_no_color(add: Callable[..., Any]) -> None:
    """Add the option for plain text."""
    add("--no-color", action="store_true", help="print plain text, also on a terminal")
