"""Leaving with exit code 2: what was asked for cannot be done."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import NoReturn


def refuse(message: str, who: str = "mhsa") -> NoReturn:
    """Leave with exit code 2 and one message."""
    print(folded(f"{who}: {message}"), file=sys.stderr)
    raise SystemExit(2)


def folded(message: str) -> str:
    """Return a message for the terminal, folded between words; in a file or a pipe it stays one line.

    What follows its first line is to be copied (a piece of TOML, say), and stays as it is.
    """
    if not sys.stderr.isatty():
        return message
    first, newline, rest = message.partition("\n")
    width = shutil.get_terminal_size().columns
    return textwrap.fill(first, width, break_long_words=False, break_on_hyphens=False) + newline + rest
