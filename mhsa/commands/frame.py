"""What every command that judges or measures needs: its console, the files it writes, SIGTERM, and its problems."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mhsa.reports.write import require_writable, write_reports

if TYPE_CHECKING:  # rich takes a tenth of a second, and a mistake on the command line needs none of it
    from rich.console import Console


@dataclass(frozen=True)
class Frame:
    """Where a command shows and writes its results.

    Attributes:
        console: for people; on the standard error where the standard output is taken by JSON.
        files: to write, by format.
    """

    console: Console
    files: Mapping[str, Path]

    def finish(self, code: int, makers: Mapping[str, Callable[[], str | bytes]], problems: Sequence[str] = ()) -> int:
        """Write the files and print what went wrong; return the exit code: 2 if anything did, else ``code``."""
        problems = [*problems, *write_reports(self.files, makers)]
        for problem in problems:
            print(f"mhsa: {problem}", file=sys.stderr)
        return 2 if problems else code


@contextlib.contextmanager
def frame(files: Mapping[str, Path], *, no_color: bool) -> Iterator[Frame]:
    """Give a command its frame; within it, SIGTERM interrupts as Ctrl-C does, so that partial reports are written.

    Raises:
        UsageError: before anything has run, if one of the files cannot be written.
    """
    from mhsa.reports.line_folding import wide_console

    require_writable(files)
    console = wide_console(no_color=no_color, stderr=str(files.get("json")) == "-")
    with interrupted_by_sigterm():
        yield Frame(console, files)


@contextlib.contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM, by which a pipeline stops a job, as Ctrl-C: no process is left behind."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
