"""The command line: its options and its help. Each command names the function that does it."""

from __future__ import annotations

import argparse
import errno
import importlib
import sys
from pathlib import Path

from mhsa import __version__
from mhsa.commands.options.arguments import dtype, seconds, size, whole
from mhsa.commands.options.bench import add_bench
from mhsa.commands.options.compare import add_compare
from mhsa.commands.options.declarations import add_declarations
from mhsa.commands.options.history import add_history
from mhsa.commands.options.parser import Parser, parse
from mhsa.commands.require_torch import require_torch
from mhsa.records.defaults import DTYPES, PROFILES
from mhsa.records.distribution import clash
from mhsa.records.options import TIME_LIMITS

_SUBJECT = (
    "package.module:attr or path/file.py[:attr]: an nn.Module class or object, a factory, a function on [B, H, T, d], or an "
    "mhsa.Adapter"
)
_EXIT = "exit codes: 0 every subject holds, 1 a subject is wrong, 2 a subject could not be judged or bad usage"

_JUDGING = ("verify", "probe", "diagnose", "replay", "power", "bench", "compare", "history")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    options = parse(parser, arguments)
    if options.command is None:
        parser.print_help()
        return 2
    if options.command in _JUDGING and not getattr(options, "recorded", False):
        require_torch()
    try:
        if words := clash():
            print(f"mhsa: {words}", file=sys.stderr)
            return 2
        module, _, command = options.run.partition(".")  # each imports what it needs, so that --help is there at once
        code: int = getattr(importlib.import_module(f"mhsa.commands.{module}"), command)(options)
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
        words = f"no room left{where}, so nothing was concluded; free some, or point TMPDIR to another disk"
        print(f"mhsa: {words}", file=sys.stderr)
        return 2
    except Exception as error:  # an error of ours must not look like a verdict on the subject, which exits with 1
        return _internal(error)
    return code


def _internal(error: Exception) -> int:
    from mhsa.records.errors import describe

    print(f"mhsa: internal error, nothing was concluded; please report it: {describe(error)}", file=sys.stderr)
    return 2


