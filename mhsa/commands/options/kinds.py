"""Kinds of arguments on the command line; what does not fit is refused with what was given and what is allowed."""

from __future__ import annotations

import argparse

from mhsa.commands.options.parser import near
from mhsa.records.defaults import DTYPES


def seconds(text: str) -> float:
    """Return a number of seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def percent(text: str) -> float:
    """Return a number of per cent above 0, with or without the sign."""
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0.0 < percent < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of per cent above 0, such as 3")
    return percent


def size(text: str) -> int:
    """Return bytes, of a text such as 8GiB."""
    from mhsa.records.pyproject.memory_size import size as bytes_of

    found = bytes_of(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 8GiB or 500MB")
    return found


def whole(text: str) -> int:
    """Return a whole number of at least 0."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return number


def dtype(text: str) -> str:
    """Return the name of a dtype, with or without "torch." before it."""
    name = text.removeprefix("torch.")
    if name not in DTYPES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(DTYPES)}{near(name, DTYPES)}")
    return name
