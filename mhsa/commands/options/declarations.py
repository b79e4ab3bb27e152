"""What is declared of subjects on the command line: fields of the contract, and arguments of the constructor."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from mhsa.records.declarations import assignment, declared_field, field_names, problem
from mhsa.records.errors import UsageError
from mhsa.records.request import PLAIN, Request, is_plain


def add_declarations(add: Callable[..., Any]) -> None:
    """Add the options; they go before what is configured, and hold for every subject of the command."""
    add("--contract", action="append", type=contract_field, default=[], metavar="KEY=VALUE",
        help=f"declare a convention, mask=blocked say; repeatable. VALUE is TOML, a bare word is a text. KEY is one of "
        f"{', '.join(field_names())} (docs/configuration.md)")  # fmt: skip
    add("--argument", action="append", type=constructor_argument, default=[], metavar="NAME=VALUE",
        help="give the constructor an argument, dropout=0.1 say; repeatable. VALUE is TOML, a bare word is a text; of an "
        "object that it takes, an attribute: config.window=4")  # fmt: skip


def contract_field(text: str) -> tuple[str, Any]:
    """Return a field of the contract and its value, of a text such as mask=blocked."""
    name, value = _parts(text, declared_field)
    words = problem({name: value})[1]
    if words and " needs " not in words:  # another field, which another --contract may declare
        raise argparse.ArgumentTypeError(words)
    return name, value


def constructor_argument(text: str) -> tuple[str, Any]:
    """Return an argument of the constructor and its value, of a text such as dropout=0.1."""
    name, value = _parts(text, assignment)
    if not all(part.isidentifier() for part in name.split(".")):
        raise argparse.ArgumentTypeError(f"{name!r} is not the name of an argument, such as dropout or config.window")
    if not is_plain(value):
        raise argparse.ArgumentTypeError(f"{text!r}: the value cannot be given; must be one of {PLAIN}")
    return name, value


def _parts(text: str, read: Callable[[str], tuple[str, Any]]) -> tuple[str, Any]:
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def declared_by(contract: Sequence[tuple[str, Any]], argument: Sequence[tuple[str, Any]], request: Request) -> Request:
    """Return a request with what the command line declares.

    Raises:
        UsageError: it contradicts what is configured.
    """
    changed = request.under(dict(contract), dict(argument))
    if words := problem(changed.contract)[1]:
        raise UsageError(f"--contract: {words}")
    return changed
