"""Runs child processes that report by appending lines to files: passes the lines on, watches the time, and ends them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

from mhsa.run.sandbox import Contained

LOADING = 60.0  # seconds that importing torch may take on a busy machine, in addition to what a step may take
_TICK = 0.02  # seconds between two looks for lines

T = TypeVar("T")


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
    return take_turns([listening(command, folder, events, hear, overdue)])[0]


def take_turns(processes: Sequence[Generator[None, None, T]]) -> list[T]:
    """Let several that listen go on in turns until all have ended; return what they return, in order.

    Where one raises an error, or this process is interrupted, the processes of all are ended.
    """
    returned: dict[int, T] = {}
    try:
        while len(returned) < len(processes):
            for number, process in enumerate(processes):
                if number not in returned:
                    try:
                        next(process)
                    except StopIteration as end:
                        returned[number] = end.value
            if len(returned) < len(processes):
                time.sleep(_TICK)
    finally:
        for process in processes:
            process.close()
    return [returned[number] for number in range(len(processes))]


def listening(
    command: Sequence[str], folder: Path, events: Path, hear: Callable[[str], bool], overdue: Callable[[], bool]
) -> Generator[None, None, tuple[int, str]]:
    """Do what :func:`listen` does, and yield whenever there is nothing to hear."""
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
                    yield
        finally:
            code, output = process.end()
    return code, output


def how_it_ended(code: int) -> str:
    """Return in words how a process ended, from its exit code."""
    if code >= 0:
        return f"the process ended with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    return f"the process was killed by {name}"
