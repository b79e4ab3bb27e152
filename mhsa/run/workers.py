"""How many processes judge at a time, where the user does not say it."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable
from pathlib import Path

from mhsa.records.request import Request

# Each loads the subjects itself, half a second of its core; a fifth one would save less than that of a quick verdict.
MOST = 4
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds in each period, and the period


def bound_cores() -> int | None:
    """Return how many cores this process is bound to, all of them where it is to none; None where that is not known."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()  # not on macOS and Windows


def cores() -> int:
    """Return how many cores this process may use: those it is bound to, or what its container is granted, if that is less."""
    bound = bound_cores() or 1
    with contextlib.suppress(OSError, ValueError):  # no container, or "max": no limit
        granted, period = map(int, _QUOTA.read_text().split())
        return max(1, min(bound, math.floor(granted / period)))
    return bound


def default_workers(requests: Iterable[Request], *, alone: bool = False) -> int:
    """Return how many processes judge.

    Args:
        requests: the subjects. On a GPU several processes would share its memory.
        alone: whether one is to do it in any case: what is asked is small, or needs one process.
    """
    alone = alone or any(request.device != "cpu" for request in requests)
    # In somebody's test, the other cores belong to other tests.
    return 1 if alone or "PYTEST_CURRENT_TEST" in os.environ else min(cores(), MOST)
