"""The command line: reads the arguments, runs the command, and turns errors into a message and an exit code."""

from __future__ import annotations

import argparse
import errno
import importlib
import sys

from mhsa import __version__
from mhsa.commands.options.bench import add_bench
from mhsa.commands.options.compare import add_compare
from mhsa.commands.options.history import add_history
from mhsa.commands.options.init import add_init
from mhsa.commands.options.parser import Parser, parse
from mhsa.commands.options.power import add_power
from mhsa.commands.options.probe import add_probe
from mhsa.commands.options.properties import add_properties
from mhsa.commands.options.replay import add_replay
from mhsa.commands.options.shared import EXIT_CODES
from mhsa.commands.options.verify import add_diagnose, add_verify
from mhsa.commands.require_torch import require_torch
from mhsa.records.distribution import clash
from mhsa.records.errors import UsageError, folded

_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; exit with 2 where the command cannot be carried out."""
    try:
        return _run(arguments)
    except UsageError as error:
        print(folded(f"{error.program}: {error}"), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("mhsa: interrupted; nothing was concluded", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `mhsa properties | head`
        sys.stderr.close()
        return 2
    except OSError as error:
        if error.errno not in _FULL:
            return _internal(error)
        where = f" for {error.filename}" if error.filename else ""
        message = f"no room left{where}, so nothing was concluded; free some, or point TMPDIR to another disk"
        print(f"mhsa: {message}", file=sys.stderr)
        return 2
    except Exception as error:  # an error of ours must not look like a verdict on the subject, which exits with 1
        return _internal(error)


def _run(arguments: list[str] | None) -> int:
    parser = _parser()
    parsed: argparse.Namespace = parse(parser, arguments)
    name: str | None = parsed.command
    if name is None:
        parser.print_help()
        return 2
    if parsed.needs_torch:
        require_torch()
    if message := clash():
        raise UsageError(message)
    command = getattr(importlib.import_module(f"mhsa.commands.{name}"), name)  # imports what it needs, so --help is fast
    code: int = command(parsed.arguments.of(parsed))
    return code


def _internal(error: Exception) -> int:
    from mhsa.records.errors import describe

    print(f"mhsa: internal error, nothing was concluded; please report it: {describe(error)}", file=sys.stderr)
    return 2


def _parser() -> Parser:
    parser = Parser(
        prog="mhsa",
        description="Verify attention implementations: formal properties, drawn cases, derived bounds.",
        epilog=f"mhsa help COMMAND shows the options of a command; {EXIT_CODES}",
    )
    parser.add_argument("--version", action="version", version=f"mhsa {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for add in (
        add_verify, add_probe, add_diagnose, add_replay, add_init, add_power, add_bench, add_compare, add_history,
        add_properties,
    ):  # fmt: skip
        add(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
