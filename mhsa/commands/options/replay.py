"""The command line of ``mhsa replay``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.commands.options.declarations import add_declarations
from mhsa.commands.options.shared import Arguments, add_command, add_limits


@dataclass(frozen=True)
class ReplayArguments(Arguments):
    """The arguments of ``mhsa replay``."""

    file: Path
    subject: str
    python: bool
    contract: list[tuple[str, Any]]
    argument: list[tuple[str, Any]]
    timeout: float | None
    memory: int | None
    no_color: bool


def add_replay(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "replay", ReplayArguments, needs_torch=True,
        help="judge a subject on the saved case of a failure",
        description="Judge the subject of a saved case by its one property, on that case alone. FIXED: the property holds now. "
        "FAILED: it does not. ERROR: it could not be judged. With --python, print a script that shows the failure with torch "
        "and the subject only, for a bug report.",
        epilog="examples: mhsa replay .mhsa/cases/model.py--masks.masked_weights_are_zero.json; exit codes: 0 FIXED, 1 FAILED, "
        "2 ERROR",
    )  # fmt: skip
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="a case; mhsa verify saves one for each failure")
    add("--subject", default="", metavar="SUBJECT", help="judge this subject instead of the one that failed")
    add("--python", action="store_true", help="print a stand-alone script instead of judging")
    add_declarations(add)
    add_limits(add)
