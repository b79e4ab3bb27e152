"""Runs a process that measures: its events, the call that it is about to make, and how it ended.

The process is given a folder with ``plan.json``. It appends JSON lines to ``events.jsonl``, the last one ``{"end": true}``, and
writes the call that it is about to make to ``now``, a file that never grows, because it is rewritten thousands of times.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mhsa.run.listener import LOADING, how_it_ended, listen

IMPORTING = "importing torch"  # the first step of every such process
_WIDTH = 256  # bytes of the file that names the call


def run_worker(
    command: Sequence[str],
    folder: Path,
    plan: str,
    hear: Callable[[dict[str, Any]], None],
    look: Callable[[str, str], None],
    timeout: float,
) -> str:
    """Run a process to its end; return why it did not come to it, or nothing.

    Args:
        command: that starts it.
        folder: its own.
        plan: what it is to do.
        hear: is called with each event.
        look: is called now and then with what the process does, and for whom.
        timeout: seconds that one step may take.
    """
    (folder / "plan.json").write_text(plan)
    (folder / "now").write_bytes(b" " * _WIDTH)
    ended = late = False

    def hear_line(line: str) -> bool:
        nonlocal ended
        event = json.loads(line)
        ended = ended or "end" in event
        hear(event)
        return not ended

    def overdue() -> bool:
        nonlocal late
        what, name, since = _read_now(folder / "now")
        if what:
            look(what, name)
        late = since > (timeout if what not in ("", IMPORTING) else timeout + LOADING)
        return late

    code, output = listen(command, folder, folder / "events.jsonl", hear_line, overdue)
    if ended:
        return ""
    what, name, _ = _read_now(folder / "now")
    if what:  # where it was when it ended, which may be later than where it was seen last
        look(what, name)
    if late:
        return f"did not end within {timeout:g} s, so it was ended (--timeout)"
    last = [line.strip() for line in output.splitlines() if line.strip()]
    return how_it_ended(code) + (f" ({last[-1][:200]})" if code >= 0 and last else "")


def _read_now(path: Path) -> tuple[str, str, float]:
    """Return what the process does, for whom, and since when, in seconds."""
    with path.open("rb") as now:
        what, _, name = now.read().decode(errors="replace").strip().partition("\t")
        return what, name, time.time() - os.fstat(now.fileno()).st_mtime


class Reporter:
    """The other end, within the process: reports events and the call that it is about to make."""

    def __init__(self, folder: Path) -> None:
        self._now = os.open(folder / "now", os.O_WRONLY)
        self._events = (folder / "events.jsonl").open("a", buffering=1, encoding="utf-8")

    def calling(self, name: str, what: str) -> None:
        """Report whose call comes next, and for what."""
        os.pwrite(self._now, f"{what}\t{name}".encode()[:_WIDTH].ljust(_WIDTH), 0)

    def report(self, **event: Any) -> None:
        """Report an event."""
        self._events.write(json.dumps(event) + "\n")
