"""The command lines of ``mhsa verify`` and ``mhsa diagnose``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.commands.options.declarations import add_declarations
from mhsa.commands.options.kinds import dtype, whole
from mhsa.commands.options.shared import CONFIG, DEVICE, JSON, SUBJECT, VERDICTS, Arguments, add_command, add_limits, files
from mhsa.records.defaults import DTYPES, PROFILES


@dataclass(frozen=True)
class JudgeArguments(Arguments):
    """What verify and diagnose have in common; None where the configuration or a default applies."""

    profile: str | None
    seed: int | None
    dtype: list[str]
    device: str | None
    contract: list[tuple[str, Any]]
    argument: list[tuple[str, Any]]
    workers: int | None
    config: Path | None
    cases: Path | None
    timeout: float | None
    memory: int | None
    no_color: bool
    json: Path | None
    junit: Path | None
    html: Path | None
    markdown: Path | None
    github: bool

    @property
    def files(self) -> dict[str, Path]:
        """The reports to write, by format."""
        return files(json=self.json, junit=self.junit, html=self.html, markdown=self.markdown)


@dataclass(frozen=True)
class VerifyArguments(JudgeArguments):
    """The arguments of ``mhsa verify``."""

    subjects: list[str]
    keyword: str
    exit_first: bool
    verbose: bool
    diagnosis: bool
    coverage: bool
    database: str
    strict: bool
    write_baseline: bool
    exit_zero: bool


@dataclass(frozen=True)
class DiagnoseArguments(JudgeArguments):
    """The arguments of ``mhsa diagnose``."""

    subject: str


def add_verify(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "verify", VerifyArguments, needs_torch=True,
        help="verify implementations against the properties",
        description="Verify implementations. Without SUBJECT, mhsa verifies what [tool.mhsa.subjects] in pyproject.toml "
        "configures; without any subject the exit code is 2. If a subject fails because of a known bug, mhsa names it.",
        epilog=f"examples: mhsa verify model.py; mhsa verify torch.nn:MultiheadAttention -k masks; {VERDICTS}",
    )  # fmt: skip
    add = parser.add_argument
    add("subjects", nargs="*", metavar="SUBJECT", help=SUBJECT)
    _add_common(add)
    add("-k", dest="keyword", default="", metavar="EXPR",
        help="run only properties whose id matches, as in pytest: 'masks', 'masks and not row', 'oracle.output'")  # fmt: skip
    add("-x", dest="exit_first", action="store_true", help="end each subject at its first failure")
    add("-v", "--verbose", action="store_true",
        help="print everything: each property with its figures, each failure in full, what was not applicable")  # fmt: skip
    add("--no-diagnosis", dest="diagnosis", action="store_false", help="do not look for the cause of failures")
    add("--coverage", action="store_true", help="show which lines of the subject no property executed (slower)")
    add("--database", metavar="FOLDER", default="",
        help="Hypothesis' example database: the next run tries failing cases first")  # fmt: skip
    add("--strict", action="store_true",
        help="count warnings as violations (an expected failure that passes or has no reason), and exit with 2 if any part of "
        "a subject, such as an argument left at its default, was not judged")  # fmt: skip
    add("--write-baseline", action="store_true", help="add today's failures to pyproject.toml as expected failures")
    add(
        "--exit-zero", action="store_true", help="exit with 0 if a subject is violated; if it could not be judged, still with 2"
    )


def add_diagnose(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "diagnose", DiagnoseArguments, needs_torch=True,
        help="explain what is wrong with an implementation",
        description="Verify one implementation and explain a failure: the matching known bug, the properties that fail, the "
        "expected and observed weights where they differ, and the formula.",
        epilog=f"example: mhsa diagnose model.py; {VERDICTS}",
    )  # fmt: skip
    parser.add_argument("subject", metavar="SUBJECT", help=SUBJECT)
    _add_common(parser.add_argument)


def _add_common(add: Callable[..., Any]) -> None:
    """Add what verify and diagnose have in common."""
    sizes = ", ".join(f"{name} {n}" for name, n in PROFILES.items())
    add("--profile", choices=list(PROFILES),
        help=f"number of cases per property at most: {sizes} (default: quick, which runs slow properties only if mhsa verify "
        "-k names them)")  # fmt: skip
    add("--seed", type=whole, metavar="N",
        help="seed of the cases (default: 0; thorough draws a new one and prints it)")  # fmt: skip
    add("--dtype", action="append", metavar="DTYPE", type=dtype, default=[],
        help=f"one of {', '.join(DTYPES)}; repeatable (default: float64 and float32)")  # fmt: skip
    add("--device", help=DEVICE)
    add_declarations(add)
    add("-n", dest="workers", type=whole, metavar="N",
        help="number of processes that judge (default: one for each core, at most 4; "
        "1 with -k, -x or --coverage, and on a GPU)")  # fmt: skip
    add("--config", type=Path, metavar="FILE", help=CONFIG)
    add("--cases", type=Path, metavar="FOLDER", help="folder for the cases of failures (default: .mhsa/cases)")
    add_limits(add)
    add("--json", type=Path, metavar="FILE", help=JSON)
    add("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML")
    add("--html", type=Path, metavar="FILE", help="write the results as one page with pictures, which needs no network")
    add("--markdown", type=Path, metavar="FILE", help="write the results as Markdown; GitHub's step summary always gets them")
    add("--github", action="store_true", help="print annotations for GitHub, as mhsa does in GitHub's CI by itself")
