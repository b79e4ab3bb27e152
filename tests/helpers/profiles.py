"""Profiles of calls as text: a line of source for each line that runs, with what it costs."""

from __future__ import annotations

from mhsa.bench.compare.attribution.profile_record import CallProfile, OperatorUse, ProfiledLine
from mhsa.bench.compare.attribution.statements import Statement

F32 = "float32[4, 4]"


def use(name: str, calls: int = 1, ms: float = 1.0, form: str = F32, made_by: tuple[int, ...] = (), **more: int) -> OperatorUse:
    """An operator of a line; what it costs is of all calls together."""
    return OperatorUse(f"aten::{name}", False, calls, ms / 1e3, more.get("bytes", 0), {form: calls}, made_by)


def line(
    number: int, text: str, *uses: OperatorUse, python: float = 0.0, hits: int = 1, parent: int = 0, noise: float = 0.0,
    around: tuple[int, ...] = (), file: str = "att.py", function: str = "forward",
) -> ProfiledLine:  # fmt: skip
    """A line with milliseconds outside of operators."""
    seconds = python / 1e3 + sum(o.seconds for o in uses)
    return ProfiledLine(parent, Statement(file, number, function, text, text, around), seconds, noise / 1e3, hits, uses)


def profile(*lines: ProfiledLine, outside: float = 1.0) -> CallProfile:
    """A call of these lines; the first of them has number 1."""
    seconds = outside / 1e3 + sum(one.seconds for one in lines)
    return CallProfile(seconds, (ProfiledLine(-1, None, outside / 1e3), *lines))
