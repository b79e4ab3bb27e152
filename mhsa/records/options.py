"""The options of a run of ``mhsa verify``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mhsa.records.request import Request

# Seconds for one property, by profile: the slowest of the reference takes a hundredth of that. Loops for ever end here.
TIME_LIMITS = {"quick": 120.0, "ci": 600.0, "thorough": 3600.0}


@dataclass(frozen=True)
class Options:
    """What to judge, and how.

    Attributes:
        requests: the subjects.
        keyword: which properties, as in pytest.
        exit_first: end each subject at its first failure.
        workers: number of processes.
        shrink: make failing cases small.
        timeout: seconds for one property; None for that of the profile.
        memory: bytes for a process; None for no limit.
        database: folder of Hypothesis' example database, or empty.
        coverage: measure which lines of the subjects were executed.
        replay: arguments with which the one property that ``keyword`` names is called.
        script: file to write a stand-alone script to, or empty; with ``replay``.
    """

    requests: tuple[Request, ...]
    keyword: str = ""
    exit_first: bool = False
    workers: int = 1
    shrink: bool = True
    timeout: float | None = None
    memory: int | None = None
    database: str = ""
    coverage: bool = False
    replay: dict[str, Any] | None = None
    script: str = ""

    @property
    def time_limit(self) -> float:
        """Seconds for one property."""
        return self.timeout or max(TIME_LIMITS[r.profile] for r in self.requests)
