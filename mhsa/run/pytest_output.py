"""What the last words of a pytest process say: where it crashed, and what went wrong."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

_RAISED = re.compile(r"(E +)?[\w.]*(Error|Exception)\b")


def crash_site(output: str) -> str:
    """Return where a crash happened, from the stack that Python prints of one; libraries apart."""
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), str(Path(__file__).parents[1]))
    for file, line, function in re.findall(r'File "([^"]+)", line (\d+) in (\w+)', output):
        if not file.startswith((*libraries, "<")):
            return f" (in {function}, {file}, line {line})"
    return ""


def error_line(output: str) -> str:
    """Return the line of pytest's output that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    raised = [line.removeprefix("E ").strip() for line in lines if _RAISED.match(line)]
    if raised:
        return raised[-1]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith(("ERROR", "E  ", "error:"))]
    return (errors or lines or ["it printed nothing"])[-1]
