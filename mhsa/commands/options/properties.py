"""The command line of ``mhsa properties``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mhsa.commands.options.shared import Arguments, add_command


@dataclass(frozen=True)
class PropertiesArguments(Arguments):
    """The arguments of ``mhsa properties``."""

    name: str
    json: bool
    markdown: bool


def add_properties(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "properties", PropertiesArguments,
        help="list the properties",
        description="List the properties: id and summary. With NAME, show those whose id contains it in full.",
    )  # fmt: skip
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", default="", help="part of an id, or a whole one")
    add("--json", action="store_true", help="print them as JSON")
    add("--markdown", action="store_true", help="print the page docs/properties.md")
