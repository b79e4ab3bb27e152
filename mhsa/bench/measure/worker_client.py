"""A process that measures, from outside: what it says line by line, who it is about to call, and how it ends.

It is given a folder with ``plan.json``; it appends JSON lines to ``events.jsonl``, the last one ``{"end": true}``, and writes
who it calls for what to ``now``, a place that never grows, because it is rewritten thousands of times.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mhsa.run.sandbox import Contained

IMPORTING = "importing torch"  # the first step of every such process
WIDTH = 256  # bytes of the place that says who is called
_LOADING = 60.0  # seconds that importing torch may take at least: no step of anybody's
_TICK = 0.05  # seconds between two looks


def attend(
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
        hear: is given each event.
        look: is given now and then what it does, and for whom.
        timeout: seconds that one step may take.
    """
    (folder / "plan.json").write_text(plan)
    (folder / "events.jsonl").write_text("")
    (folder / "now").write_bytes(b" " * WIDTH)
    process = Contained(command, folder)
    ended = overdue = False
    step = [""]

    def note(what: str, name: str) -> None:
        step[0] = what
        look(what, name)

    try:
        with (folder / "events.jsonl").open(encoding="utf-8") as events:
            rest = ""
            while True:
                alive = process.running  # asked before reading, so the last lines are not missed
                *lines, rest = (rest + events.read()).split("\n")
                for event in map(json.loads, lines):
                    ended = ended or "end" in event
                    hear(event)
                since = _look(folder / "now", note)
                overdue = since > (timeout if step[0] not in ("", IMPORTING) else max(timeout, _LOADING))
                if not alive or overdue or ended:
                    break
                time.sleep(_TICK)
    finally:
        code, said = process.end()
    if ended:
        return ""
    if overdue:
        return f"did not end within {timeout:g} s, so it was ended (--timeout)"
    if code < 0:
        known = -code in list(signal.Signals)
        return f"the process was killed by {signal.Signals(-code).name if known else f'signal {-code}'}"
    last = [line.strip() for line in said.splitlines() if line.strip()]
    return f"the process ended with exit code {code}" + (f" ({last[-1][:200]})" if last else "")


def _look(place: Path, look: Callable[[str, str], None]) -> float:
    """Read who is called for what, and pass it on; return since when, in seconds."""
    with place.open("rb") as now:
        what, _, name = now.read().decode(errors="replace").strip().partition("\t")
        since = time.time() - os.fstat(now.fileno()).st_mtime
    if what:
        look(what, name)
    return since


class Teller:
    """The other end: writes events and who is called."""

    def __init__(self, folder: Path) -> None:
        self._now = os.open(folder / "now", os.O_WRONLY)
        self._events = (folder / "events.jsonl").open("a", buffering=1, encoding="utf-8")

    def tell(self, name: str, what: str) -> None:
        """Say who is going to be called for what."""
        os.pwrite(self._now, f"{what}\t{name}".encode()[:WIDTH].ljust(WIDTH), 0)

    def say(self, **event: Any) -> None:
        """Say what was found."""
        self._events.write(json.dumps(event) + "\n")
