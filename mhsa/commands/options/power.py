"""The command line of ``mhsa power``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.commands.options.kinds import whole
from mhsa.commands.options.shared import Arguments, add_command, add_no_color, files


@dataclass(frozen=True)
class PowerArguments(Arguments):
    """The arguments of ``mhsa power``."""

    names: list[str]
    workers: int
    recorded: bool
    json: Path | None
    markdown: Path | None
    no_color: bool

    @property
    def files(self) -> dict[str, Path]:
        """What to write, by format."""
        return files(json=self.json, markdown=self.markdown)


def add_power(subparsers: Any) -> None:
    """Add the command; without torch it shows the recorded figures."""
    parser = add_command(
        subparsers, "power", PowerArguments,
        help="measure which property finds which known bug",
        description="Judge every mutant and every correct variant by every property of the quick profile, judge the same "
        "modules by the checks that people use today, and print the figures (some ten minutes on two quiet cores). With NAME, "
        "judge only mutants whose name contains it, and print which properties find them: seconds.",
        epilog="examples: mhsa power -n 2; mhsa power NotScaled; mhsa power --recorded; exit codes: 0 every mutant is killed "
        "and there is no false alarm, 1 otherwise, 2 it could not be measured or bad usage",
    )  # fmt: skip
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="part of a mutant's name, or a whole one")
    add("-n", dest="workers", type=whole, default=2, metavar="N", help="number of worker processes (default: 2)")
    add("--recorded", action="store_true", help="measure nothing: print the figures that come with this version")
    add("--json", type=Path, metavar="FILE", help="write the measurement to FILE")
    add("--markdown", type=Path, metavar="FILE", help="write the page docs/power.md to FILE")
    add_no_color(add)