def _parser() -> Parser:
    parser = Parser(
        prog="mhsa",
        description="Know that an attention implementation is right: formal properties, drawn cases, derived bounds.",
        epilog="mhsa help COMMAND shows the options of one; " + _EXIT,
    )
    parser.add_argument("--version", action="version", version=f"mhsa {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")

    verify = subparsers.add_parser(
        "verify",
        help="verify implementations against the properties",
        description="Verify implementations. Without SUBJECT, what [tool.mhsa.subjects] in pyproject.toml configures is "
        "verified; where there is none, the exit code is 2. Where one fails, its cause is named, if it is a known bug.",
        epilog="examples: mhsa verify model.py; mhsa verify torch.nn:MultiheadAttention -k masks; " + _EXIT,
    )
    verify.add_argument("subjects", nargs="*", metavar="SUBJECT", help=_SUBJECT)
    _add_common(verify)
    add = verify.add_argument
    add("-k", dest="keyword", default="", metavar="EXPR",
        help="only properties whose id matches, as in pytest: 'masks', 'masks and not row', 'oracle.output'")  # fmt: skip
    add("-x", dest="exit_first", action="store_true", help="end each subject at its first failure")
    add("-v", "--verbose", action="store_true",
        help="all that was found: each property with its figures, each failure in full, what was not applicable")  # fmt: skip
    add("--no-diagnosis", dest="diagnosis", action="store_false", help="do not look for the cause of failures")
    add("--coverage", action="store_true", help="show which lines of the subject no property has run (slower)")
    add(
        "--database", metavar="FOLDER", default="", help="Hypothesis' example database: failing cases are tried first next time"
    )
    add("--strict", action="store_true",
        help="warnings are violations: an expected failure that passes, or has no reason; and what was not judged, an argument "
        "that is left at its default say, makes the exit code 2")  # fmt: skip
    add("--write-baseline", action="store_true", help="declare today's failures as expected, in pyproject.toml")
    add("--exit-zero", action="store_true", help="exit with 0 where a subject is wrong; what could not be judged is still 2")
    verify.set_defaults(run="verify.verify")

    diagnose = subparsers.add_parser(
        "diagnose",
        help="say what is wrong with an implementation",
        description="Verify one implementation and tell the whole story of a failure: the known bug that computes the same, "
        "the properties that fail, expected and observed weights where they differ, and the line of mathematics.",
        epilog="example: mhsa diagnose model.py; " + _EXIT,
    )
    diagnose.add_argument("subject", metavar="SUBJECT", help=_SUBJECT)
    _add_common(diagnose)
    diagnose.set_defaults(run="diagnose.diagnose")

    probe = subparsers.add_parser(
        "probe",
        help="say how an implementation is read, without judging it",
        description="Understand one implementation and print how it is read: its call, its parameters, the form of its mask, "
        "and how each is known: declared, by name, documented, found by calling, or as usual. No property runs. Where that "
        "is a question, the line that answers it is printed.",
        epilog="examples: mhsa probe model.py; mhsa probe model.py --write; exit codes: 0 it is understood, 2 a question, not "
        "understood, or bad usage",
    )
    probe.add_argument("subject", metavar="SUBJECT", help=_SUBJECT)
    add = probe.add_argument
    add("--write", action="store_true",
        help="write the reading into pyproject.toml as the contract, so that a later change of it is a violation")  # fmt: skip
    add("--accept", action="store_true", help="with --write: where it is a question, declare what it suggests")
    add_declarations(add)
    add("--device", help="where to run: cpu (default), cuda, cuda:1, ...")
    add("--config", type=Path, metavar="FILE", help="pyproject.toml to read (default: the nearest one with [tool.mhsa])")
    _add_limits(probe)
    add("--json", type=Path, metavar="FILE", help="write the reading there (format: docs/json.md); - is the standard output")
    probe.set_defaults(run="probe.probe", profile=None, seed=None, dtype=[], workers=1)

    replay = subparsers.add_parser(
        "replay",
        help="judge a subject on the saved case of a failure",
        description="Judge the subject of a saved case by its one property, on that case alone. FIXED: it holds now. FAILED: "
        "it does not. ERROR: it could not be judged. With --python, print a script that shows the failure with torch and the "
        "subject only, for a bug report.",
        epilog="examples: mhsa replay .mhsa/cases/model.py--masks.masked_weights_are_zero.json; exit codes: 0 FIXED, 1 FAILED, "
        "2 ERROR",
    )
    replay.add_argument("file", type=Path, metavar="FILE", help="a case, as mhsa verify saves one for each failure")
    replay.add_argument("--subject", default="", metavar="SUBJECT", help="judge this one instead of the one that failed")
    replay.add_argument("--python", action="store_true", help="print a stand-alone script instead of judging")
    add_declarations(replay.add_argument)
    _add_limits(replay)
    replay.set_defaults(run="replay.replay")

    init = subparsers.add_parser(
        "init",
        help="set a repository up: configuration and a test; with --ci and --bench a CI workflow and benchmarks",
        description="Write a starting point into this repository: [tool.mhsa] in pyproject.toml, and a test file that runs the "
        "properties in your own pytest. Subjects are imported first, in a process of their own; where one cannot be, nothing "
        "is written. Without SUBJECT: what is configured already, or else the one class here that looks like an attention. "
        "What is there already is never changed.",
        epilog="examples: mhsa init mypackage.attention:Attention; mhsa init a.py b.py:Attention --ci; exit codes: 0 written "
        "or there already, 2 it could not be",
    )
    init.add_argument("subjects", nargs="*", metavar="SUBJECT", default=[], help=_SUBJECT)
    init.add_argument("--ci", action="store_true", help="also a workflow for GitHub that verifies every change")
    init.add_argument("--bench", action="store_true", help="also benchmarks: for asv, over commits, and for pytest-benchmark")
    init.add_argument("--dry-run", action="store_true", help="print what would be written, and write nothing")
    init.set_defaults(run="init.init")

    power = subparsers.add_parser(
        "power",
        help="measure which property finds which known bug",
        description="Judge every mutant and every right variant by every property of the quick profile, ask what people do "
        "today about the same modules, and print the figures (some ten minutes on two quiet cores). With NAME, only mutants "
        "whose name contains it, and which properties find them: seconds.",
        epilog="examples: mhsa power -n 2; mhsa power NotScaled; mhsa power --recorded; exit codes: 0 every mutant is killed "
        "and nothing right is accused, 1 not so, 2 it could not be measured or bad usage",
    )
    add = power.add_argument
    add("names", nargs="*", metavar="NAME", help="part of a mutant's name, or a whole one")
    add("-n", dest="workers", type=whole, default=2, metavar="N", help="worker processes (default: 2)")
    add("--recorded", action="store_true", help="measure nothing: the figures that come with this version")
    add("--json", type=Path, metavar="FILE", help="write the measurement there")
    add("--markdown", type=Path, metavar="FILE", help="write the page docs/power.md there")
    add("--no-color", action="store_true", help="plain text, also on a terminal")
    power.set_defaults(run="power.power")

    add_bench(subparsers, _SUBJECT)
    add_compare(subparsers)
    add_history(subparsers)

    properties = subparsers.add_parser(
        "properties",
        help="list the properties",
        description="List the properties: id and summary. With NAME, show those whose id contains it in full.",
    )
    properties.add_argument("name", nargs="?", metavar="NAME", default="", help="part of an id, or a whole one")
    properties.add_argument("--json", action="store_true", help="as JSON")
    properties.add_argument("--markdown", action="store_true", help="as the page docs/properties.md")
    properties.set_defaults(run="properties.properties")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Add what verify and diagnose have in common."""
    add = parser.add_argument
    sizes = ", ".join(f"{name} {n}" for name, n in PROFILES.items())
    add(
        "--profile",
        choices=list(PROFILES),
        help=f"most cases per property: {sizes} (default: quick, which leaves out slow properties unless mhsa verify -k "
        "names them)",
    )
    add("--seed", type=whole, metavar="N",
        help="seed of the cases (default: 0; thorough draws a new one and prints it)")  # fmt: skip
    add("--dtype", action="append", metavar="DTYPE", type=dtype, default=[],
        help=f"one of {', '.join(DTYPES)}; repeatable (default: float64 and float32)")  # fmt: skip
    add("--device", help="where to run: cpu (default), cuda, cuda:1, ...")
    add_declarations(add)
    add("-n", dest="workers", type=whole, default=1, metavar="N",
        help="worker processes; pays from the ci profile on (default: 1)")  # fmt: skip
    add("--config", type=Path, metavar="FILE", help="pyproject.toml to read (default: the nearest one with [tool.mhsa])")
    add("--cases", type=Path, metavar="FOLDER", help="where the cases of failures are saved (default: .mhsa/cases)")
    _add_limits(parser)
    add("--json", type=Path, metavar="FILE", help="write the results there (format: docs/json.md); - is the standard output")
    add("--junit", type=Path, metavar="FILE", help="write them as JUnit XML")
    add("--html", type=Path, metavar="FILE", help="write them as one page with pictures, which needs no network")
    add("--markdown", type=Path, metavar="FILE", help="write them as Markdown; in GitHub's CI the step summary has them anyway")
    add("--github", action="store_true", help="print them as annotations for GitHub, as in its CI anyway")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Add what holds for every process that runs a subject."""
    add = parser.add_argument
    limits = ", ".join(f"{name} {seconds:g}" for name, seconds in TIME_LIMITS.items())
    add("--timeout", type=seconds, metavar="SECONDS", help=f"most for one property (default: {limits})")
    add("--memory", type=size, metavar="SIZE", help="most for a subject's process, 8GiB say (default: 3/4 of the machine's)")
    add("--no-color", action="store_true", help="plain text, also on a terminal")


if __name__ == "__main__":
    sys.exit(main())
