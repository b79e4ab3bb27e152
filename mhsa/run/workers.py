"""How many processes judge at a time, where the user does not say it."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

# Each loads the subjects itself, half a second of its core; a fifth one would save less than that of a quick verdict.
MOST = 4
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds in each period, and the period


def cores() -> int:
    """Return how many cores this process may use: those it is bound to, or what its container is granted, if that is less."""
    # Only Linux binds processes to cores.
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no container, or "max": no limit
        granted, period = map(int, _QUOTA.read_text().split())
        return max(1, min(bound, math.floor(granted / period)))
    return bound


def default_workers(*, alone: bool) -> int:
    """Return how many processes judge.

    Args:
        alone: whether one is to do it in any case: what is asked is small, or needs one process.
    """
    # In somebody's test, the other cores belong to other tests.
    return 1 if alone or "PYTEST_CURRENT_TEST" in os.environ else min(cores(), MOST)
