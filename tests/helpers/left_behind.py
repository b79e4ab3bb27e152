"""What is left of a run that is over: processes that carry its mark in their environment."""

import time
from pathlib import Path


def marked(mark: str) -> dict[int, str]:
    """The processes that carry a mark in their environment, with their commands."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:  # somebody else's, or gone
            continue
    return found


def left_behind(mark: str, patience: float = 5.0) -> dict[int, str]:
    """The same, after the moment that processes which are being killed may take."""
    until = time.monotonic() + patience
    while (found := marked(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    return found
