"""What ``mhsa verify`` was asked for."""

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
        subjects: names of them, all judged with the same effort; or else
        requests: the whole of what is known of each.
        profile, seed, dtypes, device: for ``subjects``.
        keyword: which properties, as in pytest.
        exit_first: end each subject at its first failure.
        workers: processes; one by default.
        shrink: make failing cases small.
        timeout: seconds for one property; None for that of the profile.
        memory: bytes for a process; None for no limit.
        database: folder of Hypothesis' example database, or empty.
        coverage: note which lines of the subjects were run.
        replay: what the one property that ``keyword`` names is to be called with.
        script: file to write a stand-alone script to, or empty; with ``replay``.
    """

    subjects: tuple[str, ...] = ()
    profile: str = "quick"
    seed: int = 0
    dtypes: tuple[str, ...] = ()
    device: str = "cpu"
    keyword: str = ""
    exit_first: bool = False
    workers: int = 0
    shrink: bool = True
    requests: tuple[Request, ...] = ()
    timeout: float | None = None
    memory: int | None = None
    database: str = ""
    coverage: bool = False
    replay: dict[str, Any] | None = None
    script: str = ""

    @property
    def asked(self) -> tuple[Request, ...]:
        """The subjects."""
        return self.requests or tuple(
            Request(name, name, profile=self.profile, seed=self.seed, dtypes=self.dtypes, device=self.device)
            for name in self.subjects
        )

    @property
    def time_limit(self) -> float:
        """Seconds for one property."""
        return self.timeout or max(TIME_LIMITS[r.profile] for r in self.asked)
