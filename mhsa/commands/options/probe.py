"""The command line of ``mhsa probe``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.commands.options.declarations import add_declarations
from mhsa.commands.options.shared import CONFIG, DEVICE, SUBJECT, Arguments, add_command, add_limits, files


@dataclass(frozen=True)
class ProbeArguments(Arguments):
    """The arguments of ``mhsa probe``."""

    subject: str
    write: bool
    accept: bool
    contract: list[tuple[str, Any]]
    argument: list[tuple[str, Any]]
    device: str | None
    config: Path | None
    timeout: float | None
    memory: int | None
    no_color: bool
    json: Path | None

    @property
    def files(self) -> dict[str, Path]:
        """What to write, by format."""
        return files(json=self.json)


def add_probe(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "probe", ProbeArguments, needs_torch=True,
        help="print how an implementation is read, without judging it",
        description="Read one implementation and print the result: its call, its parameters, the form of its mask, and how "
        "each is known: declared, by name, documented, found by calling, or as usual. No property runs. If the reading is a "
        "question, mhsa prints the line that answers it.",
        epilog="examples: mhsa probe model.py; mhsa probe model.py --write; exit codes: 0 it is understood, 2 a question, not "
        "understood, or bad usage",
    )  # fmt: skip
    add = parser.add_argument
    add("subject", metavar="SUBJECT", help=SUBJECT)
    add("--write", action="store_true",
        help="write the reading into pyproject.toml as the contract, so that a later change of it is a violation")  # fmt: skip
    add("--accept", action="store_true", help="with --write: if the reading is a question, declare what mhsa suggests")
    add_declarations(add)
    add("--device", help=DEVICE)
    add("--config", type=Path, metavar="FILE", help=CONFIG)
    add_limits(add)
    add("--json", type=Path, metavar="FILE", help="write the reading to FILE as JSON (format: docs/json.md); - is the standard "
        "output")  # fmt: skip
