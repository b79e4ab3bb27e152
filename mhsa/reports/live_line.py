"""One line that says how far a run is: drawn live on a terminal, printed now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from mhsa.reports.line_folding import short

_EVERY = 10.0  # seconds between two plain lines: a log stays short, and a reader sees that the run goes on


class LiveLine:
    """Use it as a context; ``started`` is when it was made, in seconds of ``time.monotonic``."""

    def __init__(self, console: Console) -> None:
        self.started = self.printed = time.monotonic()
        self.spinner = Spinner("dots", text="")
        self.live = Live(self.spinner, console=console, transient=True, refresh_per_second=8)
        self.enabled = console.is_terminal

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self.enabled:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the line."""
        if self.enabled:
            self.live.stop()

    def show(self, line: Callable[[], str], now: float) -> None:
        """Draw the line, or print it if the last one is long ago; only then is it made."""
        if self.enabled:
            self.spinner.update(text=Text(short(line(), self.live.console.width - 3)))  # a spinner stands before it
        elif now - self.printed > _EVERY:
            self.printed = now
            print(f"  {line()}", file=sys.stderr, flush=True)
