"""Runs a child process that reports by appending lines to a file: passes the lines on, watches the time, and ends it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mhsa.run.sandbox import Contained

LOADING = 60.0  # seconds that importing torch may take on a busy machine, in addition to what a step may take
_TICK = 0.02  # seconds between two looks for lines


def listen(
    command: Sequence[str], folder: Path, events: Path, hear: Callable[[str], bool], overdue: Callable[[], bool]
) -> tuple[int, str]:
    """Run a process until it ends, or is not to go on; then end it and everything that it has started.

    Args:
        command: that starts it.
        folder: its own, for what it writes.
        events: the file to which it appends lines; made empty.
        hear: is called with each line; returns whether the process may go on.
        overdue: is called whenever there is no new line; returns whether the process has taken too long.

    Returns:
        Its exit code and the end of its output.
    """
    events.write_text("")
    # Held open, whatever a subject does to the folder; and what a subject writes there need not be text.
    with events.open(encoding="utf-8", errors="replace") as file:
        process = Contained(command, folder)
        rest = ""
        try:
            while True:
                running = process.running  # looked up before reading, so the last lines are not missed
                text = file.read()
                *lines, rest = (rest + text).split("\n")
                if not all(map(hear, lines)) or not running:
                    break
                if not text:
                    if overdue():
                        break
                    time.sleep(_TICK)
        finally:
            code, output = process.end()
    return code, output


def how_it_ended(code: int) -> str:
    """Return in words how a process ended, from its exit code."""
    if code >= 0:
        return f"the process ended with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    return f"the process was killed by {name}"
