"""Errors with a message for the user: a command cannot be carried out, or a subject cannot be judged."""

from __future__ import annotations

import shutil
import sys
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class UsageError(Exception):
    """The command cannot be carried out as it was given; the command line prints the message and exits with 2.

    Attributes:
        program: the command that prints it, "mhsa verify" say.
    """

    def __init__(self, message: str, program: str = "mhsa") -> None:
        super().__init__(message)
        self.program = program


def folded(message: str) -> str:
    """Return a message for the terminal, folded between words; in a file or a pipe it stays one line.

    What follows its first line is to be copied (a piece of TOML, say), and stays as it is.
    """
    if not sys.stderr.isatty():
        return message
    first, newline, rest = message.partition("\n")
    width = shutil.get_terminal_size().columns
    return textwrap.fill(first, width, break_long_words=False, break_on_hyphens=False) + newline + rest


class SubjectError(Exception):
    """The subject cannot be judged: not found, not importable, or not callable in a way that is understood.

    Attributes:
        unused: what is declared and applies to nothing in it, as ``contract.mask`` or ``arguments.window``; empty otherwise.
    """

    def __init__(self, message: str, *, unused: str = "") -> None:
        super().__init__(message)
        self.unused = unused


class ForeignParameter(SubjectError):
    """A parameter changes the result that is no part of plain attention.

    Attributes:
        path: of the parameter.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class Question(SubjectError):
    """The subject was not understood, and its author can say more: the message says what was tried and what to declare.

    Attributes:
        declaration: fields of the contract under which the subject can be judged; empty if only an adapter can say it.
        means: the subjects that may be meant, as they are typed, where a file or a layer has several.
    """

    def __init__(
        self,
        message: str,
        declaration: Mapping[str, Any] | None = None,
        means: Sequence[str] = (),
        *,
        unused: str = "",
    ) -> None:
        super().__init__(message, unused=unused)
        self.declaration: dict[str, Any] = dict(declaration or {})
        self.means = tuple(means)


LONGEST = 400  # characters of a message that are worth a line


def visible(text: str) -> str:
    """Return text from outside with an escape for each character that would act on a terminal or cannot be written to it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _message(error: BaseException) -> str:
    """The message in one line, without what would act on a terminal or cannot be written to a file."""
    try:
        text = " ".join(str(error).split())
    except BaseException:  # a subject's errors are its own code, too
        return "its message cannot be read"
    return visible(text)


def one_line(error: BaseException) -> str:
    """Type and message of an error, in one line."""
    message = _message(error)
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]}..."
    return f"{type(error).__name__}{': ' if message else ''}{message}"


def describe(error: BaseException) -> str:
    """Type, message, file and line of an error, in one line."""
    text, place = one_line(error), ""
    if isinstance(error, SyntaxError) and error.filename:
        text, place = f"{type(error).__name__}: {error.msg}", f" ({error.filename}, line {error.lineno})"
    else:
        here = str(Path(__file__).parents[1])
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((here, "<"))]
        if frames:
            place = f" ({frames[-1].filename}, line {frames[-1].lineno})"
    return f"{text}{place}"
